//! Which bytes of a volume hold something, by the word of the file system on it.
//!
//! Guarantee: a byte that a mounted file system would ever read back is inside the answer. Where the file system's
//! own structures are damaged or of an unknown kind the answer is "all of it", never a guess.
//! Never knows: who asks, or how the bytes are kept.

use std::ops::Range;

/// Byte ranges of a volume: sorted, not touching, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Nothing.
    pub fn new() -> Self {
        Ranges::default()
    }

    /// Adds a range that starts at or after the start of the last one; joins it to that one where they touch or overlap.
    pub fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if range.start <= last.end => {
                assert!(range.start >= last.start, "ranges pushed out of order");
                last.end = last.end.max(range.end);
            }
            _ => self.0.push(range),
        }
    }

    /// Sorts and joins ranges in any order.
    pub fn from_unsorted(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.sort_by_key(|r| r.start);
        let mut out = Ranges::new();
        ranges.into_iter().for_each(|r| out.push(r));
        out
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range<u64>> + '_ {
        self.0.iter().cloned()
    }

    /// Bytes inside the ranges.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|r| r.end - r.start).sum()
    }
}

/// What one file system (or none) says of its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The name of what was found, such as `ext4`, `swap`, or `unknown`.
    pub kind: &'static str,
    /// The ranges in use, from the start of the volume.
    pub used: Ranges,
    /// Why the answer is everything although the kind is known; `None` when the file system was believed.
    pub doubt: Option<String>,
}
