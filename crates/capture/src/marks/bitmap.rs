//! Bits of pages, with a summary of where there are any.
//!
//! Never knows: disks, or which program marks.
//! Invariant: whoever sets bits of a value sets the value's byte of the summary after them; whoever takes bits clears
//! the byte before them. With a full barrier between the two on both sides, no bit is ever set and not found.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::layout::{MAGIC, Shape, VALUE_BYTES, VALUE_PAGES, VALUE_WORDS, VERSION, word};

/// Marks in some memory.
#[derive(Debug)]
pub(crate) struct Bitmap<M> {
    words: M,
    shape: Shape,
}

/// The bits of one value.
pub(crate) type Value = [u64; VALUE_WORDS];

impl<M: Deref<Target = [AtomicU64]>> Bitmap<M> {
    /// Marks in memory that has none yet. What they are of is in the header only after [`Bitmap::begin`].
    pub(crate) fn new(words: M, shape: Shape) -> Bitmap<M> {
        assert!(words.len() >= shape.words(), "memory of {} words for {shape:?}", words.len());
        Bitmap { words, shape }
    }

    /// Marks that are there. `None`: not ours, of another version, or never finished.
    pub(crate) fn existing(words: M) -> Option<Bitmap<M>> {
        let header = |at: usize| words.get(at).map(|word| word.load(Ordering::SeqCst));
        let shape = Shape::of(header(word::PAGES)?)?;
        let fits = words.len() >= shape.words() && header(word::SHAPE)? == packed(shape);
        (header(word::MAGIC)? == MAGIC && fits).then_some(Bitmap { words, shape })
    }

    /// Writes what the kernel's programs must know, and then that all is written.
    pub(crate) fn begin(&self) {
        self.set_word(word::PAGES, self.shape.pages);
        self.set_word(word::SHAPE, packed(self.shape));
        self.set_word(word::MAGIC, MAGIC);
    }

    pub(crate) fn pages(&self) -> u64 {
        self.shape.pages
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// A word of the header.
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::SeqCst)
    }

    pub(crate) fn set_word(&self, at: usize, value: u64) {
        self.words[at].store(value, Ordering::SeqCst);
    }

    pub(crate) fn or_word(&self, at: usize, bits: u64) {
        self.words[at].fetch_or(bits, Ordering::SeqCst);
    }

    /// The next value at or after `from` that the summary says has bits. Looks at eight values at a time.
    pub(crate) fn next_value(&self, from: usize) -> Option<usize> {
        let mut at = from;
        while at < self.shape.bits {
            let summary = self.summary(at).load(Ordering::Acquire) >> (at % 8 * 8);
            match summary {
                0 => at += 8 - at % 8,
                bytes => {
                    let found = at + bytes.trailing_zeros() as usize / 8;
                    return (found < self.shape.bits).then_some(found);
                }
            }
        }
        None
    }

    /// The bits of a value, without taking them.
    pub(crate) fn peek(&self, value: usize) -> Value {
        let words = self.value(value);
        std::array::from_fn(|at| words[at].load(Ordering::Relaxed))
    }

    /// Adds bits.
    pub(crate) fn add(&self, value: usize, bits: &Value) {
        for (word, bits) in self.value(value).iter().zip(bits).filter(|(_, bits)| **bits != 0) {
            word.fetch_or(*bits, Ordering::SeqCst);
        }
        self.summarize(value);
    }

    /// Moves the bits of a value into `to`, which has the same shape, and answers them. At every instant each is in
    /// one of the two: only bits that `to` has already are cleared, and one that is set meanwhile stays.
    pub(crate) fn hand_over<T: Deref<Target = [AtomicU64]>>(&self, value: usize, to: &Bitmap<T>) -> Value {
        to.summarize(value);
        self.summary(value).fetch_and(!(0xff << (value % 8 * 8)), Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let (mine, others) = (self.value(value), to.value(value));
        let moved = std::array::from_fn(|at| {
            let bits = mine[at].load(Ordering::SeqCst);
            if bits != 0 {
                others[at].fetch_or(bits, Ordering::SeqCst);
                mine[at].fetch_and(!bits, Ordering::SeqCst);
            }
            bits
        });
        fence(Ordering::SeqCst);
        moved
    }

    /// Adds every page of a range; what lies behind the last page is left out.
    pub(crate) fn add_range(&self, pages: Range<u64>) {
        let end = pages.end.min(self.shape.pages);
        let mut at = pages.start;
        while at < end {
            let value = at / VALUE_PAGES;
            let stop = end.min((value + 1) * VALUE_PAGES);
            self.add(value as usize, &bits_of(at % VALUE_PAGES..stop - value * VALUE_PAGES));
            at = stop;
        }
    }

    /// Whether all pages of a range are marked.
    pub(crate) fn has(&self, mut pages: Range<u64>) -> bool {
        pages.all(|page| {
            let word = &self.value((page / VALUE_PAGES) as usize)[(page % VALUE_PAGES / 64) as usize];
            word.load(Ordering::SeqCst) >> (page % 64) & 1 == 1
        })
    }

    /// How many pages are marked.
    pub(crate) fn count(&self) -> u64 {
        let values = std::iter::successors(self.next_value(0), |value| self.next_value(value + 1));
        values.map(|value| self.value(value).iter().map(ones).sum::<u64>()).sum()
    }

    /// Makes the summary say of every value that has bits that it does. Needed only where someone may have died
    /// between clearing a byte of it and taking the bits.
    pub(crate) fn mend(&self) {
        for value in 0..self.shape.bits {
            if self.value(value).iter().any(|word| word.load(Ordering::Relaxed) != 0) {
                self.summarize(value);
            }
        }
    }

    fn summarize(&self, value: usize) {
        self.summary(value).fetch_or(1 << (value % 8 * 8), Ordering::SeqCst);
    }

    fn summary(&self, value: usize) -> &AtomicU64 {
        &self.words[VALUE_WORDS + value / 8]
    }

    fn value(&self, value: usize) -> &[AtomicU64] {
        let start = (self.shape.first + value) * VALUE_WORDS;
        &self.words[start..start + VALUE_WORDS]
    }
}

