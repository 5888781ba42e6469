//! Disks that somebody else reads: the agent of a machine elsewhere.
//!
//! ```text
//!   here: which segment ─▶ there: read, cut, name ─▶ what each page is, the names of the chunks
//!   here: compare with the map ─▶ which chunks are wanted ─▶ there: compress ─▶ frames
//!   here: decompress, name again, compare page by page ─▶ chunks, and the frames as they came
//! ```
//!
//! Whoever reads may be hostile: it can say what it likes of its own machine's disks, and nothing else. What is wanted depends on
//! what that machine itself has shown and on nothing that others stored, so the answers teach it nothing. Every chunk that
//! comes is named again here before anything refers to it.
//!
//! Never knows: how they are asked, over what.

mod opening;
mod scanner;
mod segments;
mod shown;
mod telling;

use std::io;
use std::ops::Range;

use backstay_format::units::ChunkId;
use backstay_scan::Page;

pub(super) use self::scanner::FarScanner;
pub use self::shown::Shown;

/// Pieces of one disk that are looked at together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarSegment {
    /// Which disk, as an index of those of the capture.
    pub disk: usize,
    /// Ranges of pages, in order: at most 1,024 pages in all.
    pub pieces: Vec<Range<u64>>,
}

impl FarSegment {
    fn pages(&self) -> usize {
        self.pieces.iter().map(|piece| (piece.end - piece.start) as usize).sum()
    }
}

/// What a segment holds, as whoever reads it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What each page is, piece after piece.
    pub state: Vec<Page>,
    /// The chunks of its data pages, in order: their names and lengths in pages. None crosses the end of a run of data, nor of a piece.
    pub chunks: Vec<(ChunkId, usize)>,
    /// So many pages behind the segment are absent, too: they need not be asked for.
    pub absent_behind: u64,
}

/// A frame of chunks that were wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarFrame {
    /// How many of them, in order.
    pub chunks: usize,
    /// Their plaintext, one after the other.
    pub bytes: Vec<u8>,
    /// Whether it is compressed.
    pub compressed: bool,
}

/// Whoever reads the disks. Asked from many threads at once.
pub trait Far: Sync {
    /// Reads a segment, which has this number among all that were ever asked for; its chunks, if it has any, are kept there until they
    /// were fetched or forgotten.
    ///
    /// # Errors
    /// The link is lost, or the disk.
    fn look(&self, number: u64, segment: &FarSegment) -> io::Result<Offer>;

    /// The chunks of an offer that are wanted, in frames; the others are forgotten.
    ///
    /// # Errors
    /// As [`Far::look`].
    fn fetch(&self, number: u64, wanted: &[bool]) -> io::Result<Vec<FarFrame>>;

    /// None of the chunks of an offer is wanted. Nobody waits for an answer.
    ///
    /// # Errors
    /// The link is lost.
    fn forget(&self, number: u64) -> io::Result<()>;
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("whoever reads it broke the protocol: {what}"))
}
