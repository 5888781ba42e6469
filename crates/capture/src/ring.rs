//! Many reads at once, through io_uring: one after the other, the reads of some thousand scattered pages would be most of a freeze.
//!
//! Never knows: what is read, or why.
//! Invariant: no call returns while the kernel may still write into the memory that it was given.

use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;

/// A read to be done.
pub(crate) struct Read {
    pub(crate) fd: RawFd,
    /// Where in the file, in bytes.
    pub(crate) offset: u64,
    pub(crate) to: Target,
    /// Handed back with the result.
    pub(crate) tag: u64,
}

/// Where a read goes.
pub(crate) enum Target {
    /// To so many bytes.
    Whole(*mut u8, u32),
    /// To so many parts of memory, one after the other.
    Parts(*const Part, u32),
}

/// A part of memory, laid out as POSIX says of `struct iovec`.
#[repr(C)]
pub(crate) struct Part {
    pub(crate) to: *mut u8,
    pub(crate) len: usize,
}

/// A ring of the kernel's, and how many reads are under way at once.
pub(crate) struct Ring(IoUring, u32);

impl Ring {
    /// Of so many reads at once, a power of two. `None` where the kernel has none, or does not give it to us.
    pub(crate) fn new(depth: u32) -> Option<Ring> {
        IoUring::new(depth).ok().map(|ring| Ring(ring, depth))
    }

    /// Does all reads, in any order; tells of each how many bytes came, or that it failed. Allocates nothing.
    ///
    /// # Safety
    /// The memory of every read is there, nobody else looks at it meanwhile, its parts stay listed, and its descriptor stays open.
    pub(crate) unsafe fn read_all(
        &mut self,
        reads: impl Iterator<Item = Read>,
        mut told: impl FnMut(u64, Option<u32>),
    ) {
        let mut reads = reads.peekable();
        let mut under_way = 0;
        while under_way > 0 || reads.peek().is_some() {
            while under_way < self.1
                && let Some(read) = reads.next()
            {
                let (fd, offset) = (types::Fd(read.fd), read.offset);
                let entry = match read.to {
                    Target::Whole(to, len) => opcode::Read::new(fd, to, len).offset(offset).build(),
                    Target::Parts(parts, count) => opcode::Readv::new(fd, parts.cast(), count).offset(offset).build(),
                };
                // SAFETY: the caller vouches for memory and descriptor, and this returns only when all reads are done.
                let pushed = unsafe { self.0.submission().push(&entry.user_data(read.tag)) };
                pushed.expect("the queue is as long as there are reads under way");
                under_way += 1;
            }
            self.wait();
            for done in self.0.completion() {
                under_way -= 1;
                told(done.user_data(), u32::try_from(done.result()).ok());
            }
        }
    }

    /// Until at least one read is done. What the kernel says is no reason to go: it may still write.
    fn wait(&mut self) {
        while let Err(error) = self.0.submit_and_wait(1) {
            match Errno::from_io_error(&error) {
                Some(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                // There is no way to go on, and none to take the memory back.
                _ => std::process::abort(),
            }
        }
    }
}
