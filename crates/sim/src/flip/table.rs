//! What was done and what came of it, as a table for people.
//!
//! Never knows: what is right.

use std::collections::BTreeMap;
use std::fmt;

use super::harm::{Harm, Kind, Part};
use super::{Book, Verdict};

/// What is counted together: kind of object, and what was done to which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Flipped(Kind, Part),
    CutOff(Kind),
    Gone(Kind),
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    done: u64,
    noticed: u64,
    whole: u64,
    refused: u64,
    failed: u64,
}

/// Counts of verdicts, by kind of object and what was done to it.
#[derive(Clone, Debug, Default)]
pub struct Table(BTreeMap<Row, Counts>);

impl Table {
    /// Adds a verdict.
    pub fn add(&mut self, book: &Book, verdict: &Verdict) {
        let object = &book.objects[verdict.harm.object()];
        let row = match verdict.harm {
            Harm::Flip { bit, .. } => Row::Flipped(object.kind, object.part(bit / 8)),
            Harm::Cut { .. } => Row::CutOff(object.kind),
            Harm::Gone { .. } => Row::Gone(object.kind),
        };
        let counts = self.0.entry(row).or_default();
        counts.done += 1;
        counts.failed += u64::from(verdict.failure.is_some());
        counts.noticed += u64::from(verdict.outcome.noticed);
        counts.whole += u64::from(verdict.outcome.whole);
        counts.refused += u64::from(verdict.outcome.refused);
    }

    /// How many verdicts were counted.
    pub fn done(&self) -> u64 {
        self.0.values().map(|counts| counts.done).sum()
    }

    /// How many of them were failures.
    pub fn failed(&self) -> u64 {
        self.0.values().map(|counts| counts.failed).sum()
    }

    /// How many kinds of things were done.
    pub fn rows(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ("object", "harm", "done", "noticed", "no loss", "refused", "wrong");
        let (object, harm, done, noticed, whole, refused, wrong) = heading;
        writeln!(f, "{object:<20} {harm:<32} {done:>9} {noticed:>9} {whole:>9} {refused:>9} {wrong:>6}")?;
        for (row, c) in &self.0 {
            let (kind, harm) = match row {
                Row::Flipped(kind, part) => (kind, format!("bits of {}", part.name())),
                Row::CutOff(kind) => (kind, "lengths".to_owned()),
                Row::Gone(kind) => (kind, "gone".to_owned()),
            };
            let name = kind.name();
            let Counts { done, noticed, whole, refused, failed } = c;
            writeln!(f, "{name:<20} {harm:<32} {done:>9} {noticed:>9} {whole:>9} {refused:>9} {failed:>6}")?;
        }
        Ok(())
    }
}
