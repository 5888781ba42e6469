//! What a restore did and could not do.
//!
//! Never knows: how.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a restore is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Writing the target.
    Copying,
    /// Reading it back.
    Verifying,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Bytes of the disk dealt with in this stage, holes included. Pieces are finished out of order.
    pub done: u64,
    /// Bytes of the disk.
    pub total: u64,
    /// Bytes written so far.
    pub written: u64,
}

/// Bytes, by what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read from the source, while copying.
    pub read: u64,
    /// Read from the target to compare, while copying.
    pub compared: u64,
    /// Written to the target.
    pub written: u64,
    /// Made zero in the target.
    pub zeroed: u64,
    /// Read back and compared, while verifying.
    pub verified: u64,
}

/// A range of the source that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Bytes from the start of the disk.
    pub range: Range<u64>,
    /// What the source said, in its words.
    pub why: String,
}

/// What came of a restore.
#[must_use = "a restore can be incomplete without an error"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes, by what was done.
    pub counts: Counts,
    /// What could not be read, in order: the target there is as it was.
    pub unreadable: Vec<Unreadable>,
    /// What does not read back as it should, in order, if that was asked for.
    pub differing: Vec<Range<u64>>,
    /// It was cancelled before the end.
    pub cancelled: bool,
}

impl Report {
    /// The target reads as the source does, as far as that was looked at.
    pub fn is_complete(&self) -> bool {
        !self.cancelled && self.unreadable.is_empty() && self.differing.is_empty()
    }
}

/// [`Counts`] while many threads count.
#[derive(Default)]
pub(super) struct Counting {
    pub(super) done: AtomicU64,
    pub(super) read: AtomicU64,
    pub(super) compared: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) zeroed: AtomicU64,
}

/// Counts bytes; returns how many there are now.
pub(super) fn count(counter: &AtomicU64, bytes: u64) -> u64 {
    counter.fetch_add(bytes, Ordering::Relaxed) + bytes
}

impl Counting {
    pub(super) fn counts(&self) -> Counts {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Counts {
            read: get(&self.read),
            compared: get(&self.compared),
            written: get(&self.written),
            zeroed: get(&self.zeroed),
            verified: 0,
        }
    }
}

/// Puts ranges in order and joins those that touch and have the same reason.
pub(super) fn in_order(mut found: Vec<Unreadable>) -> Vec<Unreadable> {
    found.sort_by_key(|u| u.range.start);
    let mut joined: Vec<Unreadable> = Vec::new();
    for next in found {
        match joined.last_mut() {
            Some(last) if last.range.end >= next.range.start && last.why == next.why => {
                last.range.end = last.range.end.max(next.range.end);
            }
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined() {
        let u = |range, why: &str| Unreadable { range, why: why.into() };
        let found = vec![u(8..12, "a"), u(0..4, "a"), u(4..8, "a"), u(12..16, "b"), u(20..24, "b")];
        assert_eq!(in_order(found), [u(0..12, "a"), u(12..16, "b"), u(20..24, "b")]);
    }
}
