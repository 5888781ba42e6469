//! Scanning segments of disks: what was read is compared, cut and named.
//!
//! Never knows: packs that are being written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_env::real::disk::Buffers;
use backstay_format::units::{DiskNo, PAGE_SIZE, PageNo, pages_in};
use backstay_scan::{Cutting, Page, SEGMENT, Segment, View};
use backstay_store::ingest::{Scanned, Scanner};

use super::compare::Compare;
use super::cut::{Findings, Note};
use super::{Capture, DiskFacts, Source};
use crate::map::Map;
use crate::{Vault, VaultError};

/// The segments of a capture. Counted, not listed: a disk may be said to be very large.
pub(super) struct Plan {
    /// In the order in which they are read: the source, its number, its pages, and the number of its first segment.
    disks: Vec<(usize, DiskNo, u64, usize)>,
    numbers: Vec<DiskNo>,
    segments: usize,
    bytes: u64,
}

impl Plan {
    pub(super) fn new(facts: &[DiskFacts], disks: &[DiskNo]) -> Self {
        let mut order: Vec<usize> = (0..facts.len()).collect();
        order.sort_by_key(|i| disks[*i]);
        let (mut placed, mut segments) = (Vec::new(), 0);
        for index in order {
            let pages = pages_in(facts[index].size);
            placed.push((index, disks[index], pages, segments));
            segments += pages.div_ceil(SEGMENT) as usize;
        }
        let bytes = facts.iter().map(|disk| disk.used).sum();
        Plan { disks: placed, numbers: disks.to_vec(), segments, bytes }
    }

    pub(super) fn segments(&self) -> usize {
        self.segments
    }

    /// A segment: its source, the number of that disk, and its pages.
    pub(super) fn segment(&self, number: usize) -> (usize, DiskNo, Range<u64>) {
        let disk = self.disks.partition_point(|(.., first)| *first <= number) - 1;
        let (source, disk, pages, first) = self.disks[disk];
        let start = (number - first) as u64 * SEGMENT;
        (source, disk, start..(start + SEGMENT).min(pages))
    }

    /// The numbers of the disks.
    pub(super) fn numbers(&self) -> &[DiskNo] {
        &self.numbers
    }

    /// The segments that pages of a disk lie in.
    pub(super) fn touching(&self, disk: DiskNo, pages: &Range<u64>) -> Range<usize> {
        let found = self.disks.iter().find(|(_, number, _, _)| *number == disk);
        let Some((_, _, most, first)) = found else { return 0..0 };
        let pages = pages.start..pages.end.min(*most);
        if pages.is_empty() {
            return 0..0;
        }
        first + (pages.start / SEGMENT) as usize..first + pages.end.div_ceil(SEGMENT) as usize
    }

    /// Bytes that are to be looked at.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Counts of one disk.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) unreadable: AtomicU64,
    pub(super) absent: AtomicU64,
    pub(super) excluded: AtomicU64,
}

impl Seen {
    pub(super) fn count(&self, state: &[Page]) {
        let count = |which: Page| state.iter().filter(|s| **s == which).count() as u64;
        self.unreadable.fetch_add(count(Page::Unreadable), Ordering::Relaxed);
        self.absent.fetch_add(count(Page::Absent), Ordering::Relaxed);
        self.excluded.fetch_add(count(Page::Excluded), Ordering::Relaxed);
    }
}

/// Scans whole disks, and counts what it sees of each.
pub(super) trait Rescanner: Scanner<Note = Note, Error = VaultError> {
    /// What was seen of a disk so far.
    fn seen(&self, source: usize) -> &Seen;
}

/// Scans for a rescan.
pub(super) struct RescanScanner<'a> {
    capture: &'a Capture<'a>,
    plan: &'a Plan,
    base: Option<&'a Arc<Map>>,
    compare: Compare<'a>,
    cutting: Cutting,
    buffers: Buffers,
    seen: Vec<Seen>,
}

impl<'a> RescanScanner<'a> {
    pub(super) fn new(vault: &'a Vault, capture: &'a Capture<'a>, plan: &'a Plan, base: Option<&'a Arc<Map>>) -> Self {
        RescanScanner {
            capture,
            plan,
            base,
            compare: Compare { packs: &vault.packs },
            cutting: vault.cutting(),
            buffers: Buffers::new(SEGMENT as usize * PAGE_SIZE),
            seen: capture.sources.iter().map(|_| Seen::default()).collect(),
        }
    }

    /// Reads the used part of a segment.
    fn read(&self, source: &Source<'_>, pages: &Range<u64>) -> Result<Segment, VaultError> {
        let view = View { volume: source.volume, used: &source.used, excluded: &source.excluded };
        let (segment, counts) = Segment::read(&view, std::slice::from_ref(pages), &self.buffers)
            .map_err(|error| VaultError::Source { name: source.name.clone(), source: error })?;
        self.capture.progress.looked_at(counts.used, counts.read);
        Ok(segment)
    }
}

impl Rescanner for RescanScanner<'_> {
    fn seen(&self, source: usize) -> &Seen {
        &self.seen[source]
    }
}

impl Scanner for RescanScanner<'_> {
    type Note = Note;
    type Error = VaultError;

    fn scan(&self, number: usize) -> Result<Scanned<Note>, VaultError> {
        if self.capture.cancel.load(Ordering::Relaxed) {
            return Err(VaultError::Cancelled);
        }
        let (index, disk, pages) = self.plan.segment(number);
        let source = &self.capture.sources[index];
        let Segment { bytes: buffer, state } = self.read(source, &pages)?;
        self.seen[index].count(&state);
        let base = match self.base {
            Some(map) => map.extents(disk, pages.clone())?,
            None => Vec::new(),
        };
        let mut found = Findings::default();
        for (run, content) in self.compare.changes(&base, pages.start, &buffer, &state)? {
            let page = PageNo(pages.start + run.start as u64);
            found.say(&self.cutting, (disk, page), &buffer, (run, content));
        }
        Ok(found.of(buffer))
    }
}
