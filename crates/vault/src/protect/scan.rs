//! Scanning segments of disks: what was read is compared, cut and named.
//!
//! Never knows: packs that are being written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_format::units::{ChunkId, DiskNo, PAGE_SIZE, PageNo};
use backstay_seal::chunk::{ChunkNamer, CutSize, Cutter};
use backstay_store::ingest::{Buffers, Scanned, Scanner};
use backstay_timeline::extent::Content;

use super::compare::{Compare, Page};
use super::segment::Segment;
use super::{Capture, Source, pages_of};
use crate::map::Map;
use crate::{Vault, VaultError};

/// Pages in a segment: 4 MiB. Chunks do not cross its ends.
const SEGMENT: u64 = 1024;

/// How chunks are cut: about 40 KiB on average. Frames of many chunks are compressed together, so that short chunks, which
/// deduplicate better, do not compress worse.
const CUT: CutSize = CutSize { least: 2, bits: 3, most: 64 };

/// Something to say about a run of pages: a content that needs no chunk, or `None` for the next chunk.
pub(super) struct Found {
    pub(super) disk: DiskNo,
    pub(super) page: PageNo,
    pub(super) pages: u64,
    pub(super) what: Option<Content>,
}

/// What was found in a segment, in order.
pub(super) type Note = Vec<Found>;

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
    cutter: Cutter,
    namer: ChunkNamer,
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
            cutter: Cutter::new(&vault.keys.cut, CUT),
            namer: ChunkNamer::new(&vault.keys.chunk),
            buffers: Buffers::new(SEGMENT as usize * PAGE_SIZE),
            seen: capture.sources.iter().map(|_| Seen::default()).collect(),
        }
    }

    pub(super) fn seen(&self, source: usize) -> &Seen {
        &self.seen[source]
    }

    /// Reads the used part of a segment.
    fn read(&self, source: &Source<'_>, pages: &Range<u64>) -> Result<Segment, VaultError> {
        let (segment, counts) = Segment::read(source, pages, &self.buffers)
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

    /// Cuts and names a run of changed pages.
    fn chunks(&self, buffer: &[u8], run: Range<usize>, out: &mut Vec<(ChunkId, Range<usize>)>) -> Vec<u64> {
        let bytes = &buffer[run.start * PAGE_SIZE..run.end * PAGE_SIZE];
        let mut at = run.start * PAGE_SIZE;
        let mut lengths = Vec::new();
        for pages in self.cutter.cut(bytes) {
            let range = at..at + pages * PAGE_SIZE;
            out.push((self.namer.name(&buffer[range.clone()]), range.clone()));
            at = range.end;
            lengths.push(pages as u64);
        }
        lengths
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
        let mut note = Note::new();
        let mut chunks = Vec::new();
        for (run, content) in self.compare.changes(&base, pages.start, &buffer, &state)? {
            let mut page = PageNo(pages.start + run.start as u64);
            let lengths = match content {
                Some(_) => vec![run.len() as u64],
                None => self.chunks(&buffer, run, &mut chunks),
            };
            for pages in lengths {
                note.push(Found { disk, page, pages, what: content });
                page.0 += pages;
            }
        }
        Ok(Scanned { buffer: Arc::new(buffer), chunks, note })
    }
}
