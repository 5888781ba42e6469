//! Memory that the kernel's programs and this process see at once.
//!
//! Never knows: what is in it.
#![allow(unsafe_code)]

use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapped map of the kernel, as words. Unmapped on drop; the map itself lives on as long as it is pinned or used.
#[derive(Debug)]
pub struct Mapped {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapped {
    /// Maps the first `words` words of what `fd` refers to.
    ///
    /// # Errors
    /// What the kernel says: `PermissionDenied` for a map that was not made to be mapped.
    pub(crate) fn new(fd: impl AsFd, words: usize) -> io::Result<Mapped> {
        let bytes = words.checked_mul(size_of::<u64>()).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory of ours.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Mapped { start, words })
    }
}

impl Deref for Mapped {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `words` words are mapped from `start`, a page's beginning, until `self` is dropped. Whoever else
        // writes there does so a whole byte or word at a time, which is what atomics are for.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, with this length; no reference outlives `self`.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.words * size_of::<u64>()) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping of ours: {unmapped:?}");
    }
}

// SAFETY: all access goes through atomics, and the mapping belongs to no thread.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}
