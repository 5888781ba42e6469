//! Answering what the server asks of disks: segments are read, cut and named; chunks that it wants are compressed.
//!
//! Never knows: why it is asked.
//! Invariant: at most [`HELD`] segments are held in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use backstay_env::link::Link;
use backstay_env::real::disk::{Buffer, Buffers};
use backstay_env::volume::Volume;
use backstay_format::units::{ChunkId, PAGE_SIZE};
use backstay_format::wire;
use backstay_format::wire::v1::{PageKind, Pages, ToServer};
use backstay_scan::{Cutting, Page, SEGMENT, Segment, View};
use backstay_seal::compress::Compressor;

use crate::session::Welcome;

/// Segments held in memory at most: more than a server asks for at once.
pub(crate) const HELD: usize = 24;

/// A disk that the server may ask for.
pub struct Reading<'a> {
    /// Its place in the list that the server was told.
    pub disk: u32,
    /// Its bytes.
    pub volume: &'a dyn Volume,
    /// Byte ranges in use, in order: nothing else is read.
    pub used: Vec<Range<u64>>,
    /// Byte ranges inside these that are left out by choice.
    pub excluded: Vec<Range<u64>>,
}

/// Told how many bytes that are in use were looked at, and how many were read for that.
pub type Seen<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// What is asked.
pub(crate) enum Asked {
    Look { segment: u64, disk: u32, pieces: Vec<Pages> },
    Fetch { segment: u64, wanted: Vec<bool> },
    Forget { segment: u64 },
}

/// A segment that was offered.
struct Offered {
    buffer: Buffer,
    chunks: Vec<Range<usize>>,
}

/// Answers for some disks.
pub(crate) struct Answering<'a> {
    disks: &'a [Reading<'a>],
    link: &'a dyn Link,
    welcome: &'a Welcome,
    cutting: Cutting,
    buffers: Buffers,
    held: Mutex<HashMap<u64, Offered>>,
    cancel: &'a AtomicBool,
    seen: Seen<'a>,
}

