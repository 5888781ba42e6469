//! An image file as a disk.
//!
//! Never knows: what is in it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::aligned::is_aligned;
use super::{DiskError, Identity, errno, file_identity, open_fd, read_full, write_full};
use crate::volume::{Content, Span, Volume, VolumeMut, check_range};

/// How many spans one answer holds at most.
const SPANS: usize = 1024;
/// Writes of so many bytes and more go past the page cache, if their place and memory allow it: Linux (seen with 6.18, ext4)
/// needs more processor time to take them into its cache than a restore needs to make them.
const DIRECT_FROM: usize = 256 << 10;
/// Places, lengths and memory of direct writes are multiples of it, in bytes: what every disk and file system takes.
const DIRECT_UNIT: u64 = 4096;
/// Bytes written at once into the page cache. Linux (seen with 6.18, ext4) takes a write of 4 MiB five times slower than as many
/// bytes in writes of 256 KiB: it looks for as large pieces of free memory.
const CACHED: usize = 256 << 10;
/// Zeros that are written where none can be punched.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// An image file. Its size, which need not be a multiple of anything, is the one it had when opened: what is cut off
/// while it is open reads as `UnexpectedEof`, what is added is not seen.
#[derive(Debug)]
pub struct FileVolume {
    fd: OwnedFd,
    /// The same file, opened for direct writes; `None` where that is not possible or not wanted.
    direct: Option<OwnedFd>,
    size: u64,
}

impl FileVolume {
    /// Opens an image file for reading.
    ///
    /// # Errors
    /// [`DiskError`]; `NotADisk` for all that is no plain file.
    pub fn open(path: impl AsRef<Path>) -> Result<FileVolume, DiskError> {
        FileVolume::open_as(path.as_ref(), OFlags::RDONLY)
    }

    /// Makes a new image file of `size` bytes, all a hole, for reading and writing. Not durable before a flush.
    ///
    /// # Errors
    /// [`DiskError::Exists`]; [`DiskError::NoSpace`]; `Io` when the file system has no files so large.
    pub fn create(path: impl AsRef<Path>, size: u64) -> Result<FileVolume, DiskError> {
        let path = path.as_ref();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::open(path, flags, mode).map_err(|e| DiskError::of(path, e))?;
        let volume = FileVolume { direct: open_direct(&fd), fd, size };
        volume.resize(size).map_err(|e| DiskError::of(path, errno(&e)))
    }

    pub(super) fn open_as(path: &Path, access: OFlags) -> Result<FileVolume, DiskError> {
        let (fd, about) = open_fd(path, access, false)?;
        let direct = if access == OFlags::RDWR { open_direct(&fd) } else { None };
        Ok(FileVolume { fd, direct, size: about.len() })
    }

    /// The same file with another size: cut off, or with a hole at its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn resize(self, size: u64) -> io::Result<FileVolume> {
        rustix::fs::ftruncate(&self.fd, size)?;
        Ok(FileVolume { size, ..self })
    }

    /// Which file this is, and in which state, now.
    ///
    /// # Errors
    /// What the system says.
    pub fn identity(&self) -> io::Result<Identity> {
        let file = std::fs::File::from(self.fd.try_clone()?);
        Ok(file_identity(&file.metadata()?))
    }

    /// Where the next data, or the next hole, begins; at most `end`.
    fn next(&self, from: SeekFrom, end: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.fd, from) {
            Ok(at) => Ok(Some(at.min(end))),
            Err(Errno::NXIO) => Ok(Some(end)),             // only a hole follows
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(None), // the file system does not tell
            Err(e) => Err(e.into()),
        }
    }
}

impl Volume for FileVolume {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        read_full(&self.fd, offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.size, offset, len)?;
        let (mut at, end, mut spans) = (offset, offset + len, Vec::new());
        let mut push = |from: u64, to: u64, content| {
            if from < to {
                spans.push(Span { offset: from, len: to - from, content });
            }
            spans.len()
        };
        while at < end {
            let Some(data) = self.next(SeekFrom::Data(at), end)? else {
                push(at, end, Content::Data);
                break;
            };
            let hole = match data < end {
                true => self.next(SeekFrom::Hole(data), end)?.unwrap_or(end),
                false => end,
            };
            push(at, data.max(at), Content::Hole);
            if push(data.max(at), hole, Content::Data) >= SPANS {
                break;
            }
            // A file that changes meanwhile must not stop us from getting on.
            at = hole.max(at + 1);
        }
        // Past the end of a file that was cut off everything looks like a hole; it is lost, not zero.
        match spans.last() {
            Some(last) if rustix::fs::fstat(&self.fd)?.st_size as u64 >= last.offset + last.len => Ok(spans),
            None => Ok(spans),
            Some(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
}

impl VolumeMut for FileVolume {
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        check_range(self.size, offset, buf.len() as u64)?;
        let fits = offset.is_multiple_of(DIRECT_UNIT) && (buf.len() as u64).is_multiple_of(DIRECT_UNIT);
        if let Some(direct) = &self.direct
            && fits
            && buf.len() >= DIRECT_FROM
            && is_aligned(buf)
        {
            match write_full(direct, offset, buf) {
                // A file system that takes the flag and not the writes.
                Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {}
                written => return written,
            }
        }
        let mut parts = buf.chunks(CACHED).enumerate();
        parts.try_for_each(|(index, part)| write_full(&self.fd, offset + (index * CACHED) as u64, part))
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        check_range(self.size, offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.fd, punch, offset, len)) {
            Err(Errno::NOTSUP | Errno::NOSYS) => write_zeros(&self.fd, offset, len),
            punched => Ok(punched?),
        }
    }

    fn flush(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

/// The same file once more, for direct writes. Through the descriptor: the path may name another file by now.
fn open_direct(fd: &OwnedFd) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn write_zeros(fd: &OwnedFd, offset: u64, len: u64) -> io::Result<()> {
    let end = offset + len;
    let starts = (offset..end).step_by(ZEROS.len());
    starts.into_iter().try_for_each(|at| write_full(fd, at, &ZEROS[..ZEROS.len().min((end - at) as usize)]))
}
