//! How the marks of a disk lie in their map: header, summary, bits. The other side of it is `bpf/layout.h`.
//!
//! Never knows: who sets a bit, or why.

/// Bytes of a value of the map; the kernel's programs look values up one by one.
pub(crate) const VALUE_BYTES: usize = 4096;
/// Words of a value.
pub(crate) const VALUE_WORDS: usize = VALUE_BYTES / 8;
/// Pages that the bits of one value stand for: 128 MiB of disk.
pub(crate) const VALUE_PAGES: u64 = VALUE_BYTES as u64 * 8;
/// Disks that one tracker follows.
pub(crate) const MOST_DISKS: usize = 256;

/// `bsmarks` and a zero: the map is one of ours, and its header was written to the end.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"bsmarks\0");
/// Goes up with every change of this file or `layout.h`.
pub(crate) const VERSION: u32 = 2;

/// Where things are in the header, in words.
pub(crate) mod word {
    /// [`super::MAGIC`], written last.
    pub(crate) const MAGIC: usize = 0;
    /// Version below, number of the first value with bits above: the kernel's programs read the latter.
    pub(crate) const SHAPE: usize = 1;
    /// Pages of the disk; the last one may be a part of one.
    pub(crate) const PAGES: usize = 2;
    /// Two words that name this beginning of the marks.
    pub(crate) const GENERATION: usize = 3;
    /// What the disk was when marking began.
    pub(crate) const NUMBER: usize = 5;
    pub(crate) const SEQUENCE: usize = 6;
    pub(crate) const SIZE: usize = 7;
    pub(crate) const PARTITIONS: usize = 8;
    /// Why the marks may lack something, from events that leave no other trace: bits.
    pub(crate) const LOST: usize = 9;
    /// How many events each copy of the completion program had missed when marking began; by set of programs, two
    /// times three words.
    pub(crate) const MISSES: usize = 10;
    /// Counts of events that could not be marked.
    pub(crate) const FAULTS: usize = 248;
    /// Counts of writes, in slots of eight words.
    pub(crate) const HITS: usize = 256;
}

/// Which count of [`word::FAULTS`].
pub(crate) mod fault {
    pub(crate) const OVERFLOW: usize = 0;
    pub(crate) const OUTSIDE: usize = 1;
    pub(crate) const DRV_OUT: usize = 2;
    pub(crate) const UNKNOWN: usize = 3;
}

/// Which count of each slot of [`word::HITS`].
pub(crate) mod hit {
    pub(crate) const COMPLETE: usize = 0;
    pub(crate) const ISSUE: usize = 1;
    pub(crate) const SLOTS: usize = 32;
    pub(crate) const SLOT_WORDS: usize = 8;
}

/// The values that marks of `pages` pages need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pages that have a bit.
    pub(crate) pages: u64,
    /// Values of bits.
    pub(crate) bits: usize,
    /// The first of them; before it lie the header and the summary.
    pub(crate) first: usize,
}

impl Shape {
    /// `None`: more pages than a map can hold.
    pub(crate) fn of(pages: u64) -> Option<Shape> {
        let bits = usize::try_from(pages.div_ceil(VALUE_PAGES)).ok()?;
        let first = 1 + bits.div_ceil(VALUE_BYTES);
        let shape = Shape { pages, bits, first };
        u32::try_from(shape.values()).ok().and(i32::try_from(first).ok()).map(|_| shape)
    }

    /// All values.
    pub(crate) fn values(self) -> usize {
        self.first + self.bits
    }

    /// All words.
    pub(crate) fn words(self) -> usize {
        self.values() * VALUE_WORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that `layout.h` gives a name.
    fn defined(name: &str) -> usize {
        let header = include_str!("../../bpf/layout.h");
        let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} "))).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn both_sides_agree() {
        assert_eq!(defined("VALUE_BYTES"), VALUE_BYTES);
        assert_eq!(defined("PAGE_BYTES"), backstay_format::units::PAGE_SIZE);
        assert_eq!(defined("MOST_DISKS"), MOST_DISKS);
        assert_eq!(defined("FAULT_OVERFLOW"), fault::OVERFLOW);
        assert_eq!(defined("FAULT_OUTSIDE"), fault::OUTSIDE);
        assert_eq!(defined("FAULT_DRV_OUT"), fault::DRV_OUT);
        assert_eq!(defined("FAULT_UNKNOWN"), fault::UNKNOWN);
        assert_eq!(defined("HIT_COMPLETE"), hit::COMPLETE);
        assert_eq!(defined("HIT_ISSUE"), hit::ISSUE);
        assert_eq!(defined("HIT_SLOTS"), hit::SLOTS);
        // The header of `layout.h` ends with its hits and is one value, which its compiler asserts.
        assert_eq!(word::HITS + hit::SLOTS * hit::SLOT_WORDS, VALUE_WORDS);
        assert_eq!(word::FAULTS + 8, word::HITS);
    }

    #[test]
    fn shapes() {
        assert_eq!(Shape::of(1), Some(Shape { pages: 1, bits: 1, first: 2 }));
        assert_eq!(Shape::of(VALUE_PAGES).unwrap().bits, 1);
        assert_eq!(Shape::of(VALUE_PAGES + 1).unwrap().bits, 2);
        let tebibyte = Shape::of((1 << 40) / 4096).unwrap();
        assert_eq!((tebibyte.bits, tebibyte.first), (8192, 3));
        assert_eq!(Shape::of(u64::MAX), None);
    }
}
