//! Volumes: things with bytes at addresses, such as a block device, an image file, a partition of one, or a disk
//! at a point.
//!
//! Never knows: what the bytes mean, or who asks.

use std::io;

/// What is known of a range of a volume without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// May hold anything: read it.
    Data,
    /// Reads as zeros, and takes no space.
    Hole,
}

/// A run of bytes of a volume, all of one [`Content`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the start of the volume.
    pub offset: u64,
    /// Bytes; never 0.
    pub len: u64,
    /// What is there.
    pub content: Content,
}

/// A piece of a volume that is to be read with others.
#[derive(Debug)]
pub struct Piece<'b> {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Where it goes.
    pub bytes: &'b mut [u8],
    /// It is there, all of it.
    pub whole: bool,
}

/// A readable volume. Reads may come from many threads at once.
pub trait Volume: Send + Sync {
    /// Size in bytes; need not be a multiple of anything.
    fn size(&self) -> u64;

    /// The unit the device promises to write whole, in bytes: 512 or 4096.
    fn sector_size(&self) -> u32 {
        512
    }

    /// Fills `buf` from `offset`, whole or not at all.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end; what the device says otherwise.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Reads many pieces at once, where that is quicker than one after the other, and says of each whether it is there. Those that
    /// are not, whatever the reason, hold anything, and are for [`Volume::read_at`].
    fn read_many(&self, _pieces: &mut [Piece<'_>]) {}

    /// Describes `[offset, offset + len)`, in order and without gaps. Never claims a hole that is not one;
    /// may call a hole data. The answer may stop early, but covers at least one byte if `len > 0`.
    ///
    /// # Errors
    /// As [`Volume::read_at`].
    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.size(), offset, len)?;
        Ok(match len {
            0 => Vec::new(),
            len => vec![Span { offset, len, content: Content::Data }],
        })
    }
}

/// A volume that can be written, such as the target of a restore.
pub trait VolumeMut: Volume {
    /// Writes all of `buf` at `offset`. Not durable before [`VolumeMut::flush`].
    ///
    /// # Errors
    /// What the device says; then any part of `buf` may have been written.
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;

    /// Makes the range read as zeros, giving the space back where the device can.
    ///
    /// # Errors
    /// As [`VolumeMut::write_at`].
    fn zero(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Makes all writes so far survive a power loss.
    ///
    /// # Errors
    /// What the device says; then nothing is known of the writes since the last flush.
    fn flush(&self) -> io::Result<()>;
}

/// Refuses a range that is not inside `[0, size)`.
///
/// # Errors
/// `UnexpectedEof`.
pub fn check_range(size: u64, offset: u64, len: u64) -> io::Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

/// A part of a volume seen as a volume of its own, such as a partition.
pub struct Slice<V> {
    whole: V,
    start: u64,
    len: u64,
}

impl<V: Volume> Slice<V> {
    /// The `len` bytes of `whole` from `start`.
    ///
    /// # Errors
    /// `UnexpectedEof` when that is not inside `whole`.
    pub fn new(whole: V, start: u64, len: u64) -> io::Result<Self> {
        check_range(whole.size(), start, len)?;
        Ok(Slice { whole, start, len })
    }
}

impl<V: Volume> Volume for Slice<V> {
    fn size(&self) -> u64 {
        self.len
    }

    fn sector_size(&self) -> u32 {
        self.whole.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.len, offset, buf.len() as u64)?;
        self.whole.read_at(self.start + offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.len, offset, len)?;
        let mut spans = self.whole.spans(self.start + offset, len)?;
        spans.iter_mut().for_each(|s| s.offset -= self.start);
        Ok(spans)
    }
}

impl<V: Volume + ?Sized> Volume for std::sync::Arc<V> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn sector_size(&self) -> u32 {
        (**self).sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        (**self).spans(offset, len)
    }
}

impl Volume for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size(), offset, buf.len() as u64)?;
        let start = offset as usize;
        buf.copy_from_slice(&self[start..start + buf.len()]);
        Ok(())
    }
}
