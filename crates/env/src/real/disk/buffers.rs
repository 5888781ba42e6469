//! Buffers used again: a new one of some MiB is mapped, cleared and unmapped by the kernel each time, which took a fifth
//! of the processor time of a first protect.
//!
//! Never knows: what is in them.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::aligned::AlignedBuf;

/// Buffers kept for the next who needs one: more than are in flight on most machines.
const KEPT: usize = 32;

/// Buffers of one length, aligned so that disks can be read into them directly.
#[derive(Clone)]
pub struct Buffers {
    len: usize,
    spare: Arc<Mutex<Vec<AlignedBuf>>>,
}

impl Buffers {
    /// Buffers of `len` bytes.
    pub fn new(len: usize) -> Self {
        Buffers { len, spare: Arc::default() }
    }

    /// A buffer of `len` bytes, at most the length of all. It holds what somebody left in it.
    pub fn take(&self, len: usize) -> Buffer {
        assert!(len <= self.len, "a buffer of {len} bytes of those of {}", self.len);
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = spare.unwrap_or_else(|| AlignedBuf::new(self.len));
        Buffer { bytes: Some(bytes), len, spare: self.spare.clone() }
    }
}

/// A buffer; dropped, it is used again.
pub struct Buffer {
    /// `None` only while it is dropped.
    bytes: Option<AlignedBuf>,
    len: usize,
    spare: Arc<Mutex<Vec<AlignedBuf>>>,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes.as_deref().unwrap_or_default()[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let bytes = self.bytes.as_deref_mut().unwrap_or_default();
        &mut bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = self.bytes.take().filter(|_| spare.len() < KEPT) {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let buffers = Buffers::new(8192);
        let mut first = buffers.take(8192);
        first.fill(7);
        let place = first.as_ptr();
        drop(first);
        let second = buffers.take(100);
        assert!(second.as_ptr() == place && *second == [7; 100]);
        let third = buffers.take(0);
        assert!(third.as_ptr() != place && third.is_empty());
    }
}