const _: () = assert!(VALUE_BYTES == VALUE_WORDS * 8 && cfg!(target_endian = "little"));

fn packed(shape: Shape) -> u64 {
    (shape.first as u64) << 32 | u64::from(VERSION)
}

fn ones(word: &AtomicU64) -> u64 {
    u64::from(word.load(Ordering::Relaxed).count_ones())
}

/// The bits of a range of a value's pages.
fn bits_of(pages: Range<u64>) -> Value {
    std::array::from_fn(|at| {
        let (start, end) = (at as u64 * 64, at as u64 * 64 + 64);
        let (from, to) = (pages.start.clamp(start, end), pages.end.clamp(start, end));
        match to.saturating_sub(from) {
            0 => 0,
            count => u64::MAX >> (64 - count) << (from - start),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    fn bitmap(pages: u64) -> Bitmap<Vec<AtomicU64>> {
        let shape = Shape::of(pages).unwrap();
        let bitmap = Bitmap::new((0..shape.words()).map(|_| AtomicU64::new(0)).collect::<Vec<_>>(), shape);
        bitmap.begin();
        bitmap
    }

    #[test]
    fn what_was_begun_is_recognised() {
        let begun = bitmap(5 * VALUE_PAGES + 3);
        let again = Bitmap::existing(begun.words).unwrap();
        assert_eq!(again.pages(), 5 * VALUE_PAGES + 3);
        let unfinished: Vec<AtomicU64> = again.words.into_iter().collect();
        unfinished[word::MAGIC].store(0, Ordering::SeqCst);
        assert!(Bitmap::existing(unfinished).is_none());
        assert!(Bitmap::existing(Vec::<AtomicU64>::new()).is_none());
    }

    #[test]
    fn a_summary_is_mended() {
        let marks = bitmap(40 * VALUE_PAGES);
        marks.add_range(9 * VALUE_PAGES + 7..9 * VALUE_PAGES + 8);
        marks.summary(9).store(0, Ordering::SeqCst);
        assert_eq!(marks.next_value(0), None);
        marks.mend();
        assert_eq!((marks.next_value(0), marks.next_value(9), marks.next_value(10)), (Some(9), Some(9), None));
    }

    /// Writers and a copier at once: a page's number stands for its content, and is marked after it is there.
    #[test]
    fn no_mark_is_lost_between_threads() {
        const PAGES: u64 = 3 * VALUE_PAGES;
        const WRITERS: u64 = 3;
        let (live, pending) = (bitmap(PAGES), bitmap(PAGES));
        let device: Vec<AtomicU64> = (0..PAGES).map(|_| AtomicU64::new(0)).collect();
        let (done, copy) = (AtomicU64::new(0), Mutex::new(vec![0; PAGES as usize]));
        let write = &|seed: u64| {
            for at in 0..200_000u64 {
                // Mostly few pages of one value, so that writers and copier meet.
                let page = (at * 7 + seed) % 41 + at % 997 / 990 * (at % PAGES / 2);
                device[page as usize].fetch_add(1, Ordering::SeqCst);
                live.add_range(page..page + 1);
            }
            done.fetch_add(1, Ordering::SeqCst);
        };
        let follow = || {
            let mut copy = copy.lock().unwrap();
            let mut next = 0;
            while let Some(value) = live.next_value(next) {
                let bits = live.hand_over(value, &pending);
                for at in (0..VALUE_PAGES).filter(|at| bits[(at / 64) as usize] >> (at % 64) & 1 == 1) {
                    let page = (value as u64 * VALUE_PAGES + at) as usize;
                    copy[page] = device[page].load(Ordering::SeqCst);
                }
                next = value + 1;
            }
        };
        std::thread::scope(|scope| {
            (0..WRITERS).for_each(|seed| drop(scope.spawn(move || write(seed))));
            while done.load(Ordering::SeqCst) < WRITERS {
                follow();
            }
        });
        follow();
        let stale =
            copy.lock().unwrap().iter().zip(&device).filter(|(copy, is)| **copy != is.load(Ordering::SeqCst)).count();
        assert_eq!((stale, live.count()), (0, 0));
    }

    /// One page is marked while its value is handed over, again and again: the mark went along, or is found after.
    #[test]
    fn a_mark_that_comes_meanwhile_is_found() {
        const ROUNDS: u64 = 100_000;
        let (live, pending, gone) = (bitmap(VALUE_PAGES), bitmap(VALUE_PAGES), bitmap(VALUE_PAGES));
        let (begun, marked) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut lost = 0;
        let wait = |word: &AtomicU64, round| {
            while word.load(Ordering::SeqCst) < round {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    wait(&begun, round);
                    (0..round % 50 * 8).for_each(|_| std::hint::spin_loop());
                    live.add_range(round % 64..round % 64 + 1);
                    marked.store(round, Ordering::SeqCst);
                }
            });
            for round in 1..=ROUNDS {
                begun.store(round, Ordering::SeqCst);
                live.hand_over(0, &pending);
                wait(&marked, round);
                live.next_value(0).map(|value| live.hand_over(value, &pending));
                lost += u64::from(!pending.has(round % 64..round % 64 + 1));
                pending.hand_over(0, &gone);
            }
        });
        assert_eq!(lost, 0);
    }

    proptest! {
        #[test]
        fn ranges_are_marked_and_nothing_else(
            pages in 1..4 * VALUE_PAGES, start in 0..4 * VALUE_PAGES, len in 0..2 * VALUE_PAGES,
        ) {
            let marks = bitmap(pages);
            marks.add_range(start..start + len);
            let range = start.min(pages)..(start + len).min(pages);
            prop_assert_eq!(marks.count(), range.end - range.start);
            prop_assert!(marks.has(range));
        }

        #[test]
        fn bits_move_whole(pages in 1..4 * VALUE_PAGES, some in prop::collection::vec((0..4 * VALUE_PAGES, 1..200u64), 1..9)) {
            let (from, to) = (bitmap(pages), bitmap(pages));
            some.iter().for_each(|&(start, len)| from.add_range(start..start + len));
            let count = from.count();
            let mut moved = 0;
            while let Some(value) = from.next_value(0) {
                moved += from.hand_over(value, &to).iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            }
            prop_assert_eq!((from.count(), to.count(), moved), (0, count, count));
        }
    }
}
