//! What was found, in a form that a program can sort and a person can read.
//!
//! Never knows: how it was found.

use std::fmt;

/// What kind of thing does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The store's header, or names that should not be there.
    Store,
    /// One copy of a small object is damaged; the other one serves.
    Copy,
    /// Nothing of an object can be read.
    Lost,
    /// Order and chain of a ledger's entries and states.
    Ledger,
    /// A row that is not as its page says, or that contradicts another.
    Row,
    /// Keys that are missing or do not open.
    Key,
    /// Header, footers, trailer or place of a pack.
    Pack,
    /// A frame or chunk.
    Data,
    /// A run of extents: its root, blocks, extents.
    Run,
    /// Rows `r` against what runs refer to.
    Reference,
    /// Spans that do not tile a timeline.
    Timeline,
    /// A summary that says something else than what it was made from.
    Level,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The object, pack, frame, row or span.
    pub place: String,
    /// What is wrong with it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", format!("{:?}", self.kind).to_lowercase(), self.place, self.text)
    }
}

/// What `check` walked, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What does not hold, in the order of the walk. Empty: all is well.
    pub findings: Vec<Finding>,
    /// What a format page allows but a person may want to know.
    pub notes: Vec<String>,
    /// How much was looked at.
    pub seen: Seen,
}

/// How much `check` looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Small objects, each in two copies.
    pub twins: u64,
    /// Rows of both ledgers.
    pub rows: u64,
    /// Packs.
    pub packs: u64,
    /// Frames opened, both copies of blobs counted.
    pub frames: u64,
    /// Chunks hashed.
    pub chunks: u64,
    /// Spans.
    pub spans: u64,
    /// Extents.
    pub extents: u64,
    /// Spans of a level above 0 compared with what they summarise.
    pub levels: u64,
}

impl Report {
    pub(crate) fn find(&mut self, kind: Kind, place: impl fmt::Display, text: impl fmt::Display) {
        self.findings.push(Finding { kind, place: place.to_string(), text: text.to_string() });
    }

    pub(crate) fn note(&mut self, text: impl fmt::Display) {
        self.notes.push(text.to_string());
    }

    /// 0 if everything holds, 3 if not.
    pub fn exit_status(&self) -> u8 {
        if self.findings.is_empty() { 0 } else { 3 }
    }
}
