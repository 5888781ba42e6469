//! XFS, versions 4 and 5, read from its on-disk format: the files in it, and which bytes it uses. What a crashed or
//! running file system has only in its log is taken from there, in memory.
//!
//! Never knows: how to write, who asks, or what a point is.
//! Non-guarantees: extended attributes, quotas and realtime devices are not read.

mod block;
mod bytes;
mod directory;
mod disk;
mod extents;
mod freespace;
mod inode;
mod link;
mod log;
mod lookup;
mod refcount;
mod superblock;
mod tree;

pub use freespace::allocated;
pub use tree::Xfs;
