//! ext2, ext3 and ext4: which blocks are in use, and the files, as they are after the journal's replay. Nothing is
//! written: replayed blocks are read from their place in the journal.
//!
//! Sources: the on-disk format as documented by the Linux kernel (Documentation/filesystems/ext4).
//! Never knows: what lies around the file system's volume.

mod allocation;
mod directory;
mod fs;
mod groups;
mod inline;
mod inode;
mod journal;
mod mapping;
mod superblock;
mod tree;

pub use allocation::allocated;
pub use tree::open;

use crate::bytes::le32;

/// The name by features: ext2 has no journal, ext3 neither extents nor any other of ext4's features; `None` when
/// these 1024 bytes from offset 1024 of a volume are no superblock.
pub(crate) fn kind(superblock: &[u8]) -> Option<&'static str> {
    use superblock::{compat, incompat};
    if !superblock::Superblock::has_magic(superblock) {
        return None;
    }
    let ext3_knows = incompat::FILETYPE | incompat::RECOVER | incompat::META_BG;
    // sparse_super, large_file, btree_dir
    let newer = le32(superblock, 0x60) & !ext3_knows | le32(superblock, 0x64) & !0x7;
    let journal = le32(superblock, 0x5C) & compat::HAS_JOURNAL;
    Some(match (newer, journal) {
        (0, 0) => "ext2",
        (0, _) => "ext3",
        _ => "ext4",
    })
}
