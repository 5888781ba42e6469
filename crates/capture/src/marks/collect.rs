//! Taking marks to read their pages.
//!
//! Never knows: how pages are read.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::bitmap::{Bitmap, Value};
use super::layout::{VALUE_PAGES, VALUE_WORDS};

/// Takes marks, 128 MiB of disk at a time, and gives their pages in runs, in the order of the disk, each run within
/// such a part. When it gives a run, the run's marks are cleared and pending: a read that is issued from then on
/// answers every write whose mark was taken, and every later write leaves a new mark.
///
/// Dropped early, what it took and did not give stays pending.
pub struct Collect<M> {
    live: Arc<Bitmap<M>>,
    pending: Arc<Bitmap<M>>,
    next: usize,
    runs: Runs,
}

impl<M: Deref<Target = [AtomicU64]>> Collect<M> {
    pub(crate) fn new(live: Arc<Bitmap<M>>, pending: Arc<Bitmap<M>>) -> Collect<M> {
        Collect { live, pending, next: 0, runs: Runs::none() }
    }
}

impl<M: Deref<Target = [AtomicU64]>> Iterator for Collect<M> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        loop {
            if let Some(run) = self.runs.next() {
                return Some(run);
            }
            let value = self.live.next_value(self.next)?;
            self.next = value + 1;
            self.runs = Runs::of(value, self.live.hand_over(value, &self.pending), self.live.pages());
        }
    }
}

/// Looks at marks without taking them: pages in runs, as [`Collect`] gives them.
pub struct Look<M> {
    marks: Arc<Bitmap<M>>,
    next: usize,
    runs: Runs,
}

impl<M: Deref<Target = [AtomicU64]>> Look<M> {
    pub(crate) fn new(marks: Arc<Bitmap<M>>) -> Look<M> {
        Look { marks, next: 0, runs: Runs::none() }
    }
}

impl<M: Deref<Target = [AtomicU64]>> Iterator for Look<M> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        loop {
            if let Some(run) = self.runs.next() {
                return Some(run);
            }
            let value = self.marks.next_value(self.next)?;
            self.next = value + 1;
            self.runs = Runs::of(value, self.marks.peek(value), self.marks.pages());
        }
    }
}

/// The runs of one value's bits.
struct Runs {
    bits: Value,
    /// The page of the first bit.
    base: u64,
    at: u64,
    /// Bits from here on belong to no page: a write may end behind the last whole page of a disk.
    end: u64,
}

impl Runs {
    fn none() -> Runs {
        Runs { bits: [0; VALUE_WORDS], base: 0, at: 0, end: 0 }
    }

    fn of(value: usize, bits: Value, pages: u64) -> Runs {
        let base = value as u64 * VALUE_PAGES;
        Runs { bits, base, at: 0, end: VALUE_PAGES.min(pages - base) }
    }

    /// The next bit at or after `from` that is `set`, or the end.
    fn edge(&self, from: u64, set: bool) -> u64 {
        let mut at = from;
        while at < self.end {
            let word = self.bits[(at / 64) as usize];
            let rest = if set { word } else { !word } >> (at % 64);
            if rest != 0 {
                return self.end.min(at + u64::from(rest.trailing_zeros()));
            }
            at = (at / 64 + 1) * 64;
        }
        self.end
    }
}

impl Iterator for Runs {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let start = self.edge(self.at, true);
        self.at = self.edge(start, false);
        (start < self.at).then(|| self.base + start..self.base + self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::layout::Shape;
    use proptest::prelude::*;

    fn bitmap(pages: u64) -> Arc<Bitmap<Vec<AtomicU64>>> {
        let shape = Shape::of(pages).unwrap();
        Arc::new(Bitmap::new((0..shape.words()).map(|_| AtomicU64::new(0)).collect(), shape))
    }

    proptest! {
        #[test]
        fn runs_are_the_marked_pages(
            pages in 1..3 * VALUE_PAGES, some in prop::collection::vec((0..3 * VALUE_PAGES, 1..300u64), 0..12),
        ) {
            let (live, pending) = (bitmap(pages), bitmap(pages));
            some.iter().for_each(|&(start, len)| live.add_range(start..start + len));
            let looked: Vec<_> = Look::new(live.clone()).collect();
            let taken: Vec<_> = Collect::new(live.clone(), pending.clone()).collect();
            prop_assert_eq!(&looked, &taken);
            prop_assert_eq!(Collect::new(live, pending.clone()).next(), None);
            let mut model: Vec<bool> = vec![false; pages as usize];
            for (start, len) in some {
                (start..(start + len).min(pages)).for_each(|page| model[page as usize] = true);
            }
            for run in &taken {
                prop_assert!(run.start < run.end && pending.has(run.clone()));
                run.clone().for_each(|page| assert!(std::mem::take(&mut model[page as usize])));
            }
            prop_assert!(!model.contains(&true));
        }
    }

    #[test]
    fn what_was_taken_and_not_given_stays_pending() {
        let (live, pending) = (bitmap(100), bitmap(100));
        live.add_range(3..4);
        live.add_range(50..60);
        assert_eq!(Collect::new(live.clone(), pending.clone()).next(), Some(3..4));
        assert_eq!((live.count(), pending.count()), (0, 11));
    }
}
