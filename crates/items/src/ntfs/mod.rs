//! NTFS: which clusters are in use, and the files.
//!
//! Sources: the on-disk structures as documented publicly (the NTFS documentation of the Linux-NTFS project,
//! Microsoft's [MS-FSCC] and [MS-XCA]); checked against ntfs-3g's tools from outside.
//! Never knows: what lies around the file system's volume.

mod allocation;
mod boot;
mod index;
mod logfile;
mod lznt1;
mod record;
mod reparse;
mod runs;
mod stream;
mod tree;
mod volume;

pub use allocation::allocated;
pub use tree::open;
