//! What verification finds, in sentences.
//!
//! Never knows: how it was found.

use std::fmt;

use backstay_env::time::Timestamp;

use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;

/// So many findings are told, and the rest counted: a hostile log could have any number.
const MOST: usize = 1000;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a sentence below")]
pub enum Finding {
    NoCheckpoint,
    BadCheckpoint,
    NoKey,
    OtherLog { found: String },
    OtherKey,
    Forged,
    BadPinned,
    Shorter { seen: u64, found: u64 },
    Forked { seen: u64 },
    Missing { object: String },
    Damaged { object: String },
    Changed { index: u64 },
    OtherRoot,
    Unreadable { index: u64 },
    OtherNames { index: u64 },
    TimeBack { index: u64 },
    NoIntent { index: u64 },
    OtherConfig { index: u64 },
    KeyNotGiven,
    NothingPinned,
    NamesGone { records: u64 },
    ClockBack { index: u64, by: u64 },
    Gap { index: u64, from: Timestamp, to: Timestamp },
    Silent { since: Timestamp },
    NoOutcome { index: u64 },
}

impl Finding {
    /// The log does not hold. Else it is something to look into, which may have harmless reasons.
    pub fn is_broken(&self) -> bool {
        use Finding::*;
        !matches!(
            self,
            KeyNotGiven
                | NothingPinned
                | NamesGone { .. }
                | ClockBack { .. }
                | Gap { .. }
                | Silent { .. }
                | NoOutcome { .. }
        )
    }

    /// What the verifier was not told: it says nothing of the log.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Finding::KeyNotGiven | Finding::NothingPinned)
    }

    /// Its name, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Finding::NoCheckpoint => "no-checkpoint",
            Finding::BadCheckpoint => "bad-checkpoint",
            Finding::NoKey => "no-key",
            Finding::OtherLog { .. } => "other-log",
            Finding::OtherKey => "other-key",
            Finding::Forged => "forged-signature",
            Finding::BadPinned => "bad-pinned-checkpoint",
            Finding::Shorter { .. } => "shorter",
            Finding::Forked { .. } => "forked",
            Finding::Missing { .. } => "missing",
            Finding::Damaged { .. } => "damaged",
            Finding::Changed { .. } => "changed",
            Finding::OtherRoot => "other-root",
            Finding::Unreadable { .. } => "unreadable",
            Finding::OtherNames { .. } => "other-names",
            Finding::TimeBack { .. } => "time-back",
            Finding::NoIntent { .. } => "no-intent",
            Finding::OtherConfig { .. } => "other-configuration",
            Finding::KeyNotGiven => "key-not-given",
            Finding::NothingPinned => "nothing-pinned",
            Finding::NamesGone { .. } => "names-gone",
            Finding::ClockBack { .. } => "clock-back",
            Finding::Gap { .. } => "gap",
            Finding::Silent { .. } => "silent",
            Finding::NoOutcome { .. } => "no-outcome",
        }
    }

    /// The record that it is about.
    pub fn index(&self) -> Option<u64> {
        match self {
            Finding::Changed { index }
            | Finding::Unreadable { index }
            | Finding::OtherNames { index }
            | Finding::TimeBack { index }
            | Finding::NoIntent { index }
            | Finding::OtherConfig { index }
            | Finding::ClockBack { index, .. }
            | Finding::Gap { index, .. }
            | Finding::NoOutcome { index } => Some(*index),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |from: &Timestamp, to: &Timestamp| to.0.saturating_sub(from.0) / 1_000_000_000;
        match self {
            Finding::NoCheckpoint => write!(f, "there is no checkpoint, so this is no audit log"),
            Finding::BadCheckpoint => write!(f, "the checkpoint cannot be read"),
            Finding::NoKey => write!(f, "there is no key to verify with"),
            Finding::OtherLog { found } => write!(f, "this is the log {found:?}, which the key is not for"),
            Finding::OtherKey => write!(f, "the checkpoint is not signed with the key of this log"),
            Finding::Forged => write!(f, "the signature of the checkpoint is forged"),
            Finding::BadPinned => write!(f, "the checkpoint seen before is not one of this log"),
            Finding::Shorter { seen, found } => {
                write!(f, "the log was cut or an old one put back: it has {found} records, and {seen} were seen before")
            }
            Finding::Forked { seen } => {
                write!(f, "the log was rewritten: its first {seen} records are not those seen before")
            }
            Finding::Missing { object } => write!(f, "{object} is missing"),
            Finding::Damaged { object } => write!(f, "{object} is not what the records give"),
            Finding::Changed { index } => write!(f, "record {index} was changed"),
            Finding::OtherRoot => write!(f, "the records are not those that the checkpoint signs"),
            Finding::Unreadable { index } => write!(f, "record {index} cannot be read"),
            Finding::OtherNames { index } => write!(f, "the names kept for record {index} are not those logged"),
            Finding::TimeBack { index } => write!(f, "record {index} is older than the one before it"),
            Finding::NoIntent { index } => write!(f, "record {index} is an outcome of nothing that was intended"),
            Finding::OtherConfig { index } => {
                write!(f, "the configuration was changed outside the log before record {index}")
            }
            Finding::KeyNotGiven => write!(f, "no key was given, so the log may have been made anew with another one"),
            Finding::NothingPinned => {
                write!(f, "no checkpoint seen before was given, so the log may have been cut or made anew")
            }
            Finding::NamesGone { records } => write!(f, "the names of {records} of the records are no longer kept"),
            Finding::ClockBack { index, by } => write!(f, "the clock was {by} s behind at record {index}"),
            Finding::Gap { index, from, to } => {
                write!(f, "nothing was logged for {} s before record {index}", seconds(from, to))
            }
            Finding::Silent { .. } => write!(f, "nothing is being logged any more"),
            Finding::NoOutcome { index } => write!(f, "what record {index} intended has no outcome"),
        }
    }
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checkpoint that was verified, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// The key it was verified with.
    pub key: Option<VerifierKey>,
    /// What was found, in the order of the log: the first thousand of what is broken, and of the rest.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
    /// How many of what was found are broken, and how many are not.
    broken: usize,
    notes: usize,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        let alike = if finding.is_broken() { &mut self.broken } else { &mut self.notes };
        *alike += 1;
        if *alike <= MOST {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn with(mut self, finding: Finding) -> Report {
        self.add(finding);
        self
    }

    /// Whether the log holds: nothing is broken. What was found to look into does not count.
    pub fn holds(&self) -> bool {
        self.broken == 0
    }

    /// What is broken, most telling first: what the records are comes before what follows from it.
    pub fn broken(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_broken())
    }
}
