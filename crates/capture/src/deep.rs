//! A disk of which many scattered pages are read at once: one after the other, they would be most of a point.
//!
//! Never knows: which pages, or why.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};

use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::{Piece, Volume};

use crate::ring::{Read, Ring};

/// What a direct read wants its place, its length and its memory to be multiples of, for every disk.
const UNIT: usize = 4096;

/// A disk, and a ring for each thread that reads it.
pub struct Deep<'d> {
    device: &'d BlockDevice,
    rings: Mutex<Vec<Ring>>,
}

impl<'d> Deep<'d> {
    /// Of a disk that is read past the page cache.
    pub fn new(device: &'d BlockDevice) -> Self {
        Deep { device, rings: Mutex::default() }
    }

    fn rings(&self) -> std::sync::MutexGuard<'_, Vec<Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where the kernel has no rings for us.
    fn ring(&self) -> Option<Ring> {
        let spare = self.rings().pop();
        spare.or_else(Ring::new)
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
        let Some(mut ring) = self.ring() else { return };
        let fits = |piece: &Piece<'_>| {
            piece.offset.is_multiple_of(UNIT as u64)
                && piece.bytes.len().is_multiple_of(UNIT)
                && piece.bytes.as_ptr().addr().is_multiple_of(UNIT)
        };
        let fd = self.device.as_fd().as_raw_fd();
        let read = |(tag, piece): (usize, &mut Piece<'_>)| Read {
            fd,
            offset: piece.offset,
            to: piece.bytes.as_mut_ptr(),
            len: piece.bytes.len() as u32,
            tag: tag as u64,
        };
        let reads: Vec<Read> = pieces.iter_mut().enumerate().filter(|(_, piece)| fits(piece)).map(read).collect();
        let mut came = vec![None; pieces.len()];
        #[allow(unsafe_code)]
        // SAFETY: each piece has bytes of its own, which this call borrows and does not look at until all reads are done; so is
        // the disk borrowed.
        unsafe {
            ring.read_all(reads.into_iter(), |tag, bytes| came[tag as usize] = bytes);
        }
        for (piece, came) in pieces.iter_mut().zip(came) {
            piece.whole = came.is_some_and(|bytes| bytes as usize == piece.bytes.len());
        }
        self.rings().push(ring);
    }
}
