//! A folder (FUSE) with disks, partitions and files, read-only:
//!
//! ```text
//! DIR/sda.img            the disk
//! DIR/sda/p1.img         a partition of it
//! DIR/sda/p1/...         the files in that partition
//! DIR/sda/p2.img
//! DIR/sda/p2.why.txt     why the files in that one cannot be shown
//! DIR/sdb.img            a disk with a file system and no partitions
//! DIR/sdb/files/...      the files on it
//! DIR/sdc/why.txt        why nothing is known of what is on a disk
//! ```
//!
//! The caller names the parts (`p1`, `files`) and opens their file systems; that happens when somebody first looks,
//! so that a mount is ready at once. Owners, permissions, times and links are those of the files; set-uid bits and
//! devices are shown but have no effect. Nothing changes while it is mounted, so the kernel may cache everything.
//!
//! - [`Mount`] mounts and unmounts.
//! - `view` is the tree above and knows no FUSE; `adapter` translates between the two.
//!
//! Never knows: what a point is, how file systems look on disk, or how to write.

mod adapter;
mod inode;
mod parts;
mod session;
mod view;

pub use parts::{Disk, OpenTree, Part};
pub use session::{Ended, Mount, MountError, Options};
