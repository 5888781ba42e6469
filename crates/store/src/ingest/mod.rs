//! Ingest: from scanned segments of something to durable packs, on all cores, in an order that does not depend on them.
//!
//! ```text
//!            workers                 here, in order                workers            workers
//!  segment ─▶ scan: read, cut, ─▶ known already? else a place ─▶ compress, seal ─▶ pack full: write
//!             name chunks         in a frame of the open pack
//! ```
//!
//! Places are given out in the order of segments, before anything is compressed: what was read together lies together,
//! and a rerun of the same input makes the same packs. Memory is bounded by the segments and packs in flight.
//!
//! Never knows: what segments are of, which chunks others committed (it asks), or what becomes of the packs.

mod pool;
mod session;

use std::ops::Range;
use std::sync::Arc;

use backstay_env::objects::ObjectError;
use backstay_env::real::disk::Buffer;
use backstay_format::pack::Table;
use backstay_format::rows::PackRow;
use backstay_format::units::{ChunkId, ChunkNo, PackId, Tag};
use backstay_seal::Secret;

pub use session::{Ingest, Tuning};

/// A place of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkAt {
    /// The pack.
    pub pack: PackId,
    /// Its number there.
    pub chunk: ChunkNo,
}

/// Where a scanned chunk is or will be, and the start of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The place.
    pub at: ChunkAt,
    /// The tag for extents.
    pub tag: Tag,
}

/// A segment after scanning.
pub struct Scanned<N> {
    /// What the segment's chunks are cut from.
    pub buffer: Arc<Buffer>,
    /// Its chunks: ids, and ranges of the buffer in whole pages. An empty range: whoever scanned says that the sink knows the chunk.
    pub chunks: Vec<(ChunkId, Range<usize>)>,
    /// Frames made of these chunks already, in order.
    pub packed: Vec<Packed>,
    /// Handed to the sink, with the places of the chunks.
    pub note: N,
}

/// A frame that somebody else made: it is stored as it is if none of its chunks is known.
///
/// Whoever scanned has made sure that it is what this program's own compressor could have made, and that the chunks are in it.
pub struct Packed {
    /// Which of the segment's chunks are in it, in order, and nothing else.
    pub chunks: Vec<usize>,
    /// Their plaintext one after the other, compressed or as it is.
    pub bytes: Vec<u8>,
    /// Whether it is compressed.
    pub compressed: bool,
}

/// Scans segments, on any thread.
pub trait Scanner: Sync {
    /// Handed on to the sink.
    type Note: Send;
    /// Why scanning failed.
    type Error: Send;

    /// Scans segment `number`.
    ///
    /// # Errors
    /// Ends the run.
    fn scan(&self, number: usize) -> Result<Scanned<Self::Note>, Self::Error>;

    /// How many segments to scan at once, if scanning waits for somebody elsewhere more than it computes: that many threads are
    /// hired for it besides, and never more scans are under way. `None`: it computes, and as many threads as compute are enough.
    fn at_once(&self) -> Option<usize> {
        None
    }
}

/// Takes what ingest makes. Called on the thread that runs it, in order.
pub trait Sink<N, E> {
    /// Where a chunk is already, if it may be referred to there.
    ///
    /// # Errors
    /// Ends the run.
    fn known(&mut self, id: &ChunkId) -> Result<Option<ChunkAt>, E>;

    /// A segment's chunks have places.
    ///
    /// # Errors
    /// Ends the run.
    fn placed(&mut self, note: N, places: Vec<Placed>) -> Result<(), E>;

    /// A pack is durable in its object. Not committed: that is for the sink to do, at the latest at the end. From now
    /// on [`Sink::known`] must answer for its chunks, or they are written again.
    ///
    /// # Errors
    /// Ends the run.
    fn durable(&mut self, pack: NewPack) -> Result<(), E>;
}

/// A pack that was written.
#[derive(Clone, Debug)]
pub struct NewPack {
    /// Its id.
    pub id: PackId,
    /// Its data key.
    pub secret: Secret,
    /// Where it is.
    pub row: PackRow,
    /// What is in it.
    pub table: Arc<Table>,
}

/// Why a run ended.
#[derive(Debug)]
pub enum IngestError<E> {
    /// The scanner or the sink failed.
    Caller(E),
    /// A pack could not be written.
    Home(ObjectError),
    /// A chunk that the sink was said to know is not known to it any more.
    Gone,
}
