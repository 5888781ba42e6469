//! Keys of tree items, and the numbers that the format gives to kinds of items and to trees.
//!
//! Never knows: what the items hold.

use crate::bytes::{array, le64};

/// Bytes of a key on disk.
pub(super) const KEY_LEN: usize = 17;

/// What an item is about, of which kind, and where in it. Ordered as in the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) object: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    pub(super) const fn new(object: u64, kind: u8, offset: u64) -> Key {
        Key { object, kind, offset }
    }

    /// The key at `at`; the caller has checked that [`KEY_LEN`] bytes are there.
    pub(super) fn decode(bytes: &[u8], at: usize) -> Key {
        Key {
            object: le64(bytes, at),
            kind: u8::from_le_bytes(array(bytes, at + 8).unwrap_or_default()),
            offset: le64(bytes, at + 9),
        }
    }

    pub(super) fn encode(self) -> [u8; KEY_LEN] {
        let mut out = [0; KEY_LEN];
        out[..8].copy_from_slice(&self.object.to_le_bytes());
        out[8] = self.kind;
        out[9..].copy_from_slice(&self.offset.to_le_bytes());
        out
    }

    /// The smallest and the largest key of one kind of an object's items.
    pub(super) const fn all_of(object: u64, kind: u8) -> (Key, Key) {
        (Key::new(object, kind, 0), Key::new(object, kind, u64::MAX))
    }

    pub(super) const MIN: Key = Key::new(0, 0, 0);
    pub(super) const MAX: Key = Key::new(u64::MAX, u8::MAX, u64::MAX);
}

pub(super) mod kind {
    pub(crate) const INODE_ITEM: u8 = 1;
    pub(crate) const INODE_REF: u8 = 12;
    pub(crate) const INODE_EXTREF: u8 = 13;
    pub(crate) const DIR_LOG_INDEX: u8 = 72;
    pub(crate) const DIR_ITEM: u8 = 84;
    pub(crate) const DIR_INDEX: u8 = 96;
    pub(crate) const EXTENT_DATA: u8 = 108;
    pub(crate) const EXTENT_CSUM: u8 = 128;
    pub(crate) const ROOT_ITEM: u8 = 132;
    pub(crate) const ROOT_REF: u8 = 156;
    pub(crate) const EXTENT_ITEM: u8 = 168;
    pub(crate) const METADATA_ITEM: u8 = 169;
    pub(crate) const BLOCK_GROUP_ITEM: u8 = 192;
    pub(crate) const CHUNK_ITEM: u8 = 228;
}

pub(super) mod tree {
    pub(crate) const EXTENT: u64 = 2;
    pub(crate) const FILES: u64 = 5;
    pub(crate) const CSUM: u64 = 7;
    pub(crate) const BLOCK_GROUP: u64 = 11;
    pub(crate) const LOG: u64 = -6_i64 as u64;
    /// The object that all checksum items are about.
    pub(crate) const CSUM_OBJECT: u64 = -10_i64 as u64;
    /// The object that all chunk items are about.
    pub(crate) const CHUNK_OBJECT: u64 = 256;
    /// Subvolumes made by users have numbers in this range, and so have inodes.
    pub(crate) const FIRST_FREE: u64 = 256;
    pub(crate) const LAST_FREE: u64 = -256_i64 as u64;
}
