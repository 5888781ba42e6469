//! What capture reads goes into the vault.
//!
//! Never knows: when, or why then.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use backstay_capture::point::Keep;
use backstay_env::volume::Volume;
use backstay_vault::VaultError;
use backstay_vault::protect::{Changed, Following};

use crate::rate::{Limited, Rate};

/// Keeps the passes of one point.
pub(super) struct Keeper<'v, 'a> {
    pub(super) following: Following<'v>,
    /// For each disk, ranges of pages that are not kept: swap.
    pub(super) without: &'a [Vec<Range<u64>>],
    /// How fast disks may be read.
    pub(super) rate: Option<&'a Rate>,
    pub(super) cancel: &'a AtomicBool,
}

impl Keep for Keeper<'_, '_> {
    type Error = VaultError;

    fn pass(&mut self, disk: usize, volume: &dyn Volume, pages: Vec<Range<u64>>) -> Result<(), VaultError> {
        self.rest(disk, &Limited { volume, rate: self.rate, cancel: self.cancel }, pages)
    }

    fn rest(&mut self, disk: usize, volume: &dyn Volume, pages: Vec<Range<u64>>) -> Result<(), VaultError> {
        let pages = outside(&pages, &self.without[disk]);
        match pages.is_empty() {
            true => Ok(()),
            false => self.following.pass(&[Changed { disk, volume, pages, excluded: Vec::new() }], self.cancel),
        }
    }
}

/// What of some ranges lies outside others; all in order.
pub(super) fn outside(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut at = range.start;
        let first = others.partition_point(|other| other.end <= range.start);
        for other in others[first..].iter().take_while(|other| other.start < range.end) {
            if at < other.start {
                left.push(at..other.start);
            }
            at = at.max(other.end);
        }
        if at < range.end {
            left.push(at..range.end);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_left() {
        let others = [10..20, 30..40];
        for (from, to) in (0..50).flat_map(|from| (from + 1..50).map(move |to| (from, to))) {
            let left = outside(&[from..to], &others);
            let inside = |page: u64| left.iter().any(|range| range.contains(&page));
            let expected = |page: u64| (from..to).contains(&page) && !others.iter().any(|other| other.contains(&page));
            assert!((0..50).all(|page| inside(page) == expected(page)), "{from}..{to}: {left:?}");
            assert!(left.windows(2).all(|w| w[0].end < w[1].start) && left.iter().all(|range| !range.is_empty()));
        }
    }
}
