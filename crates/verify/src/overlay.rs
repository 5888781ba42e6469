//! Runs laid over each other, the newest first: what each page of one disk is.
//!
//! Never knows: where runs come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::map::Content;
use crate::packs::Pages;
use crate::runs::Run;

/// What some pages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fill {
    Data(Pages),
    Zero,
    Absent,
    Unreadable,
    Excluded,
    /// Nobody can say, for this reason.
    Unknown(Arc<str>),
}

impl Fill {
    /// The part of it that begins `skip` pages later and has `pages` pages.
    pub(crate) fn part(&self, skip: u64, pages: u64) -> Self {
        match self {
            Self::Data(at) => Self::Data(Pages { inside: at.inside + skip, pages, ..*at }),
            other => other.clone(),
        }
    }
}

/// What each page of a disk is, as far as something was said of it.
#[derive(Debug, Default)]
pub(crate) struct Overlay(BTreeMap<u64, (u64, Fill)>);

impl Overlay {
    /// Says what the pages from `start` to before `end` are, where nothing
    /// was said before.
    pub(crate) fn lay(&mut self, start: u64, end: u64, fill: &Fill) {
        let mut holes = Vec::new();
        let mut at = start;
        if let Some((_, (covered, _))) = self.0.range(..=start).next_back() {
            at = at.max(*covered);
        }
        for (&next, &(covered, _)) in self.0.range(start..end) {
            if next > at {
                holes.push((at, next));
            }
            at = at.max(covered);
        }
        if at < end {
            holes.push((at, end));
        }
        for (from, to) in holes {
            self.0.insert(from, (to, fill.part(from - start, to - from)));
        }
    }

    /// Pieces in order: first page, page after the last, what.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, u64, &Fill)> {
        self.0.iter().map(|(&start, (end, fill))| (start, *end, fill))
    }
}

/// Lays what a run says of `disk` beneath what is there, up to page `size`.
pub(crate) fn lay_run(overlay: &mut Overlay, run: &Run, disk: u64, size: u64) {
    for extent in run.extents.iter().filter(|extent| extent.disk == disk && extent.page < size) {
        overlay.lay(extent.page, extent.end().min(size), &fill(run, extent));
    }
    for lost in run.lost.iter().filter(|lost| lost.first.0 <= disk && disk <= lost.last.0) {
        let start = if lost.first.0 == disk { lost.first.1 } else { 0 };
        let end = if lost.last.0 == disk { lost.last.1.saturating_add(1).min(size) } else { size };
        if start < end {
            overlay.lay(start, end, &Fill::Unknown(lost.why.as_str().into()));
        }
    }
}

/// What an extent's pages are.
pub(crate) fn fill(run: &Run, extent: &crate::map::Extent) -> Fill {
    match extent.content {
        Content::Data { .. } => run.pages(extent).map_or(Fill::Zero, Fill::Data),
        Content::Zero => Fill::Zero,
        Content::Absent => Fill::Absent,
        Content::Unreadable => Fill::Unreadable,
        Content::Excluded => Fill::Excluded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same said page by page.
    fn slowly(laid: &[(u64, u64)]) -> Vec<Option<usize>> {
        let mut pages = vec![None; 64];
        for (number, &(start, length)) in laid.iter().enumerate() {
            for page in start..start + length {
                pages[page as usize].get_or_insert(number);
            }
        }
        pages
    }

    proptest! {
        #[test]
        fn the_newest_that_says_something_is_on_top(laid in prop::collection::vec((0u64..40, 1u64..24), 0..12)) {
            let mut overlay = Overlay::default();
            for (number, &(start, length)) in laid.iter().enumerate() {
                let pages = Pages { pack: crate::Id([number as u8; 16]), chunk: 0, inside: 0, pages: length, tag: [0; 4] };
                overlay.lay(start, start + length, &Fill::Data(pages));
            }
            let mut pages = vec![None; 64];
            for (start, end, fill) in overlay.pieces() {
                let Fill::Data(at) = fill else { panic!("only data was laid") };
                let number = usize::from(at.pack.0[0]);
                prop_assert_eq!(at.pages, end - start);
                prop_assert_eq!(laid[number].0 + at.inside, start);
                for page in start..end {
                    prop_assert_eq!(pages[page as usize].replace(number), None);
                }
            }
            prop_assert_eq!(pages, slowly(&laid));
        }
    }
}
