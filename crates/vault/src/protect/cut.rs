//! What a scan finds: contents that need no chunk, and chunks.
//!
//! Never knows: which chunks are known already.

use std::ops::Range;
use std::sync::Arc;

use backstay_env::real::disk::Buffer;
use backstay_format::units::{ChunkId, DiskNo, PAGE_SIZE, PageNo};
use backstay_scan::Cutting;
use backstay_store::ingest::Scanned;
use backstay_timeline::extent::Content;

use super::compare::Change;

/// Something to say about a run of pages: a content that needs no chunk, or `None` for the next chunk.
pub(super) struct Found {
    pub(super) disk: DiskNo,
    pub(super) page: PageNo,
    pub(super) pages: u64,
    pub(super) what: Option<Content>,
}

/// What was found in a segment, in order.
pub(super) type Note = Vec<Found>;

/// What a scan found so far.
#[derive(Default)]
pub(super) struct Findings {
    note: Note,
    chunks: Vec<(ChunkId, Range<usize>)>,
}

impl Findings {
    /// Says of a run of pages, which lies at a place of a disk, what it holds now; data is cut and named.
    pub(super) fn say(&mut self, cutting: &Cutting, (disk, mut page): (DiskNo, PageNo), buffer: &[u8], change: Change) {
        let (run, what) = change;
        if what.is_some() {
            self.note.push(Found { disk, page, pages: run.len() as u64, what });
            return;
        }
        for (id, range) in cutting.chunks(buffer, run) {
            let pages = (range.len() / PAGE_SIZE) as u64;
            self.chunks.push((id, range));
            self.note.push(Found { disk, page, pages, what });
            page.0 += pages;
        }
    }

    /// Says that a chunk lies at a place of a disk, and where its bytes are in the buffer. Says which of the chunks found it is.
    pub(super) fn chunk(
        &mut self,
        (disk, page): (DiskNo, PageNo),
        (id, pages): (ChunkId, usize),
        bytes: Range<usize>,
    ) -> usize {
        self.chunks.push((id, bytes));
        self.note.push(Found { disk, page, pages: pages as u64, what: None });
        self.chunks.len() - 1
    }

    /// All there is to say of a segment.
    pub(super) fn of(self, buffer: Buffer) -> Scanned<Note> {
        Scanned { buffer: Arc::new(buffer), chunks: self.chunks, packed: Vec::new(), note: self.note }
    }
}