impl<'a> Answering<'a> {
    pub(crate) fn new(
        disks: &'a [Reading<'a>],
        (link, welcome): (&'a dyn Link, &'a Welcome),
        (cancel, seen): (&'a AtomicBool, Seen<'a>),
    ) -> Self {
        let cutting = Cutting::new(&welcome.cut, &welcome.name);
        let buffers = Buffers::new(SEGMENT as usize * PAGE_SIZE);
        Answering { disks, link, welcome, cutting, buffers, held: Mutex::default(), cancel, seen }
    }

    /// What compresses the frames of one thread.
    pub(crate) fn compressor(&self) -> Compressor {
        Compressor::new(self.welcome.level)
    }

    /// Answers. May be called from many threads at once.
    ///
    /// # Errors
    /// The link is gone, or the server asked for what makes no sense.
    pub(crate) fn answer(&self, asked: Asked, compressor: &mut Compressor) -> io::Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match asked {
            Asked::Look { segment, disk, pieces } => {
                let head = match self.look(segment, disk, &pieces)? {
                    Ok(offer) => offer,
                    Err(error) => ToServer::Failed { segment, why: error.to_string() },
                };
                // So the server has its next question under way while chunks wait to be sent.
                self.link.send_ahead(&[&wire::encode(&head)])
            }
            Asked::Fetch { segment, wanted } => self.fetch((segment, &wanted), compressor),
            Asked::Forget { segment } => self.forget(segment),
        }
    }

    /// Outside: the server asked for what makes no sense. Inside: the disk is gone.
    fn look(&self, segment: u64, disk: u32, pieces: &[Pages]) -> io::Result<io::Result<ToServer>> {
        let disk = self.disks.iter().find(|known| known.disk == disk).ok_or_else(|| nonsense("a disk"))?;
        let pieces = self.checked(disk, pieces).ok_or_else(|| nonsense("pages"))?;
        if self.lock().len() >= HELD {
            return Err(nonsense("more than may be held in memory"));
        }
        let view = View { volume: disk.volume, used: &disk.used, excluded: &disk.excluded };
        let (Segment { bytes, state }, counts) = match Segment::read(&view, &pieces, &self.buffers) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        (self.seen)(counts.used, counts.read);
        let named: Vec<(ChunkId, Range<usize>)> =
            data_runs(&pieces, &state).into_iter().flat_map(|run| self.cutting.chunks(&bytes, run)).collect();
        let told = |(id, range): &(ChunkId, Range<usize>)| (id.0, (range.len() / PAGE_SIZE) as u8);
        let absent_behind = pieces.last().map_or(0, |last| absent_from(disk, last.end));
        let chunks = named.iter().map(told).collect();
        let offer = ToServer::Offer { segment, state: runs(&state), chunks, absent_behind };
        if !named.is_empty() {
            let chunks = named.into_iter().map(|(_, range)| range).collect();
            self.lock().insert(segment, Offered { buffer: bytes, chunks });
        }
        Ok(Ok(offer))
    }

    /// None of the chunks of a segment is wanted.
    ///
    /// # Errors
    /// There is no such segment.
    pub(crate) fn forget(&self, segment: u64) -> io::Result<()> {
        self.lock().remove(&segment).map(drop).ok_or_else(|| nonsense("a segment"))
    }

    fn fetch(&self, (segment, wanted): (u64, &[bool]), compressor: &mut Compressor) -> io::Result<()> {
        let offered = self.lock().remove(&segment).ok_or_else(|| nonsense("a segment"))?;
        if wanted.len() != offered.chunks.len() {
            return Err(nonsense("chunks"));
        }
        let most = self.welcome.frame_pages.max(1) as usize * PAGE_SIZE;
        let (mut frames, mut body, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut wanted = offered.chunks.iter().zip(wanted).filter(|(_, wanted)| **wanted).peekable();
        while let Some((range, _)) = wanted.next() {
            ranges.push(range.clone());
            if ranges.iter().map(Range::len).sum::<usize>() >= most || wanted.peek().is_none() {
                let plain = joined(&offered.buffer, &ranges);
                let compressed = compressor.compress(&plain, &mut out);
                let bytes = if compressed { &out[..] } else { &plain };
                frames.push((ranges.len() as u16, bytes.len() as u32, compressed));
                body.extend_from_slice(bytes);
                ranges.clear();
            }
        }
        self.link.send(&[&wire::encode(&ToServer::Frames { segment, frames }), &body])
    }

    /// Pieces that lie on the disk, in order, and are not too many.
    fn checked(&self, disk: &Reading<'_>, pieces: &[Pages]) -> Option<Vec<Range<u64>>> {
        let end = disk.volume.size().div_ceil(PAGE_SIZE as u64);
        let ordered = pieces.windows(2).all(|w| w[0].1 <= w[1].0);
        let inside = pieces.iter().all(|(from, to)| from < to && *to <= end);
        let pages = pieces.iter().try_fold(0u64, |sum, (from, to)| sum.checked_add(to.checked_sub(*from)?))?;
        let fits = ordered && inside && pages <= SEGMENT;
        fits.then(|| pieces.iter().map(|(from, to)| *from..*to).collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Offered>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts of a buffer, one after the other: where they lie so, nothing is copied.
fn joined<'b>(buffer: &'b [u8], ranges: &[Range<usize>]) -> Cow<'b, [u8]> {
    match ranges {
        [first, .., last] if ranges.windows(2).all(|w| w[0].end == w[1].start) => {
            Cow::Borrowed(&buffer[first.start..last.end])
        }
        [one] => Cow::Borrowed(&buffer[one.clone()]),
        _ => Cow::Owned(ranges.iter().map(|range| &buffer[range.clone()]).collect::<Vec<_>>().concat()),
    }
}

/// How many pages from this one on nothing uses.
fn absent_from(disk: &Reading<'_>, page: u64) -> u64 {
    let start = page * PAGE_SIZE as u64;
    let next = disk.used.get(disk.used.partition_point(|used| used.end <= start));
    let end = next.map_or(disk.volume.size().next_multiple_of(PAGE_SIZE as u64), |used| used.start.max(start));
    end.saturating_sub(start) / PAGE_SIZE as u64
}

/// Runs of data pages, which end where pieces do.
fn data_runs(pieces: &[Range<u64>], state: &[Page]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for piece in pieces {
        let end = at + (piece.end - piece.start) as usize;
        let mut open = false;
        for (index, page) in state.iter().enumerate().take(end).skip(at) {
            match (page, out.last_mut()) {
                (Page::Data, Some(run)) if open => run.end = index + 1,
                (Page::Data, _) => out.push(index..index + 1),
                _ => {}
            }
            open = *page == Page::Data;
        }
        at = end;
    }
    out
}

/// Runs of pages that are alike.
fn runs(state: &[Page]) -> Vec<(PageKind, u16)> {
    let kind = |page: &Page| match page {
        Page::Absent => PageKind::Absent,
        Page::Zero => PageKind::Zero,
        Page::Data => PageKind::Data,
        Page::Unreadable => PageKind::Unreadable,
        Page::Excluded => PageKind::Excluded,
    };
    state.chunk_by(|a, b| a == b).map(|run| (kind(&run[0]), run.len() as u16)).collect()
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server asked for {what} that it cannot want"))
}
