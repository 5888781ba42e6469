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

/// One figure against its limit.
pub(super) struct Verdict {
    figure: String,
    found: String,
    value: f64,
    limit: f64,
    unit: &'static str,
}

impl Verdict {
    fn reached(&self) -> bool {
        self.value <= self.limit
    }
}

/// Compares our medians with the peers'. Figures that were not taken are left out.
pub(super) fn judge(all: &[Rounds], changed_pages: u64) -> Vec<Verdict> {
    let Some(ours) = all.iter().find(|rounds| rounds.name == "backstay") else {
        return Vec::new();
    };
    let peers: Vec<&Rounds> = all
        .iter()
        .filter(|rounds| rounds.name != "backstay" && !rounds.yardstick)
        .collect();
    let mut verdicts = Vec::new();
    verdicts.extend(faster("first protect", ours, &peers, 0.4, |o| {
        Some(o.first)
    }));
    verdicts.extend(smaller(ours, &peers));
    verdicts.extend(faster("protect after the change", ours, &peers, 0.4, |o| {
        o.change
    }));
    verdicts.extend(growth(ours, changed_pages));
    verdicts.extend(faster("whole restore", ours, &peers, 0.5, |o| o.restore));
    verdicts.extend(delta(ours));
    verdicts.extend(memory(ours));
    verdicts
}

fn faster(
    figure: &str,
    ours: &Rounds,
    peers: &[&Rounds],
    limit: f64,
    step: impl Fn(&Outcome) -> Option<Sample> + Copy,
) -> Option<Verdict> {
    let own = median(walls(ours, step))?.as_secs_f64();
    let (name, theirs) = peers
        .iter()
        .filter_map(|peer| Some((peer.name, median(walls(peer, step))?)))
        .min_by_key(|&(_, wall): &(&str, Duration)| wall)?;
    let theirs = theirs.as_secs_f64();
    let found = format!("{own:.2} s, {name} {theirs:.2} s");
    Some(Verdict {
        figure: figure.into(),
        found,
        value: own / theirs,
        limit,
        unit: "of the fastest peer",
    })
}

fn smaller(ours: &Rounds, peers: &[&Rounds]) -> Option<Verdict> {
    let own = median(ours.outcomes.iter().map(|o| o.stored))? as f64;
    let (name, theirs) = peers
        .iter()
        .filter_map(|peer| Some((peer.name, median(peer.outcomes.iter().map(|o| o.stored))?)))
        .min_by_key(|&(_, bytes)| bytes)?;
    let theirs = theirs as f64;
    let found = format!("{:.1} MiB, {name} {:.1} MiB", own / MIB, theirs / MIB);
    Some(Verdict {
        figure: "stored".into(),
        found,
        value: own / theirs,
        limit: 1.0,
        unit: "of the smallest peer",
    })
}

/// 32 MiB for 6,500 pages; in proportion for the smaller data.
fn growth(ours: &Rounds, changed_pages: u64) -> Option<Verdict> {
    let own = median(ours.outcomes.iter().filter_map(|o| o.growth))? as f64 / MIB;
    let limit = 32.0 * changed_pages as f64 / 6500.0;
    let found = format!("{own:.1} MiB");
    Some(Verdict {
        figure: "growth for the change".into(),
        found,
        value: own,
        limit,
        unit: "MiB",
    })
}

fn delta(ours: &Rounds) -> Option<Verdict> {
    let whole = median(walls(ours, |o| o.restore))?.as_secs_f64();
    let delta = median(walls(ours, |o| o.delta))?.as_secs_f64();
    let found = format!("{delta:.3} s, whole {whole:.2} s");
    let figure = "delta restore".into();
    Some(Verdict {
        figure,
        found,
        value: delta / whole,
        limit: 0.1,
        unit: "of the whole restore",
    })
}

fn memory(ours: &Rounds) -> Vec<Verdict> {
    type Step = fn(&Outcome) -> Option<Sample>;
    let steps: [(&str, Step); 4] = [
        ("first protect", |o| Some(o.first)),
        ("protect after the change", |o| o.change),
        ("whole restore", |o| o.restore),
        ("delta restore", |o| o.delta),
    ];
    let mut verdicts = Vec::new();
    for (name, step) in steps {
        let Some(peak) = ours
            .outcomes
            .iter()
            .filter_map(step)
            .map(|sample| sample.peak)
            .max()
        else {
            continue;
        };
        let value = peak as f64 / MIB;
        let (figure, found) = (format!("memory, {name}"), format!("{value:.1} MiB"));
        verdicts.push(Verdict {
            figure,
            found,
            value,
            limit: 300.0,
            unit: "MiB",
        });
    }
    verdicts
}

/// A Markdown table.
pub(super) fn shown(verdicts: &[Verdict]) -> String {
    let mut text = String::from(
        "| figure | found (medians) | ratio or size | to reach | |\n|---|---|---|---|---|\n",
    );
    for verdict in verdicts {
        let Verdict {
            figure,
            found,
            value,
            limit,
            unit,
        } = verdict;
        let mark = if verdict.reached() {
            "reached"
        } else {
            "**missed**"
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {figure} | {found} | {value:.3} | at most {limit:.1} {unit} | {mark} |"
        );
    }
    text
}

/// # Errors
/// Names the figures that miss their target.
pub(super) fn all_reached(verdicts: &[Verdict]) -> Result<()> {
    let missed: Vec<&str> = verdicts
        .iter()
        .filter(|v| !v.reached())
        .map(|v| v.figure.as_str())
        .collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(Fail::new(format!("not reached: {}", missed.join(", "))))
    }
}
