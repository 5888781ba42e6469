//! In which order a rescan looks at disks: at what most likely changed first.
//!
//! So what changed is stored and committed early, should the rescan be interrupted, and a slow network has something to take from
//! the beginning. Likely is what is in use now and was not at the newest point, and what the newest spans of the timeline speak
//! of: a file system writes its journal, its tables and the files that are busy again and again.
//!
//! Never knows: how segments are read, or compared.
//! Invariant: guesses decide the order and nothing else; each segment is looked at once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::Ordering;

use backstay_format::units::{DiskNo, MachineId, PAGE_SIZE, PointNo, pages_in};
use backstay_store::ingest::{Scanned, Scanner};
use backstay_store::ledger::View;
use backstay_timeline::extent::{Content, Extent, push};
use backstay_timeline::run::RunBuilder;

use super::cut::Note;
use super::making::Making;
use super::scan::{Plan, Rescanner};
use super::{Progress, Task};
use crate::map::{Map, Run};
use crate::rows::spans_ending;
use crate::{Vault, VaultError};

/// Segments that are looked at first, at most: what is found in them is held in memory, some five kilobytes for each.
const MOST: usize = 4096;
/// Extents of newest spans that are asked for, at most.
const ASKED: u64 = 1 << 18;
/// With fewer segments, there is nothing to gain.
const FEW: usize = 16;
/// With so many segments left, what was found in the first ones is committed before.
const MANY: usize = 256;
/// Pages of a disk whose map is asked for at once.
const STRIDE: u64 = 1 << 16;

/// Numbers of segments: those that are looked at first, and so many others; both in the order of the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    first: Vec<usize>,
    others: usize,
}

/// Segments that were chosen so far.
struct Choice<'p> {
    plan: &'p Plan,
    chosen: BTreeSet<usize>,
    most: usize,
}

impl Choice<'_> {
    fn new(plan: &Plan, most: usize) -> Choice<'_> {
        Choice { plan, chosen: BTreeSet::new(), most }
    }

    /// Chooses the segments that pages of a disk lie in, as far as there is room.
    fn add(&mut self, disk: DiskNo, pages: &Range<u64>) {
        for segment in self.plan.touching(disk, pages) {
            if self.is_full() {
                return;
            }
            self.chosen.insert(segment);
        }
    }

    fn is_full(&self) -> bool {
        self.chosen.len() >= self.most
    }

    fn order(self) -> Order {
        let others = self.plan.segments() - self.chosen.len();
        Order { first: self.chosen.into_iter().collect(), others }
    }
}

impl Order {
    /// The order for a rescan that goes on from `base`: where a machine's timeline ends, and what the disks held there.
    pub(super) fn of(
        vault: &Vault,
        task: &Task<'_>,
        plan: &Plan,
        base: Option<(&View, MachineId, PointNo, &Map)>,
    ) -> Order {
        let mut choice = Choice::new(plan, MOST);
        if let Some((view, machine, number, map)) = base.filter(|_| plan.segments() >= FEW) {
            newly_used(task, map, &mut choice);
            // What cannot be known is not guessed from.
            drop(recent(vault, (view, machine, number), &mut choice));
        }
        choice.order()
    }
}

impl Order {
    /// The number of one of the others. Counted, not listed: a disk may be said to be very large.
    fn other(&self, index: usize) -> usize {
        let mut before = (0, self.first.len());
        while before.0 < before.1 {
            let middle = before.0.midpoint(before.1);
            before = if self.first[middle] - middle <= index { (middle + 1, before.1) } else { (before.0, middle) };
        }
        index + before.0
    }
}

/// What is in use, and was not when the map was made.
fn newly_used(task: &Task<'_>, map: &Map, choice: &mut Choice<'_>) {
    for ((facts, mut used), disk) in task.disks.iter().zip(task.used.iter().copied()).zip(choice.plan.numbers()) {
        let pages = pages_in(facts.size);
        for start in (0..pages).step_by(STRIDE as usize) {
            let region = start..(start + STRIDE).min(pages);
            used = &used[used.partition_point(|r| r.end <= region.start * PAGE_SIZE as u64)..];
            let is_used = used.first().is_some_and(|r| r.start < region.end * PAGE_SIZE as u64);
            if choice.is_full() || task.cancel.load(Ordering::Relaxed) {
                return;
            }
            let Ok(extents) = (if is_used { map.extents(*disk, region) } else { Ok(Vec::new()) }) else { return };
            let absent = extents.iter().filter(|e| e.content == Content::Absent);
            absent.for_each(|extent| now_used(extent, used, choice));
        }
    }
}

/// The pages of an extent that byte ranges in order touch.
fn now_used(extent: &Extent, used: &[Range<u64>], choice: &mut Choice<'_>) {
    let page = PAGE_SIZE as u64;
    let pages = extent.page.0..extent.end().0;
    let first = used.partition_point(|r| r.end <= pages.start * page);
    for used in used[first..].iter().take_while(|r| r.start < pages.end * page) {
        let touched = (used.start / page).max(pages.start)..used.end.div_ceil(page).min(pages.end);
        choice.add(extent.disk, &touched);
    }
}

