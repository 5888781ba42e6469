//! Saved marks at places of the very disk that they are of, for when no file can be written any more.
//!
//! Never knows: file systems, or what keeps others away from the places.
//! Invariant: what was wiped is not read again, not even after a power loss.

use std::io;
use std::ops::Range;

use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::{Volume as _, VolumeMut as _};
use backstay_format::units::PAGE_SIZE;

use super::file::length;

/// Places of a disk that hold nothing else, as one row of bytes.
pub struct Slot<'d> {
    device: &'d BlockDevice,
    places: Vec<Range<u64>>,
}

impl<'d> Slot<'d> {
    /// These places of a disk, in whatever order.
    pub fn new(device: &'d BlockDevice, mut places: Vec<Range<u64>>) -> Slot<'d> {
        places.sort_by_key(|place| place.start);
        Slot { device, places }
    }

    /// How many bytes fit.
    pub fn room(&self) -> u64 {
        self.places.iter().map(|place| place.end - place.start).sum()
    }

    /// The pages that writing to it changes.
    pub fn pages(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let page = PAGE_SIZE as u64;
        self.places.iter().map(move |place| place.start / page..place.end.div_ceil(page))
    }

    /// Whether any of some places is touched.
    pub fn touches(&self, others: &[Range<u64>]) -> bool {
        let touch = |a: &Range<u64>, b: &Range<u64>| a.start < b.end && b.start < a.end;
        self.places.iter().any(|place| others.iter().any(|other| touch(place, other)))
    }

    /// What was written to it; something else, if nothing was.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.room().min(PAGE_SIZE as u64) as usize];
        self.each(bytes.len(), |at, range| self.device.read_at(at, &mut bytes[range]))?;
        let whole = length(&bytes).filter(|length| *length as u64 <= self.room()).unwrap_or(bytes.len());
        bytes.resize(whole, 0);
        self.each(whole, |at, range| self.device.read_at(at, &mut bytes[range]))?;
        Ok(bytes)
    }

    /// Writes a file of saved marks, safe against a power loss. What is not written whole is none.
    ///
    /// # Errors
    /// What the disk says; `StorageFull`.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.each(bytes.len(), |at, range| self.device.write_at(at, &bytes[range]))?;
        self.device.flush()
    }

    /// What was written is gone, safe against a power loss.
    ///
    /// # Errors
    /// What the disk says.
    pub fn wipe(&self) -> io::Result<()> {
        let zeros = [0; PAGE_SIZE];
        let len = self.room().min(PAGE_SIZE as u64) as usize;
        self.each(len, |at, range| self.device.write_at(at, &zeros[..range.len()]))?;
        self.device.flush()
    }

    /// Where the first bytes lie: a place on the disk, and which of them.
    fn each(&self, len: usize, mut work: impl FnMut(u64, Range<usize>) -> io::Result<()>) -> io::Result<()> {
        let mut at = 0;
        for place in &self.places {
            let end = at + (place.end - place.start) as usize;
            if at < len {
                work(place.start, at..len.min(end))?;
            }
            at = end;
        }
        Ok(())
    }
}
