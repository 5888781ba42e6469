//! A block device, read and written directly, past the page cache.
//!
//! Never knows: what is on it.
//! Invariant: no read is answered from the page cache of the whole disk: that may be stale where something was
//! written through a partition. The kernel sees only whole sectors, from and to aligned memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, major, minor};
use rustix::io::Errno;

use super::aligned::{AlignedBuf, is_aligned};
use super::{DiskError, Identity, open_fd, read_full, stack, write_full};
use crate::volume::{Volume, VolumeMut, check_range};

/// The largest piece that goes through a buffer of ours.
const PIECE: u64 = 1 << 20;
/// Buffers kept for the next who needs one.
const KEPT: usize = 16;

/// A block device. Its size is the one it had when opened; when it shrinks, reads past the new end fail with
/// `UnexpectedEof`.
///
/// Offsets and lengths need not be aligned: what is not is read and written through a buffer, sector by sector. A write
/// of part of a sector keeps the rest of it, against other writes through the same `BlockDevice` too.
///
/// What is left at the end of the device after the last whole sector (a loop device can have that) cannot be read by
/// anyone, and does not count.
#[derive(Debug)]
pub struct BlockDevice {
    fd: OwnedFd,
    size: u64,
    sector: u64,
    number: u64,
    /// Held while a part of a sector is written.
    edge: Mutex<()>,
    spare: Mutex<Vec<AlignedBuf>>,
}

impl BlockDevice {
    /// Opens a block device for reading.
    ///
    /// # Errors
    /// [`DiskError`]; `NotADisk` for all that is no block device.
    pub fn open(path: impl AsRef<Path>) -> Result<BlockDevice, DiskError> {
        BlockDevice::open_as(path.as_ref(), OFlags::RDONLY)
    }

    pub(super) fn open_as(path: &Path, access: OFlags) -> Result<BlockDevice, DiskError> {
        let alone = if access == OFlags::RDWR { OFlags::EXCL } else { OFlags::empty() };
        BlockDevice::open_with(path, access | alone)
    }

    /// Opens a block device for reading and writing though others use it. Whoever writes must know that nobody else uses that place.
    ///
    /// # Errors
    /// As [`BlockDevice::open`].
    pub fn open_in_use(path: impl AsRef<Path>) -> Result<BlockDevice, DiskError> {
        BlockDevice::open_with(path.as_ref(), OFlags::RDWR)
    }

    fn open_with(path: &Path, flags: OFlags) -> Result<BlockDevice, DiskError> {
        let (fd, about) = open_fd(path, flags | OFlags::DIRECT, true)?;
        let failed = |e| DiskError::of(path, e);
        let sector = u64::from(rustix::fs::ioctl_blksszget(&fd).map_err(failed)?);
        if !sector.is_power_of_two() || !(512..=PIECE).contains(&sector) {
            let source = io::Error::other(format!("sectors of {sector} bytes are not supported"));
            return Err(DiskError::Io { path: path.to_path_buf(), source });
        }
        let size = rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(failed)?;
        match size - size % sector {
            0 => Err(DiskError::Empty(path.to_path_buf())),
            size => Ok(BlockDevice {
                fd,
                size,
                sector,
                number: about.rdev(),
                edge: Mutex::default(),
                spare: Mutex::default(),
            }),
        }
    }

    /// Which device this is now.
    ///
    /// # Errors
    /// What the system says.
    pub fn identity(&self) -> io::Result<Identity> {
        let sequence = stack::sequence(self.number)?;
        let size = rustix::fs::seek(&self.fd, SeekFrom::End(0))?;
        let (major, minor) = (major(self.number), minor(self.number));
        Ok(Identity::Device { major, minor, sequence, size: size - size % self.sector })
    }

    fn is_direct(&self, offset: u64, buf: &[u8]) -> bool {
        offset.is_multiple_of(self.sector) && (buf.len() as u64).is_multiple_of(self.sector) && is_aligned(buf)
    }

    /// The whole sectors around `[from, to)`.
    fn around(&self, from: u64, to: u64) -> (u64, u64) {
        (from - from % self.sector, to.next_multiple_of(self.sector))
    }

