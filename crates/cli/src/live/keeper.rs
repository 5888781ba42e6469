//! What capture reads goes into the vault.
//!
//! Never knows: when, or why then.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use backstay_capture::point::Keep;
use backstay_env::volume::Volume;
use backstay_timeline::pages::{inside, outside};
use backstay_vault::protect::Changed;

use super::left_out::LeftOut;
use crate::rate::{Limited, Rate};
use crate::target::{InTheMaking, Trouble};

/// Extents of a point in the making that are held in memory at most. A comparison puts down what it finds on the way.
pub(super) const EXTENTS: u64 = 1 << 20;
/// Pages of an extent at most: those of a chunk.
const LARGEST: u64 = 64;

/// Keeps the passes of one point.
pub(super) struct Keeper<'v, 'a> {
    pub(super) following: Box<dyn InTheMaking + 'v>,
    /// For each disk, ranges of pages that are not kept: swap.
    pub(super) without: &'a [Vec<Range<u64>>],
    /// For each disk, what is left out by choice.
    pub(super) left_out: &'a mut [LeftOut],
    /// How fast disks may be read.
    pub(super) rate: Option<&'a Rate>,
    pub(super) cancel: &'a AtomicBool,
}

impl Keep for Keeper<'_, '_> {
    type Error = Trouble;

    fn pass(&mut self, disk: usize, volume: &dyn Volume, pages: Vec<Range<u64>>) -> Result<(), Trouble> {
        self.rest(disk, &Limited { volume, rate: self.rate, cancel: self.cancel }, pages)
    }

    fn rest(&mut self, disk: usize, volume: &dyn Volume, pages: Vec<Range<u64>>) -> Result<(), Trouble> {
        let pages = outside(&pages, &self.without[disk]);
        let left_out = &mut self.left_out[disk];
        left_out.skipped.extend(inside(&pages, &left_out.skips));
        let pages = outside(&pages, &left_out.skips);
        if pages.is_empty() {
            return Ok(());
        }
        // Known before anything is read.
        let least: u64 = pages.iter().map(|range| (range.end - range.start).div_ceil(LARGEST)).sum();
        if self.following.extents() as u64 + least > EXTENTS {
            return Err(Trouble::TooMuch);
        }
        left_out.lacks = outside(&left_out.lacks, &pages);
        self.following.pass(&[Changed { disk, volume, pages, excluded: Vec::new() }], self.cancel)
    }
}

impl Keeper<'_, '_> {
    /// Pages that nothing uses: they are absent from now on. None of them is read.
    pub(super) fn absent(&mut self, disk: usize, pages: Vec<Range<u64>>) -> Result<(), Trouble> {
        if pages.is_empty() {
            return Ok(());
        }
        let left_out = &mut self.left_out[disk];
        left_out.lacks = outside(&left_out.lacks, &pages);
        self.following.absent(disk, pages)
    }
}
