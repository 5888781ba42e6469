//! The calls to the kernel that no library here wraps.
//!
//! Never knows: when to freeze, or what follows from an error.

use std::os::fd::AsFd;

use rustix::io;
use rustix::ioctl::{Getter, NoArg, Opcode, ioctl, opcode};

use crate::number::DeviceNumber;

const FREEZE: Opcode = opcode::read_write::<i32>(b'X', 119);
const THAW: Opcode = opcode::read_write::<i32>(b'X', 120);
const LOOP_STATUS: Opcode = 0x4C05;
const BTRFS_INFO: Opcode = opcode::read::<BtrfsInfo>(0x94, 31);

/// Freezes the file system that the file or folder lies on. On return all its writes have reached the device and none
/// follows. Takes as long as the device takes for what was dirty, and cannot be interrupted.
///
/// # Errors
/// `BUSY`: frozen already. `OPNOTSUPP`: it has no freeze. `PERM`: needs CAP_SYS_ADMIN.
pub(super) fn freeze(file: impl AsFd) -> io::Result<()> {
    // SAFETY: FIFREEZE takes no argument and touches no memory of this process.
    unsafe { ioctl(file, NoArg::<FREEZE>::new()) }
}

/// Ends the freeze of the file system that the file or folder lies on.
///
/// # Errors
/// `INVAL`: it is not frozen.
pub(super) fn thaw(file: impl AsFd) -> io::Result<()> {
    // SAFETY: FITHAW takes no argument and touches no memory of this process.
    unsafe { ioctl(file, NoArg::<THAW>::new()) }
}

/// `struct loop_info64` of the kernel.
#[repr(C)]
struct LoopStatus {
    device: u64,
    inode: u64,
    _rdevice: u64,
    _sizes: [u64; 2],
    _numbers: [u32; 4],
    _names: [[u8; 64]; 2],
    _key: [u8; 32],
    _init: [u64; 2],
}

const _: () = assert!(size_of::<LoopStatus>() == 232);

/// The file behind a loop device: the number that `stat` of it gives as its device, and its inode.
///
/// # Errors
/// `NXIO`: nothing is behind it.
pub(super) fn loop_backing(device: impl AsFd) -> io::Result<(DeviceNumber, u64)> {
    // SAFETY: LOOP_GET_STATUS64 fills one `struct loop_info64`, which LoopStatus is (size asserted), all integers.
    let status = unsafe { ioctl(device, Getter::<LOOP_STATUS, LoopStatus>::new()) }?;
    Ok((DeviceNumber::of(status.device), status.inode))
}

/// `struct btrfs_ioctl_fs_info_args` of the kernel.
#[repr(C)]
struct BtrfsInfo {
    _counts: [u64; 2],
    id: [u8; 16],
    _rest: [u8; 992],
}

const _: () = assert!(size_of::<BtrfsInfo>() == 1024);

/// The UUID of the btrfs that the file or folder lies on.
///
/// # Errors
/// `NOTTY`: it is no btrfs.
pub(super) fn btrfs_id(file: impl AsFd) -> io::Result<[u8; 16]> {
    // SAFETY: BTRFS_IOC_FS_INFO fills one `struct btrfs_ioctl_fs_info_args`, which BtrfsInfo is (size asserted), all
    // integers; the type of the file system is not assumed, as the code names btrfs in its first byte.
    let info = unsafe { ioctl(file, Getter::<BTRFS_INFO, BtrfsInfo>::new()) }?;
    Ok(info.id)
}
