//! FAT12, FAT16 and FAT32 with long names, as on EFI system partitions: which clusters are in use, and the files.
//!
//! Sources: Microsoft's FAT specification (fatgen103).
//! Never knows: what lies around the file system's volume.

mod allocation;
mod directory;
mod geometry;
mod tree;

pub use allocation::allocated;
pub use tree::open;
