//! Buffers that a disk can be read into directly.
//!
//! Never knows: disks.

use std::ops::{Deref, DerefMut};

/// Alignment that satisfies every disk, in bytes.
const ALIGNMENT: usize = 4096;

/// Bytes that start at a multiple of 4096 in memory. Reads of a [`super::BlockDevice`] into one, at multiples of its
/// sector size, are not copied.
#[derive(Debug)]
pub struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros.
    pub fn new(len: usize) -> AlignedBuf {
        let bytes = vec![0; len + ALIGNMENT];
        let start = bytes.as_ptr().addr().wrapping_neg() % ALIGNMENT;
        AlignedBuf { bytes, start, len }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Whether `bytes` start where a disk wants them.
pub(super) fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked() {
        for len in [0, 1, 4095, 4096, 1 << 20] {
            let mut buf = AlignedBuf::new(len);
            assert!(is_aligned(&buf) && buf.len() == len);
            buf.fill(7);
        }
    }
}