/// What the newest spans speak of, newest first. The first of all speaks of everything, and is not asked.
fn recent(
    vault: &Vault,
    (view, machine, mut at): (&View, MachineId, PointNo),
    choice: &mut Choice<'_>,
) -> Result<(), VaultError> {
    let mut left = ASKED;
    while !choice.is_full() {
        let narrowest = spans_ending(view, machine, at)?.into_iter().max_by_key(|(span, _)| span.from);
        let Some((span, row)) = narrowest.filter(|(span, _)| span.from > PointNo::BEGINNING) else { return Ok(()) };
        let Some(less) = left.checked_sub(row.extents) else { return Ok(()) };
        Run::open(view, &vault.packs, span)?.for_each_block(&vault.packs, |extents| {
            extents.iter().for_each(|e| choice.add(e.disk, &(e.page.0..e.end().0)));
            Ok(())
        })?;
        (left, at) = (less, span.from);
    }
    Ok(())
}

/// Scans some segments of a rescan.
struct Chosen<'a, N> {
    scanner: &'a dyn Rescanner,
    /// The number of each.
    segment: N,
}

impl<N: Fn(usize) -> usize + Sync> Scanner for Chosen<'_, N> {
    type Note = Note;
    type Error = VaultError;

    fn scan(&self, number: usize) -> Result<Scanned<Note>, VaultError> {
        self.scanner.scan((self.segment)(number))
    }

    fn at_once(&self) -> Option<usize> {
        self.scanner.at_once()
    }
}

/// Looks at all segments in this order, and makes a run of what is found.
pub(super) fn look(
    making: &mut Making<'_>,
    scanner: &dyn Rescanner,
    order: &Order,
    progress: &Progress,
) -> Result<RunBuilder, VaultError> {
    let mut early = Vec::new();
    if !order.first.is_empty() {
        let first = Chosen { scanner, segment: |index: usize| order.first[index] };
        making.pass(&first, order.first.len(), progress, &mut |extent| push(&mut early, extent))?;
        if !early.is_empty() && order.others >= MANY {
            making.flush(progress)?;
        }
    }
    let mut merging = Merging { early: early.into_iter().peekable(), run: RunBuilder::default() };
    let others = Chosen { scanner, segment: |index| order.other(index) };
    making.pass(&others, order.others, progress, &mut |extent| merging.push(extent))?;
    Ok(merging.finish())
}

/// Puts two lists of extents, which do not overlap and are in order each, into one run.
struct Merging<I: Iterator<Item = Extent>> {
    early: std::iter::Peekable<I>,
    run: RunBuilder,
}

impl<I: Iterator<Item = Extent>> Merging<I> {
    fn push(&mut self, extent: Extent) {
        let place = |e: &Extent| (e.disk, e.page);
        while let Some(early) = self.early.next_if(|early| place(early) < place(&extent)) {
            self.run.push(early);
        }
        self.run.push(extent);
    }

    fn finish(mut self) -> RunBuilder {
        self.early.for_each(|early| self.run.push(early));
        self.run
    }
}

#[cfg(test)]
mod tests {
    use backstay_scan::SEGMENT;
    use proptest::prelude::*;

    use super::super::DiskFacts;
    use super::*;

    const DISKS: [DiskNo; 2] = [DiskNo(7), DiskNo(3)];

    fn facts(size: u64) -> DiskFacts {
        DiskFacts { name: "sda".into(), origin: String::new(), size, sector: 512, used: 0, exclusions: vec![] }
    }

    proptest! {
        #[test]
        fn each_segment_has_one_place_and_the_likeliest_come_first(
            sizes in prop::array::uniform2(1..30 * SEGMENT * PAGE_SIZE as u64),
            hints in prop::collection::vec((0..2usize, 0..40 * SEGMENT, 1..3 * SEGMENT), 0..12),
            most in 0..20usize,
        ) {
            let plan = Plan::new(&sizes.map(facts), &DISKS);
            let mut choice = Choice::new(&plan, most);
            let mut expected = BTreeSet::new();
            // Disk 3 is planned before disk 7.
            let counts = sizes.map(|size| size.div_ceil(SEGMENT * PAGE_SIZE as u64));
            let first_of = [counts[1], 0];
            for (disk, start, len) in hints {
                choice.add(DISKS[disk], &(start..start + len));
                let pages = start..(start + len).min(sizes[disk].div_ceil(PAGE_SIZE as u64));
                for at in (pages.start / SEGMENT..pages.end.div_ceil(SEGMENT)).filter(|_| !pages.is_empty()) {
                    if expected.len() < most {
                        expected.insert((first_of[disk] + at) as usize);
                    }
                }
            }
            let order = choice.order();
            prop_assert!(order.first.iter().eq(&expected));
            let others = (0..plan.segments()).filter(|segment| !expected.contains(segment));
            prop_assert!(others.eq((0..order.others).map(|index| order.other(index))));
        }
    }
}