    fn with_buffer<T>(&self, work: impl FnOnce(&mut AlignedBuf) -> io::Result<T>) -> io::Result<T> {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = spare().pop();
        let mut buffer = kept.unwrap_or_else(|| AlignedBuf::new(PIECE as usize));
        let done = work(&mut buffer);
        let mut spare = spare();
        if spare.len() < KEPT {
            spare.push(buffer);
        }
        done
    }

    /// Reads at most a piece, through `buffer`.
    fn read_piece(&self, buffer: &mut AlignedBuf, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (start, end) = self.around(offset, offset + buf.len() as u64);
        read_full(&self.fd, start, &mut buffer[..(end - start) as usize])?;
        let skipped = (offset - start) as usize;
        buf.copy_from_slice(&buffer[skipped..skipped + buf.len()]);
        Ok(())
    }

    /// Writes at most a piece, through `buffer`: whole sectors, or a part of one.
    fn write_piece(&self, buffer: &mut AlignedBuf, offset: u64, buf: &[u8]) -> io::Result<()> {
        let (start, end) = self.around(offset, offset + buf.len() as u64);
        let window = &mut buffer[..(end - start) as usize];
        let is_part = window.len() != buf.len();
        let _edge = is_part.then(|| self.edge.lock().unwrap_or_else(PoisonError::into_inner));
        if is_part {
            read_full(&self.fd, start, window)?;
        }
        let skipped = (offset - start) as usize;
        window[skipped..skipped + buf.len()].copy_from_slice(buf);
        write_full(&self.fd, start, window)
    }

    /// Cuts `[offset, offset + len)` into pieces: parts of sectors alone, whole sectors up to `most` bytes together.
    fn pieces(&self, offset: u64, len: u64, most: u64) -> impl Iterator<Item = (u64, u64)> {
        let (mut at, end, sector) = (offset, offset + len, self.sector);
        std::iter::from_fn(move || {
            let from = at;
            let whole = end - end % sector;
            at = match from {
                _ if from % sector > 0 => from.next_multiple_of(sector).min(end),
                _ if from < whole => whole.min(from.saturating_add(most)),
                _ => end,
            };
            (from < at).then_some((from, at - from))
        })
    }

    fn zero_whole_sectors(&self, offset: u64, len: u64) -> io::Result<()> {
        let keep = FallocateFlags::KEEP_SIZE;
        for how in [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE] {
            match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.fd, how | keep, offset, len)) {
                Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {}
                zeroed => return Ok(zeroed?),
            }
        }
        let zeros = AlignedBuf::new(PIECE.min(len) as usize);
        let mut pieces = self.pieces(offset, len, PIECE);
        pieces.try_for_each(|(at, n)| write_full(&self.fd, at, &zeros[..n as usize]))
    }
}

/// Opened for direct reads: whole sectors, to aligned memory.
impl AsFd for BlockDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Volume for BlockDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector as u32
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        if self.is_direct(offset, buf) {
            return read_full(&self.fd, offset, buf);
        }
        self.with_buffer(|buffer| {
            let mut done = 0;
            while done < buf.len() {
                let at = offset + done as u64;
                let piece = (PIECE - at % self.sector).min((buf.len() - done) as u64) as usize;
                self.read_piece(buffer, at, &mut buf[done..done + piece])?;
                done += piece;
            }
            Ok(())
        })
    }
}

impl VolumeMut for BlockDevice {
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        if self.is_direct(offset, buf) {
            return write_full(&self.fd, offset, buf);
        }
        self.with_buffer(|buffer| {
            let mut pieces = self.pieces(offset, buf.len() as u64, PIECE);
            pieces.try_for_each(|(at, n)| {
                let from = (at - offset) as usize;
                self.write_piece(buffer, at, &buf[from..from + n as usize])
            })
        })
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        check_range(self.size, offset, len)?;
        for (at, n) in self.pieces(offset, len, u64::MAX) {
            match at.is_multiple_of(self.sector) && n.is_multiple_of(self.sector) {
                true => self.zero_whole_sectors(at, n)?,
                false => self.write_at(at, &vec![0; n as usize])?,
            }
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}
