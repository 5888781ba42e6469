//! A disk of which many scattered pages are read at once: one after the other, they would be most of a point.
//!
//! Never knows: which pages, or why.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use backstay_env::real::disk::{AlignedBuf, BlockDevice};
use backstay_env::volume::{Piece, Volume};

use crate::ring::{Part, Read, Ring, Target};

/// What a direct read wants its place, its length and its memory to be multiples of, for every disk.
const UNIT: usize = 4096;

/// Pieces with no more bytes than this between them are read together.
const GAP: u64 = 16 << 10;

/// The longest read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Rings of a disk, and reads of each: no more than what the queue of a disk has room for. Others wait in threads of the kernel, which costs
/// more than it brings.
const RINGS: usize = 2;
const DEPTH: u32 = 64;

/// A disk, and rings that those who read it share.
pub struct Deep<'d> {
    device: &'d BlockDevice,
    rings: Mutex<Rings>,
    back: Condvar,
}

#[derive(Default)]
struct Rings {
    spare: Vec<Ring>,
    lent: usize,
}

impl<'d> Deep<'d> {
    /// Of a disk that is read past the page cache.
    pub fn new(device: &'d BlockDevice) -> Self {
        Deep { device, rings: Mutex::default(), back: Condvar::new() }
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a ring. `None` where the kernel has none for us.
    fn ring(&self) -> Option<Lent<'_>> {
        let all_lent = |rings: &mut Rings| rings.lent == RINGS;
        let mut rings = self.back.wait_while(self.rings(), all_lent).unwrap_or_else(PoisonError::into_inner);
        let ring = rings.spare.pop().or_else(|| Ring::new(DEPTH))?;
        rings.lent += 1;
        Some(Lent { ring: Some(ring), of: self })
    }
}

/// A ring that somebody reads with.
struct Lent<'a> {
    /// There until it is dropped.
    ring: Option<Ring>,
    of: &'a Deep<'a>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut rings = self.of.rings();
        rings.spare.extend(self.ring.take());
        rings.lent -= 1;
        self.of.back.notify_one();
    }
}

impl Volume for Deep<'_> {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buf)
    }

    fn read_many(&self, pieces: &mut [Piece<'_>]) {
        let mut between = AlignedBuf::new(GAP as usize);
        let reads = Reads::of(pieces, between.as_mut_ptr());
        let Some(mut lent) = self.ring() else { return };
        let Some(ring) = &mut lent.ring else { return };
        let fd = self.device.as_fd().as_raw_fd();
        let read = |(tag, stretch): (usize, &Stretch)| Read {
            fd,
            offset: stretch.bytes.start,
            to: Target::Parts(reads.parts[stretch.parts.clone()].as_ptr(), stretch.parts.len() as u32),
            tag: tag as u64,
        };
        let mut whole = vec![false; reads.stretches.len()];
        #[allow(unsafe_code)]
        // SAFETY: each piece has bytes of its own, which this call borrows and does not look at until all reads are done; so is
        // the disk borrowed. What lies between pieces goes where nobody ever looks.
        unsafe {
            ring.read_all(reads.stretches.iter().enumerate().map(read), |tag, came| {
                let stretch = &reads.stretches[tag as usize].bytes;
                whole[tag as usize] = came.is_some_and(|came| u64::from(came) == stretch.end - stretch.start);
            });
        }
        drop(lent);
        for (stretch, whole) in reads.stretches.into_iter().zip(whole) {
            pieces[stretch.pieces].iter_mut().for_each(|piece| piece.whole = whole);
        }
    }
}

/// Pieces that lie close together are one read, with what is between them: where a disk is written a lot, most pages have changed, and
/// each read takes from who writes.
struct Reads {
    stretches: Vec<Stretch>,
    parts: Vec<Part>,
}

/// Pieces that are read together.
struct Stretch {
    /// Of the disk.
    bytes: Range<u64>,
    /// Which pieces, and which parts of memory.
    pieces: Range<usize>,
    parts: Range<usize>,
}

impl Reads {
    /// Of the pieces that can be read past the page cache; what lies between them goes to `between`.
    fn of(pieces: &mut [Piece<'_>], between: *mut u8) -> Reads {
        let mut reads = Reads { stretches: Vec::new(), parts: Vec::with_capacity(2 * pieces.len()) };
        for (number, piece) in pieces.iter_mut().enumerate().filter(|(_, piece)| fits(piece)) {
            let bytes = piece.offset..piece.offset + piece.bytes.len() as u64;
            let gap = reads.gap_before(number, &bytes);
            if let Some(gap @ 1..) = gap {
                reads.parts.push(Part { to: between, len: gap as usize });
            }
            reads.parts.push(Part { to: piece.bytes.as_mut_ptr(), len: piece.bytes.len() });
            let parts = reads.parts.len();
            match reads.stretches.last_mut().filter(|_| gap.is_some()) {
                Some(last) => {
                    (last.bytes.end, last.pieces.end, last.parts.end) = (bytes.end, number + 1, parts);
                }
                None => {
                    let stretch = Stretch { bytes, pieces: number..number + 1, parts: parts - 1..parts };
                    reads.stretches.push(stretch);
                }
            }
        }
        reads
    }

    /// Bytes between the last stretch and the next piece, if they are to be read together.
    fn gap_before(&self, number: usize, bytes: &Range<u64>) -> Option<u64> {
        let last = self.stretches.last().filter(|last| last.pieces.end == number)?;
        let gap = bytes.start.checked_sub(last.bytes.end)?;
        (gap <= GAP && bytes.end - last.bytes.start <= LONGEST).then_some(gap)
    }
}

fn fits(piece: &Piece<'_>) -> bool {
    piece.offset.is_multiple_of(UNIT as u64)
        && piece.bytes.len().is_multiple_of(UNIT)
        && piece.bytes.as_ptr().addr().is_multiple_of(UNIT)
}
