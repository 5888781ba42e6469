//! Reading what changed of disks, segment by segment.
//!
//! Never knows: how changes are noticed, or what the timeline has.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::real::disk::Buffers;
use backstay_format::rows::DiskAt;
use backstay_format::units::{DiskNo, PAGE_SIZE, PageNo};
use backstay_scan::{Cutting, Page, SEGMENT, Segment, View};
use backstay_store::ingest::{Scanned, Scanner};

use super::Progress;
use super::compare::runs;
use super::cut::{Findings, Note};
use super::follow::Changed;
use crate::VaultError;

/// Pieces of one disk that are read together.
pub(super) struct PassSegment {
    pub(super) changed: usize,
    pub(super) pieces: Vec<Range<u64>>,
}

impl PassSegment {
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| (piece.end - piece.start) as usize * PAGE_SIZE).sum()
    }
}

/// Segments of at most so many pieces.
pub(super) fn segments((changed, most): (usize, usize), pages: &[Range<u64>]) -> Vec<PassSegment> {
    let mut segments = Vec::new();
    let (mut pieces, mut room) = (Vec::new(), SEGMENT);
    for range in pages {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + room);
            pieces.push(at..end);
            room -= end - at;
            at = end;
            if room == 0 || pieces.len() == most {
                segments.push(PassSegment { changed, pieces: std::mem::take(&mut pieces) });
                room = SEGMENT;
            }
        }
    }
    if !pieces.is_empty() {
        segments.push(PassSegment { changed, pieces });
    }
    segments
}

/// Reads what changed.
pub(super) struct PassScanner<'a> {
    pub(super) changed: &'a [&'a Changed<'a>],
    pub(super) disks: &'a [DiskAt],
    pub(super) segments: &'a [PassSegment],
    pub(super) cancel: &'a AtomicBool,
    pub(super) cutting: Cutting,
    pub(super) buffers: Buffers,
    pub(super) progress: &'a Progress,
}

impl Scanner for PassScanner<'_> {
    type Note = Note;
    type Error = VaultError;

    fn scan(&self, number: usize) -> Result<Scanned<Note>, VaultError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(VaultError::Cancelled);
        }
        let PassSegment { changed, pieces } = &self.segments[number];
        let changed = self.changed[*changed];
        let at = &self.disks[changed.disk];
        let whole: Vec<Range<u64>> = std::iter::once(0..changed.volume.size()).collect();
        let view = View { volume: changed.volume, used: &whole, excluded: &changed.excluded };
        let (segment, counts) = Segment::read(&view, pieces, &self.buffers)
            .map_err(|source| VaultError::Source { name: at.name.clone(), source })?;
        self.progress.looked_at(counts.used, counts.read);
        let Segment { bytes, state } = segment;
        let mut found = Findings::default();
        let mut offset = 0;
        for piece in pieces {
            let pages = offset..offset + (piece.end - piece.start) as usize;
            offset = pages.end;
            self.say(&mut found, (at.disk, piece.start), &bytes, (pages.start, &state[pages]));
        }
        Ok(found.of(bytes))
    }
}

impl PassScanner<'_> {
    /// Says what a piece holds, which begins at a page of a disk and at a page of the buffer.
    fn say(&self, found: &mut Findings, (disk, first): (DiskNo, u64), bytes: &[u8], (at, state): (usize, &[Page])) {
        let nothing = vec![false; state.len()];
        for (run, content) in runs(state, &nothing) {
            let page = PageNo(first + run.start as u64);
            found.say(&self.cutting, (disk, page), bytes, (at + run.start..at + run.end, content));
        }
    }
}
