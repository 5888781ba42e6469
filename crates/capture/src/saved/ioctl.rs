//! The call to the kernel that makes a disk read-only.
//!
//! Never knows: why.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::io;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

const BLKROSET: Opcode = opcode::none(0x12, 93);

/// From now on the kernel refuses writes of programs to a disk and its partitions, also through what is open already, and mounts
/// none of it for writing. Or the contrary.
///
/// # Errors
/// `PERM`, `ACCESS`: needs CAP_SYS_ADMIN.
pub(super) fn set_read_only(disk: impl AsFd, read_only: bool) -> io::Result<()> {
    // SAFETY: BLKROSET reads one `int`, which is what it is given.
    unsafe { ioctl(disk, Setter::<BLKROSET, i32>::new(i32::from(read_only))) }
}
