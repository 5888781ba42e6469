//! Scanning segments of disks: what was read is compared, cut and named.
//!
//! Never knows: packs that are being written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_format::units::{DiskNo, PAGE_SIZE, PageNo};
use backstay_store::ingest::{Buffers, Scanned, Scanner};

use super::compare::{Compare, Page};
use super::cut::{Cutting, Findings, Note};
use super::segment::{Segment, View};
use super::{Capture, Source, pages_of};
use crate::map::Map;
use crate::{Vault, VaultError};

/// Pages in a segment: 4 MiB. Chunks do not cross its ends.
pub(super) const SEGMENT: u64 = 1024;

/// The segments of a capture.
pub(super) struct Plan {
    segments: Vec<(usize, DiskNo, Range<u64>)>,
    bytes: u64,
}

impl Plan {
    pub(super) fn new(sources: &[Source<'_>], disks: &[DiskNo]) -> Self {
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.sort_by_key(|i| disks[*i]);
        let mut segments = Vec::new();
        for index in order {
            let pages = pages_of(&sources[index]);
            let starts = (0..pages).step_by(SEGMENT as usize);
            segments.extend(starts.map(|s| (index, disks[index], s..(s + SEGMENT).min(pages))));
        }
        let bytes = sources.iter().flat_map(|s| &s.used).map(|r| r.end - r.start).sum();
        Plan { segments, bytes }
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
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
            cutting: Cutting::new(vault),
            buffers: Buffers::new(SEGMENT as usize * PAGE_SIZE),
            seen: capture.sources.iter().map(|_| Seen::default()).collect(),
        }
    }

    pub(super) fn seen(&self, source: usize) -> &Seen {
        &self.seen[source]
    }

    /// Reads the used part of a segment.
    fn read(&self, source: &Source<'_>, pages: &Range<u64>) -> Result<Segment, VaultError> {
        let view = View { volume: source.volume, used: &source.used, excluded: &source.excluded };
        let (segment, counts) = Segment::read(&view, std::slice::from_ref(pages), &self.buffers)
            .map_err(|error| VaultError::Source { name: source.name.clone(), source: error })?;
        self.capture.progress.looked_at(counts.used, counts.read);
        Ok(segment)
    }

    fn count(&self, source: usize, state: &[Page]) {
        let count = |which: Page| state.iter().filter(|s| **s == which).count() as u64;
        self.seen[source].unreadable.fetch_add(count(Page::Unreadable), Ordering::Relaxed);
        self.seen[source].absent.fetch_add(count(Page::Absent), Ordering::Relaxed);
        self.seen[source].excluded.fetch_add(count(Page::Excluded), Ordering::Relaxed);
    }
}

impl Scanner for RescanScanner<'_> {
    type Note = Note;
    type Error = VaultError;

    fn scan(&self, number: usize) -> Result<Scanned<Note>, VaultError> {
        if self.capture.cancel.load(Ordering::Relaxed) {
            return Err(VaultError::Cancelled);
        }
        let (index, disk, pages) = self.plan.segments[number].clone();
        let source = &self.capture.sources[index];
        let Segment { bytes: buffer, state } = self.read(source, &pages)?;
        self.count(index, &state);
        let base = match self.base {
            Some(map) => map.extents(disk, pages.clone())?,
            None => Vec::new(),
        };
        let mut found = Findings::default();
        for (run, content) in self.compare.changes(&base, pages.start, &buffer, &state)? {
            let page = PageNo(pages.start + run.start as u64);
            self.cutting.say(&mut found, (disk, page), &buffer, (run, content));
        }
        Ok(found.of(buffer))
    }
}
