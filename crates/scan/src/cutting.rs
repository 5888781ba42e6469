//! Cutting runs of pages into chunks, and naming them.
//!
//! Never knows: which chunks are known already.

use std::ops::Range;

use backstay_format::units::{ChunkId, PAGE_SIZE};
use backstay_seal::Secret;
use backstay_seal::chunk::{ChunkNamer, CutSize, Cutter};

/// How chunks are cut: about 40 KiB on average. Frames of many chunks are compressed together, so that short chunks, which
/// deduplicate better, do not compress worse.
const CUT: CutSize = CutSize { least: 2, bits: 3, most: 64 };

/// Cuts and names the chunks of one vault.
#[derive(Clone)]
pub struct Cutting {
    cutter: Cutter,
    namer: ChunkNamer,
}

impl Cutting {
    /// With the vault's keys for cutting and for naming.
    pub fn new(cut: &Secret, name: &Secret) -> Self {
        Cutting { cutter: Cutter::new(cut, CUT), namer: ChunkNamer::new(name) }
    }

    /// The chunks of a run of pages, a range of a buffer, in order: their names and ranges of the buffer.
    pub fn chunks<'a>(
        &'a self,
        buffer: &'a [u8],
        pages: Range<usize>,
    ) -> impl Iterator<Item = (ChunkId, Range<usize>)> + 'a {
        let mut at = pages.start * PAGE_SIZE;
        self.cutter.cut(&buffer[at..pages.end * PAGE_SIZE]).map(move |pages| {
            let range = at..at + pages * PAGE_SIZE;
            at = range.end;
            (self.namer.name(&buffer[range.clone()]), range)
        })
    }
}
