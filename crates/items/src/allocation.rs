//! Which bytes of a volume hold something, by the word of the file system on it.
//!
//! Guarantee: a byte that a mounted file system would ever read back is inside the answer. Where the file system's
//! own structures are damaged or of an unknown kind the answer is "all of it", never a guess.
//! Never knows: who asks, or how the bytes are kept.

use crate::tree::TreeError;
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

    /// All of a volume of `size` bytes.
    pub fn all(size: u64) -> Self {
        let mut out = Ranges::new();
        out.push(0..size);
        out
    }

    /// Whether every byte of `range` is inside.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        let after = self.0.partition_point(|r| r.start <= range.start);
        let holds = |r: &Range<u64>| range.end <= r.end;
        range.is_empty() || after.checked_sub(1).is_some_and(|i| holds(&self.0[i]))
    }

    /// The parts of `range` that no range touches.
    pub fn gaps_in(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let first = self.0.partition_point(|r| r.end <= range.start);
        let (mut at, mut gaps) = (range.start, Vec::new());
        for taken in self.0[first..].iter().take_while(|r| r.start < range.end) {
            gaps.push(at..taken.start.max(at));
            at = taken.end;
        }
        gaps.push(at..range.end.max(at));
        gaps.retain(|gap| !gap.is_empty());
        gaps
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

impl Allocation {
    /// All of a volume, because its content is not known to leave anything free.
    pub fn everything(kind: &'static str, size: u64, doubt: Option<String>) -> Self {
        let used = Ranges::all(size);
        Allocation { kind, used, doubt }
    }

    /// What a walker found; everything, with the reason, when it could not finish.
    pub fn from_walk(kind: &'static str, size: u64, walked: Result<Ranges, TreeError>) -> Self {
        match walked {
            Ok(used) => Allocation { kind, used, doubt: None },
            Err(TreeError::Io(cause)) => {
                let why = format!("the volume could not be read: {cause}");
                Allocation::everything(kind, size, Some(why))
            }
            Err(why) => Allocation::everything(kind, size, Some(why.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_no_range_touches() {
        let taken = Ranges::from_unsorted(vec![10..20, 30..40]);
        assert_eq!(taken.gaps_in(&(0..50)), [0..10, 20..30, 40..50]);
        assert_eq!(taken.gaps_in(&(15..35)), [20..30]);
        assert_eq!(taken.gaps_in(&(10..20)), []);
        assert_eq!(taken.gaps_in(&(20..30)), [20..30]);
        assert_eq!(Ranges::new().gaps_in(&(3..4)), [3..4]);
    }
}
