//! Cutting changed pages into chunks and naming them.
//!
//! Never knows: which chunks are known already.

use std::ops::Range;
use std::sync::Arc;

use backstay_format::units::{ChunkId, DiskNo, PAGE_SIZE, PageNo};
use backstay_seal::chunk::{ChunkNamer, CutSize, Cutter};
use backstay_store::ingest::{Buffer, Scanned};
use backstay_timeline::extent::Content;

use super::compare::Change;
use crate::Vault;

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

/// What a scan found so far.
#[derive(Default)]
pub(super) struct Findings {
    note: Note,
    chunks: Vec<(ChunkId, Range<usize>)>,
}

impl Findings {
    /// All there is to say of a segment.
    pub(super) fn of(self, buffer: Buffer) -> Scanned<Note> {
        Scanned { buffer: Arc::new(buffer), chunks: self.chunks, note: self.note }
    }
}

pub(super) struct Cutting {
    cutter: Cutter,
    namer: ChunkNamer,
}

impl Cutting {
    pub(super) fn new(vault: &Vault) -> Self {
        Cutting { cutter: Cutter::new(&vault.keys.cut, CUT), namer: ChunkNamer::new(&vault.keys.chunk) }
    }

    /// Says of a run of pages, which lies at a place of a disk, what it holds now; data is cut and named.
    pub(super) fn say(&self, out: &mut Findings, (disk, page): (DiskNo, PageNo), buffer: &[u8], change: Change) {
        let (run, what) = change;
        if what.is_some() {
            out.note.push(Found { disk, page, pages: run.len() as u64, what });
            return;
        }
        let (mut page, mut at) = (page, run.start * PAGE_SIZE);
        for pages in self.cutter.cut(&buffer[at..run.end * PAGE_SIZE]) {
            let range = at..at + pages * PAGE_SIZE;
            at = range.end;
            out.chunks.push((self.namer.name(&buffer[range.clone()]), range));
            out.note.push(Found { disk, page, pages: pages as u64, what });
            page.0 += pages as u64;
        }
    }
}
