//! What cannot be tracked, in words.
//!
//! Never knows: what is done instead.

use std::io;
use std::path::PathBuf;

use crate::number::DeviceNumber;

/// Why changes cannot be followed, of this disk or on this kernel. Rescanning remains.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A partition shares its disk's marks.
    #[error("{name} is a partition: name its disk, {disk}")]
    Partition {
        /// The partition.
        name: String,
        /// Its disk.
        disk: String,
    },
    /// No block device, or one without a size.
    #[error("{} is not a block device with a size", .0.display())]
    NotADisk(PathBuf),
    /// Its driver takes writes without making requests of them, so that nobody sees when one is done.
    #[error(
        "{name} is put together from others or kept in memory (such as LVM, RAID, NVMe multipath, zram): \
             when a write to it is done cannot be seen; track the disks below it"
    )]
    WithoutRequests {
        /// The disk.
        name: String,
    },
    /// Persistent memory that programs write past the block layer.
    #[error("{name} can be written as memory (DAX), which leaves no trace")]
    Dax {
        /// The disk.
        name: String,
    },
    /// Zones are written at a place that only the drive knows.
    #[error("{name} is a zoned drive, where the drive itself says where data goes")]
    Zoned {
        /// The disk.
        name: String,
    },
    /// Larger than the maps of the kernel.
    #[error("{name} is too large to be tracked")]
    TooLarge {
        /// The disk.
        name: String,
    },
    /// Already.
    #[error("{0} is being tracked already")]
    Tracked(DeviceNumber),
    /// 256 are.
    #[error("no more than {0} disks can be tracked at once")]
    TooMany(usize),
    /// The kernel tells nothing about itself.
    #[error("the kernel says nothing of its own types (no BTF in /sys/kernel/btf/vmlinux)")]
    NoBtf,
    /// The kernel does not say how often it skipped a program (before 5.12).
    #[error("the kernel does not count what its tracing programs miss: 5.17 or newer is needed")]
    NoCounts,
    /// Rights.
    #[error("loading programs into the kernel is not permitted: root, or CAP_BPF and CAP_PERFMON, is needed")]
    NotPermitted,
    /// The kernel does not take the programs: too old, or locked down.
    #[error("the kernel does not take the tracking programs: 5.17 or newer is needed")]
    Programs {
        /// What the kernel said.
        source: io::Error,
    },
}
