//! Pages, as bits of those parts of a disk that have any.
//!
//! Never knows: what the pages are.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::marks::layout::{VALUE_PAGES, VALUE_WORDS};

/// A set of pages. Takes 4 KiB for each 128 MiB of disk in which there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(pub(super) BTreeMap<u32, Box<[u64; VALUE_WORDS]>>);

impl Bits {
    /// Adds pages.
    pub fn add(&mut self, pages: Range<u64>) {
        for page in pages {
            let part = self.0.entry((page / VALUE_PAGES) as u32).or_insert_with(|| Box::new([0; VALUE_WORDS]));
            part[(page % VALUE_PAGES / 64) as usize] |= 1 << (page % 64);
        }
    }

    /// Whether all of these are in it.
    pub fn has(&self, mut pages: Range<u64>) -> bool {
        pages.all(|page| {
            let part = self.0.get(&((page / VALUE_PAGES) as u32));
            part.is_some_and(|part| part[(page % VALUE_PAGES / 64) as usize] >> (page % 64) & 1 == 1)
        })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().flat_map(|part| part.iter()).map(|word| u64::from(word.count_ones())).sum()
    }

    /// In order, those that lie together as one.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let words = self.0.iter().flat_map(|(at, part)| {
            let first = u64::from(*at) * VALUE_PAGES;
            part.iter().enumerate().map(move |(word, bits)| (first + word as u64 * 64, *bits))
        });
        let pages = words.filter(|(_, bits)| *bits != 0);
        let mut pages =
            pages.flat_map(|(first, bits)| (0..64).filter(move |at| bits >> at & 1 == 1).map(move |at| first + at));
        let mut next = pages.next();
        std::iter::from_fn(move || {
            let start = next?;
            let mut end = start;
            while next == Some(end) {
                end += 1;
                next = pages.next();
            }
            Some(start..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_what_was_added(some in prop::collection::vec((0..3 * VALUE_PAGES, 1..300u64), 0..12)) {
            let mut bits = Bits::default();
            let mut model = std::collections::BTreeSet::new();
            for (start, len) in some {
                bits.add(start..start + len);
                model.extend(start..start + len);
            }
            let runs: Vec<_> = bits.runs().collect();
            prop_assert!(runs.windows(2).all(|w| w[0].end < w[1].start));
            prop_assert!(runs.iter().cloned().flatten().eq(model.iter().copied()));
            prop_assert_eq!(bits.count(), model.len() as u64);
            prop_assert!(runs.iter().all(|run| bits.has(run.clone()) && !bits.has(run.start..run.end + 1)));
        }
    }
}
