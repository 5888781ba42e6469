//! btrfs on one device: which bytes it uses, and its files. Written from the published on-disk format
//! (btrfs.readthedocs.io) and from what the kernel does as seen from outside.
//!
//! Every tree block and every data sector with a checksum is verified on read; where there are two copies (DUP) the
//! second stands in for a first that fails. Several devices, zoned devices and extent tree v2 are refused in words.
//! Never knows: other file systems, points, or who reads.

mod allocation;
mod checksum;
mod chunks;
mod data;
mod disk;
mod files;
mod inflate;
mod items;
mod key;
mod log;
mod lzo;
mod names;
mod node;
mod own;
mod replay;
mod search;
mod subvolumes;
mod superblock;
mod view;

pub use allocation::allocated;
pub use files::Btrfs;
pub use superblock::detect;
