//! A disk at a point, without the bytes that were left out by choice: who reads them gets an error, not zeros.
//!
//! Never knows: files. Their readers pass the error on.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use backstay_env::volume::{Slice, Span, Volume};
use backstay_format::units::{PAGE_SIZE, pages_in};
use backstay_items::detect;
use backstay_items::tree::{FileTree, TreeError};
use backstay_timeline::extent::Content;
use backstay_vault::disk::PointDisk;

/// A disk of which everything else can be read.
struct Kept(Arc<PointDisk>);

/// Why bytes cannot be read.
#[derive(Debug)]
struct LeftOut;

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its content was excluded when the point was made")
    }
}

impl Error for LeftOut {}

/// The file system on a disk, or at a place of it. Signatures are looked for in all bytes, for some are asked for where a
/// file may lie; files are read from those that were kept.
///
/// # Errors
/// As [`detect::open`].
pub fn open(disk: &Arc<PointDisk>, place: Option<Range<u64>>) -> Result<Box<dyn FileTree>, TreeError> {
    let place = place.unwrap_or(0..disk.size());
    let slice =
        |volume: Arc<dyn Volume>| Slice::new(volume, place.start, place.end - place.start).map_err(TreeError::Io);
    let kind = detect::detect(&slice(disk.clone())?)?;
    detect::open_as(kind, Arc::new(slice(without_left_out(disk.clone()))?))
}

/// The disk, but that who reads what was left out gets an error.
pub fn without_left_out(disk: Arc<PointDisk>) -> Arc<dyn Volume> {
    match disk.info().excluded {
        0 => disk,
        _ => Arc::new(Kept(disk)),
    }
}

/// Whether something cannot be read because it was left out.
pub fn is_left_out(error: &TreeError) -> bool {
    matches!(error, TreeError::Io(cause) if cause.get_ref().is_some_and(|e| e.is::<LeftOut>()))
}

impl Volume for Kept {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)?;
        let pages = offset / PAGE_SIZE as u64..pages_in(offset + buf.len() as u64);
        let extents = self.0.extents(pages).map_err(io::Error::other)?;
        match extents.iter().any(|e| e.content == Content::Excluded) {
            true => Err(io::Error::other(LeftOut)),
            false => Ok(()),
        }
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        self.0.spans(offset, len)
    }
}
