//! Scanning segments of disks: read, compare, cut, name.
//!
//! Never knows: packs that are being written.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_env::volume::{Content as Known, Volume};
use backstay_format::units::{ChunkId, DiskNo, PAGE_SIZE, PageNo};
use backstay_seal::chunk::{ChunkNamer, CutSize, Cutter, is_zero};
use backstay_store::ingest::{Scanned, Scanner};
use backstay_timeline::extent::Content;

use super::compare::{Compare, Page};
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
}

/// Scans for a rescan.
pub(super) struct RescanScanner<'a> {
    capture: &'a Capture<'a>,
    plan: &'a Plan,
    base: Option<&'a Arc<Map>>,
    compare: Compare<'a>,
    cutter: Cutter,
    namer: ChunkNamer,
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
            seen: capture.sources.iter().map(|_| Seen::default()).collect(),
        }
    }

    pub(super) fn seen(&self, source: usize) -> &Seen {
        &self.seen[source]
    }

    /// Reads the used part of a segment: the bytes, and what each page is.
    fn read(&self, source: &Source<'_>, pages: &Range<u64>) -> Result<(Vec<u8>, Vec<Page>), VaultError> {
        let bytes = pages.start * PAGE_SIZE as u64..pages.end * PAGE_SIZE as u64;
        let mut state = vec![Page::Absent; (pages.end - pages.start) as usize];
        let parts: Vec<Range<u64>> = overlapping(&source.used, &bytes).collect();
        if parts.is_empty() {
            return Ok((Vec::new(), state));
        }
        let mut buffer = vec![0; state.len() * PAGE_SIZE];
        let mut read = 0;
        for part in &parts {
            mark(&mut state, &bytes, part, Page::Zero);
            read += read_data(source.volume, part, bytes.start, &mut buffer, &mut state)
                .map_err(|error| VaultError::Source { name: source.name.clone(), source: error })?;
        }
        for part in overlapping(&source.excluded, &bytes) {
            exclude(&mut state, &mut buffer, &bytes, &part);
        }
        for (page, state) in buffer.chunks(PAGE_SIZE).zip(&mut state) {
            if *state == Page::Data && is_zero(page) {
                *state = Page::Zero;
            }
        }
        self.capture.progress.looked_at(parts.iter().map(|p| p.end - p.start).sum(), read);
        Ok((buffer, state))
    }

    fn count(&self, source: usize, state: &[Page]) {
        let count = |which: Page| state.iter().filter(|s| **s == which).count() as u64;
        self.seen[source].unreadable.fetch_add(count(Page::Unreadable), Ordering::Relaxed);
        self.seen[source].absent.fetch_add(count(Page::Absent), Ordering::Relaxed);
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
        let (buffer, state) = self.read(source, &pages)?;
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

/// The parts of sorted ranges that lie inside one.
fn overlapping<'r>(ranges: &'r [Range<u64>], inside: &'r Range<u64>) -> impl Iterator<Item = Range<u64>> + 'r {
    let first = ranges.partition_point(|r| r.end <= inside.start);
    let touched = ranges[first..].iter().take_while(move |r| r.start < inside.end);
    touched.map(move |r| r.start.max(inside.start)..r.end.min(inside.end))
}

/// Sets the state of each page that a range of bytes touches.
fn mark(state: &mut [Page], segment: &Range<u64>, bytes: &Range<u64>, what: Page) {
    let first = ((bytes.start - segment.start) / PAGE_SIZE as u64) as usize;
    let last = ((bytes.end - segment.start).div_ceil(PAGE_SIZE as u64)) as usize;
    state[first..last].fill(what);
}

/// Leaves out the pages that lie wholly inside a range.
fn exclude(state: &mut [Page], buffer: &mut [u8], segment: &Range<u64>, bytes: &Range<u64>) {
    let first = ((bytes.start - segment.start).div_ceil(PAGE_SIZE as u64)) as usize;
    let last = ((bytes.end - segment.start) / PAGE_SIZE as u64) as usize;
    if first < last {
        state[first..last].fill(Page::Excluded);
        buffer[first * PAGE_SIZE..last * PAGE_SIZE].fill(0);
    }
}

/// Reads what is not a hole. Pages that cannot be read are marked, and their neighbours kept. Says how much was read.
fn read_data(
    volume: &dyn Volume,
    part: &Range<u64>,
    start: u64,
    buffer: &mut [u8],
    state: &mut [Page],
) -> std::io::Result<u64> {
    let part = part.start..part.end.min(volume.size());
    if part.is_empty() {
        return Ok(0);
    }
    let mut read = 0;
    let mut at = part.start;
    while at < part.end {
        for span in volume.spans(at, part.end - at)? {
            at = span.offset + span.len;
            if span.content == Known::Hole {
                continue;
            }
            let range = (span.offset - start) as usize..(span.offset + span.len - start) as usize;
            mark_pages(state, &range, Page::Data);
            if volume.read_at(span.offset, &mut buffer[range.clone()]).is_err() {
                read_page_by_page(volume, span.offset, range.clone(), buffer, state)?;
            }
            read += range.len() as u64;
        }
    }
    Ok(read)
}

fn mark_pages(state: &mut [Page], bytes: &Range<usize>, what: Page) {
    state[bytes.start / PAGE_SIZE..bytes.end.div_ceil(PAGE_SIZE)].fill(what);
}

/// A read failed: finds the pages that cannot be read. All of them at once means that the source is gone.
fn read_page_by_page(
    volume: &dyn Volume,
    offset: u64,
    range: Range<usize>,
    buffer: &mut [u8],
    state: &mut [Page],
) -> std::io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let end = ((at / PAGE_SIZE + 1) * PAGE_SIZE).min(range.end);
        let from = offset + (at - range.start) as u64;
        if let Err(error) = volume.read_at(from, &mut buffer[at..end]) {
            if source_is_gone(&error) {
                return Err(error);
            }
            buffer[at / PAGE_SIZE * PAGE_SIZE..end].fill(0);
            state[at / PAGE_SIZE] = Page::Unreadable;
        }
        at = end;
    }
    Ok(())
}

/// Errors that say "this disk", not "this page": it was pulled out, shrunk, or lost its driver.
fn source_is_gone(error: &std::io::Error) -> bool {
    const ENXIO: i32 = 6;
    const ENODEV: i32 = 19;
    let gone = matches!(error.raw_os_error(), Some(ENXIO | ENODEV));
    gone || error.kind() == std::io::ErrorKind::UnexpectedEof
}
