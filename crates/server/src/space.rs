//! The disk that the store is on, and when it will be full.
//!
//! Never knows: what is on it.

use std::path::Path;

use backstay_format::units::Timestamp;

use crate::catalogue::space::Taken;
use crate::moment::SECOND;

/// What is left of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

impl Left {
    /// So little that somebody should see to it: less than a tenth.
    pub(crate) fn is_little(self) -> bool {
        self.free < self.total / 10
    }
}

/// What is left where a folder is; `None`: nobody knows.
pub(crate) fn left(folder: Option<&Path>) -> Option<Left> {
    let found = rustix::fs::statvfs(folder?).ok()?;
    Some(Left {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// A day, in nanoseconds.
const DAY: i64 = 86_400 * SECOND;
/// A forecast looks so far back.
const BACK: i64 = 30 * DAY;
/// And says nothing before it has seen so much.
const SEEN: i64 = DAY / 4;
/// A disk that will be full within so long needs somebody.
const SOON: i64 = 7 * DAY;

/// How the store grows, if it goes on as it did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forecast {
    /// Bytes that it takes more each day; less than none if it shrinks.
    pub(crate) per_day: i64,
    /// When the disk that it is on will be full; nothing: never, or nobody knows.
    pub(crate) full_at: Option<Timestamp>,
}

impl Forecast {
    /// The disk is full so soon that somebody should see to it.
    pub(crate) fn is_soon(&self, now: Timestamp) -> bool {
        self.full_at.is_some_and(|at| at.0.saturating_sub(now.0) <= SOON)
    }
}

/// The line that is nearest to what was seen (least squares). Pure.
pub(crate) fn forecast(seen: &[Taken], free: Option<u64>, now: Timestamp) -> Option<Forecast> {
    let recent = |taken: &&Taken| (now.0.saturating_sub(BACK)..=now.0).contains(&taken.at.0);
    let recent: Vec<&Taken> = seen.iter().filter(recent).collect();
    let (first, last) = (recent.first()?, recent.last()?);
    if last.at.0 - first.at.0 < SEEN {
        return None;
    }
    let day = |taken: &&Taken| (taken.at.0 - first.at.0) as f64 / DAY as f64;
    let mean = |of: &dyn Fn(&&Taken) -> f64| recent.iter().map(of).sum::<f64>() / recent.len() as f64;
    let (middle, level) = (mean(&day), mean(&|taken| taken.stored as f64));
    let spread = mean(&|taken| (day(taken) - middle).powi(2));
    let per_day = mean(&|taken| (day(taken) - middle) * (taken.stored as f64 - level)) / spread;
    let days = free.filter(|_| per_day >= 1.0).map(|free| free as f64 / per_day);
    // Beyond any calendar is never.
    let full_at =
        days.filter(|days| *days < 36_500.0).map(|days| Timestamp(now.0.saturating_add((days * DAY as f64) as i64)));
    Some(Forecast { per_day: per_day.round() as i64, full_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_grows_evenly_is_full_when_it_must_be() {
        let hour = DAY / 24;
        let seen = |growth: i64, hours: i64| -> Vec<Taken> {
            let at = |n: i64| Taken { at: Timestamp(n * hour), stored: (1_000_000 + growth * n) as u64 };
            (0..=hours).map(at).collect()
        };
        let now = |hours: i64| Timestamp(hours * hour);
        assert_eq!(forecast(&seen(10, 3), Some(1), now(3)), None, "too little was seen");
        let even = forecast(&seen(10, 48), Some(480), now(48)).unwrap();
        assert_eq!(even.per_day, 240);
        assert!(even.full_at.unwrap().0.abs_diff(now(96).0) < SECOND as u64 && even.is_soon(now(48)));
        let shrinks = forecast(&seen(-10, 48), Some(480), now(48)).unwrap();
        assert_eq!((shrinks.per_day, shrinks.full_at), (-240, None));
        let still = forecast(&seen(0, 48), Some(480), now(48)).unwrap();
        assert!(still.full_at.is_none() && !still.is_soon(now(48)));
        assert_eq!(forecast(&seen(10, 48), None, now(48)).unwrap().full_at, None);
        assert_eq!(forecast(&seen(10, 48), Some(1), Timestamp(i64::MAX)), None, "all of it is long ago");
        assert_eq!(forecast(&[], None, now(0)), None);
    }

    #[test]
    fn a_tenth_is_little() {
        assert!(Left { free: 9, total: 100 }.is_little() && !Left { free: 10, total: 100 }.is_little());
        assert_eq!(left(None), None);
        assert!(left(Some(Path::new("/"))).is_some_and(|left| left.free <= left.total));
    }
}
