//! How fast somebody writes from moment to moment of one run, and how much slower while points are made.
//!
//! Never knows: who writes, or what a point is.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::fail::{During, Fail, Result};

/// Milliseconds that one speed is of.
pub(super) const STEP_MS: u32 = 250;

/// Writes in a second, in steps of [`STEP_MS`]: when each step ended, in seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Pace(Vec<(f64, f64)>);

/// What points took from who writes, in whole rounds of a wait and a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    /// Writes in a second between points, while points are made, and over all.
    pub(super) between: f64,
    pub(super) during: f64,
    pub(super) over_all: f64,
}

impl Taken {
    /// The share that is lost.
    pub(super) fn lost(&self) -> f64 {
        1.0 - self.over_all / self.between
    }
}

impl Pace {
    /// From a log of fio's: milliseconds since 1970, the speed, and more that does not matter.
    /// # Errors
    /// It is no such log.
    pub(super) fn read(log: &Path) -> Result<Pace> {
        let text = fs::read_to_string(log).during(log.display())?;
        let step = |line: &str| -> Option<(f64, f64)> {
            let mut fields = line.split(',').map(str::trim);
            let (at, speed): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some((at / 1000.0, speed))
        };
        let steps = text.lines().map(|line| step(line).ok_or_else(|| Fail::new(format!("{}: {line}", log.display()))));
        steps.collect::<Result<_>>().map(Pace)
    }

    /// Compares the steps in which points were made with the others, from the end of the first point to the end of the last.
    /// `None` if there are no two points in the run.
    pub(super) fn taken_by(&self, points: &[Range<f64>]) -> Option<Taken> {
        let length = f64::from(STEP_MS) / 1000.0;
        let rounds = points.first()?.end..points.last()?.end;
        let whole = self.0.iter().filter(|(end, _)| end - length >= rounds.start && *end <= rounds.end);
        let meets = |end: f64| points.iter().any(|point| point.start < end && end - length < point.end);
        let (during, between): (Vec<_>, Vec<_>) = whole.partition(|(end, _)| meets(*end));
        let mean = |steps: &[&(f64, f64)]| steps.iter().map(|(_, speed)| speed).sum::<f64>() / steps.len() as f64;
        let all = [&during[..], &between].concat();
        let some = !during.is_empty() && !between.is_empty();
        some.then(|| Taken { between: mean(&between), during: mean(&during), over_all: mean(&all) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_points_take_is_counted_in_whole_rounds() {
        // A hundred a second but for twenty while a point is made: from 0 to 1 s, from 4 to 5 s and from 8 to 9 s.
        let points = [0.0..1.0, 4.0..5.0, 8.0..9.0];
        let step = |number: u32| {
            let end = f64::from(number + 1) / 4.0;
            let made = points.iter().any(|point| point.start < end && end - 0.25 < point.end);
            (end, if made { 20.0 } else { 100.0 })
        };
        let pace = Pace((0..48).map(step).collect());
        let taken = pace.taken_by(&points).unwrap();
        assert_eq!(taken, Taken { between: 100.0, during: 20.0, over_all: 80.0 });
        assert!((taken.lost() - 0.2).abs() < 1e-9);
        assert_eq!(pace.taken_by(&points[..1]), None);
    }
}
