//! The figures that must be reached, and whether they were.
//!
//! Never knows: how figures were taken.

use std::fmt::Write;
use std::time::Duration;

use super::disk::{Outcome, Rounds};
use super::measure::Sample;
use super::table::{median, walls};
use crate::fail::{Fail, Result};

const MIB: f64 = 1_048_576.0;

/// What a figure must keep to.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// One figure against its limit.
pub(super) struct Figure {
    /// What was measured.
    pub(super) figure: String,
    /// What was found, in its own units, with what it is compared to.
    pub(super) found: String,
    /// What is compared with the limit.
    pub(super) value: f64,
    /// The unit of value and limit.
    pub(super) unit: &'static str,
    /// What must be reached.
    pub(super) limit: Limit,
}

impl Figure {
    fn reached(&self) -> bool {
        match self.limit {
            Limit::AtMost(most) => self.value <= most,
            Limit::AtLeast(least) => self.value >= least,
        }
    }
}

/// Compares our medians with the peers'. Figures that were not taken are left out.
pub(super) fn judge(all: &[Rounds], changed_pages: u64) -> Vec<Figure> {
    let Some(ours) = all.iter().find(|rounds| rounds.name == "backstay") else {
        return Vec::new();
    };
    let peers: Vec<&Rounds> = all.iter().filter(|rounds| rounds.name != "backstay" && !rounds.yardstick).collect();
    let mut figures = Vec::new();
    figures.extend(faster("first protect", ours, &peers, 0.4, |o| Some(o.first)));
    figures.extend(smaller(ours, &peers));
    figures.extend(faster("protect after the change", ours, &peers, 0.4, |o| o.change));
    figures.extend(growth(ours, changed_pages));
    figures.extend(faster("whole restore", ours, &peers, 0.5, |o| o.restore));
    figures.extend(delta(ours));
    figures.extend(memory(ours));
    figures
}

fn faster(
    figure: &str,
    ours: &Rounds,
    peers: &[&Rounds],
    limit: f64,
    step: impl Fn(&Outcome) -> Option<Sample> + Copy,
) -> Option<Figure> {
    let own = median(walls(ours, step))?.as_secs_f64();
    let (name, theirs) = peers
        .iter()
        .filter_map(|peer| Some((peer.name, median(walls(peer, step))?)))
        .min_by_key(|&(_, wall): &(&str, Duration)| wall)?;
    let theirs = theirs.as_secs_f64();
    let found = format!("{own:.2} s, {name} {theirs:.2} s");
    Some(Figure {
        figure: figure.into(),
        found,
        value: own / theirs,
        limit: Limit::AtMost(limit),
        unit: "of the fastest peer",
    })
}

fn smaller(ours: &Rounds, peers: &[&Rounds]) -> Option<Figure> {
    let own = median(ours.outcomes.iter().map(|o| o.stored))? as f64;
    let (name, theirs) = peers
        .iter()
        .filter_map(|peer| Some((peer.name, median(peer.outcomes.iter().map(|o| o.stored))?)))
        .min_by_key(|&(_, bytes)| bytes)?;
    let theirs = theirs as f64;
    let found = format!("{:.1} MiB, {name} {:.1} MiB", own / MIB, theirs / MIB);
    Some(Figure {
        figure: "stored".into(),
        found,
        value: own / theirs,
        limit: Limit::AtMost(1.0),
        unit: "of the smallest peer",
    })
}

/// 32 MiB for 6,500 pages; in proportion for the smaller data.
fn growth(ours: &Rounds, changed_pages: u64) -> Option<Figure> {
    let own = median(ours.outcomes.iter().filter_map(|o| o.growth))? as f64 / MIB;
    let limit = 32.0 * changed_pages as f64 / 6500.0;
    let found = format!("{own:.1} MiB");
    Some(Figure { figure: "growth for the change".into(), found, value: own, limit: Limit::AtMost(limit), unit: "MiB" })
}

fn delta(ours: &Rounds) -> Option<Figure> {
    let whole = median(walls(ours, |o| o.restore))?.as_secs_f64();
    let delta = median(walls(ours, |o| o.delta))?.as_secs_f64();
    let found = format!("{delta:.3} s, whole {whole:.2} s");
    let figure = "delta restore".into();
    Some(Figure { figure, found, value: delta / whole, limit: Limit::AtMost(0.1), unit: "of the whole restore" })
}

fn memory(ours: &Rounds) -> Vec<Figure> {
    type Step = fn(&Outcome) -> Option<Sample>;
    let steps: [(&str, Step); 4] = [
        ("first protect", |o| Some(o.first)),
        ("protect after the change", |o| o.change),
        ("whole restore", |o| o.restore),
        ("delta restore", |o| o.delta),
    ];
    let mut figures = Vec::new();
    for (name, step) in steps {
        let Some(peak) = ours.outcomes.iter().filter_map(step).map(|sample| sample.peak).max() else {
            continue;
        };
        let value = peak as f64 / MIB;
        let (figure, found) = (format!("memory, {name}"), format!("{value:.1} MiB"));
        figures.push(Figure { figure, found, value, limit: Limit::AtMost(300.0), unit: "MiB" });
    }
    figures
}

/// A Markdown table.
pub(super) fn shown(figures: &[Figure]) -> String {
    let mut text = String::from("| figure | found (medians) | ratio or size | to reach | |\n|---|---|---|---|---|\n");
    for one in figures {
        let Figure { figure, found, value, unit, .. } = one;
        let limit = match one.limit {
            Limit::AtMost(most) => format!("at most {most}"),
            Limit::AtLeast(least) => format!("at least {least}"),
        };
        let mark = if one.reached() { "reached" } else { "**missed**" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {figure} | {found} | {value:.3} | {limit} {unit} | {mark} |");
    }
    text
}

/// # Errors
/// Names the figures that miss their target.
pub(super) fn all_reached(figures: &[Figure]) -> Result<()> {
    let missed: Vec<&str> = figures.iter().filter(|one| !one.reached()).map(|one| one.figure.as_str()).collect();
    if missed.is_empty() { Ok(()) } else { Err(Fail::new(format!("not reached: {}", missed.join(", ")))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(name: &'static str, seconds: [u64; 3], stored: u64) -> Rounds {
        let outcome = |seconds| {
            let first = Sample { wall: Duration::from_secs(seconds), peak: 1 << 20, ..Sample::default() };
            Outcome { first, stored, ..Outcome::default() }
        };
        Rounds { name, version: String::new(), yardstick: false, outcomes: seconds.map(outcome).to_vec() }
    }

    #[test]
    fn medians_are_compared_with_the_best_peer() {
        let all =
            [rounds("backstay", [3, 1, 9], 90), rounds("slow", [50, 60, 70], 100), rounds("fast", [10, 9, 11], 120)];
        let figures = judge(&all, 6500);
        let names: Vec<&str> = figures.iter().map(|one| one.figure.as_str()).collect();
        assert_eq!(names, ["first protect", "stored", "memory, first protect"]);
        assert_eq!((figures[0].value, figures[1].value), (0.3, 0.9));
        assert!(figures.iter().all(Figure::reached));
        let late = [rounds("backstay", [5, 5, 5], 101), rounds("fast", [10, 10, 10], 100)];
        assert_eq!(
            all_reached(&judge(&late, 6500)).err().map(|e| e.to_string()).as_deref(),
            Some("not reached: first protect, stored")
        );
    }
}
