//! The measured figures as Markdown tables: best and median of the rounds.
//!
//! Never knows: targets.

use std::fmt::Write;
use std::time::Duration;

use super::disk::{Outcome, Rounds};
use super::measure::Sample;

/// The middle one; of an even number the upper of the two.
pub(super) fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

/// The wall times of one step.
pub(super) fn walls(rounds: &Rounds, step: impl Fn(&Outcome) -> Option<Sample>) -> Vec<Duration> {
    rounds.outcomes.iter().filter_map(step).map(|sample| sample.wall).collect()
}

/// One row for each contender.
pub(super) fn tables(all: &[Rounds]) -> String {
    let mut text = String::from(
        "Seconds are wall time, best / median of the rounds; sizes in MiB; memory is the largest resident set of any step.\n\n\
         | | first protect | CPU | stored | after the change | growth | restore | delta restore | memory |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for rounds in all {
        let cells = [
            seconds(&walls(rounds, |o| Some(o.first))),
            cpu(rounds),
            mib(rounds, |o| Some(o.stored)),
            seconds(&walls(rounds, |o| o.change)),
            mib(rounds, |o| o.growth),
            seconds(&walls(rounds, |o| o.restore)),
            seconds(&walls(rounds, |o| o.delta)),
            mib(rounds, |o| Some(o.peak())),
        ];
        let yardstick = if rounds.yardstick { " (yardstick)" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {}{yardstick} | {} |", rounds.name, cells.join(" | "));
    }
    text.push('\n');
    for rounds in all {
        let _ = writeln!(text, "- {}: {}", rounds.name, rounds.version);
    }
    text
}

fn seconds(times: &[Duration]) -> String {
    match (times.iter().min(), median(times.iter().copied())) {
        (Some(best), Some(median)) => {
            format!("{:.2} / {:.2}", best.as_secs_f64(), median.as_secs_f64())
        }
        _ => "-".into(),
    }
}

fn cpu(rounds: &Rounds) -> String {
    let median = median(rounds.outcomes.iter().map(|outcome| outcome.first.cpu));
    median.map_or("-".into(), |time| format!("{:.1}", time.as_secs_f64()))
}

fn mib(rounds: &Rounds, figure: impl Fn(&Outcome) -> Option<u64>) -> String {
    let median = median(rounds.outcomes.iter().filter_map(figure));
    median.map_or("-".into(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))
}
