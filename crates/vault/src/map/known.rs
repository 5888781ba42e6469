//! What is known of pages of a disk, and of which nothing is.
//!
//! Never knows: how it came to be known.

use std::ops::Range;

use backstay_timeline::extent::{Extent, push};

/// What is known of a range of pages of a disk: extents, and the ranges of which nothing is. What neither mentions is zeros (or did
/// not change). Both are in order.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) extents: Vec<Extent>,
    pub(crate) unknown: Vec<Range<u64>>,
    /// Why the first of these is unknown.
    pub(crate) why: Option<String>,
}

impl Known {
    /// Adds what another knows of pages that come after all of this.
    pub(super) fn append(&mut self, other: &Known, pages: &Range<u64>) {
        let first = other.extents.partition_point(|e| e.end().0 <= pages.start);
        let touched = other.extents[first..].iter().take_while(|e| e.page.0 < pages.end);
        touched.filter_map(|e| e.clip(pages)).for_each(|e| push(&mut self.extents, e));
        let unknown = other.unknown.iter().map(|u| u.start.max(pages.start)..u.end.min(pages.end));
        self.unknown.extend(unknown.filter(|u| !u.is_empty()));
        if !self.unknown.is_empty() && self.why.is_none() {
            self.why.clone_from(&other.why);
        }
    }
}

/// The parts of a range that ranges in order leave out.
pub(super) fn gaps(range: &Range<u64>, taken: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut at = range.start;
    for taken in taken {
        if at < taken.start.min(range.end) {
            gaps.push(at..taken.start.min(range.end));
        }
        at = at.max(taken.end);
    }
    gaps.extend(Some(at..range.end).filter(|rest| !rest.is_empty()));
    gaps
}

#[cfg(test)]
mod tests {
    use super::gaps;

    #[test]
    fn gaps_are_what_is_left_out() {
        let of = |range, taken: &[std::ops::Range<u64>]| gaps(&range, taken.iter().cloned());
        assert_eq!(of(10..20, &[]), [10..20]);
        assert_eq!(of(10..20, &[0..12, 14..15, 15..17, 19..30]), [12..14, 17..19]);
        assert_eq!(of(10..20, &[0..5, 25..30]), [10..20]);
        assert_eq!(of(10..20, &[5..25]), []);
    }
}
