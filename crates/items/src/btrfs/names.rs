//! Names: the entries of directories, and the references from inodes back to them.
//!
//! Never knows: where the items are kept.

use super::key::{KEY_LEN, Key, kind};
use crate::bytes::{damaged, le16, le64};
use crate::tree::{NodeKind, TreeError};

const ENTRY_HEADER: usize = 30;
const REF_HEADER: usize = 10;
const EXTREF_HEADER: usize = 18;

/// A name in a directory, as directory items hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirEntry {
    /// The inode in the same subvolume, or the root of another.
    pub(super) target: Key,
    pub(super) transaction: u64,
    pub(super) kind: u8,
    pub(super) name: Vec<u8>,
}

impl DirEntry {
    /// All entries of an item. Names that no path can hold are refused.
    pub(super) fn decode_all(mut item: &[u8]) -> Result<Vec<DirEntry>, TreeError> {
        let mut entries = Vec::new();
        while !item.is_empty() {
            let name_len = usize::from(le16(item, 27));
            let len = ENTRY_HEADER + name_len + usize::from(le16(item, 25));
            if item.len() < len || name_len == 0 {
                return Err(damaged("a directory entry is cut short"));
            }
            let name = &item[ENTRY_HEADER..ENTRY_HEADER + name_len];
            if name == b"." || name == b".." || name.iter().any(|b| matches!(b, b'/' | 0)) {
                return Err(damaged("a directory entry has an impossible name"));
            }
            entries.push(DirEntry {
                target: Key::decode(item, 0),
                transaction: le64(item, KEY_LEN),
                kind: item[29],
                name: name.to_vec(),
            });
            item = &item[len..];
        }
        Ok(entries)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.target.encode());
        out.extend(self.transaction.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend((self.name.len() as u16).to_le_bytes());
        out.push(self.kind);
        out.extend(&self.name);
    }

    pub(super) fn node_kind(&self) -> Result<NodeKind, TreeError> {
        Ok(match self.kind {
            1 => NodeKind::File,
            2 => NodeKind::Directory,
            3 => NodeKind::CharDevice,
            4 => NodeKind::BlockDevice,
            5 => NodeKind::Fifo,
            6 => NodeKind::Socket,
            7 => NodeKind::Symlink,
            n => return Err(damaged(format!("a directory entry of kind {n}"))),
        })
    }

    pub(super) fn is_subvolume(&self) -> bool {
        self.target.kind == kind::ROOT_ITEM
    }
}

/// The number that directory entries give to a kind of node.
pub(super) fn entry_kind(of: NodeKind) -> u8 {
    match of {
        NodeKind::File => 1,
        NodeKind::Directory => 2,
        NodeKind::CharDevice => 3,
        NodeKind::BlockDevice => 4,
        NodeKind::Fifo => 5,
        NodeKind::Socket => 6,
        NodeKind::Symlink => 7,
    }
}

/// One name of an inode: the directory, the place in it, and the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameRef {
    pub(super) parent: u64,
    pub(super) index: u64,
    pub(super) name: Vec<u8>,
}

impl NameRef {
    /// The names of a reference item of either kind.
    pub(super) fn decode_all(key: Key, mut item: &[u8]) -> Result<Vec<NameRef>, TreeError> {
        let extended = key.kind == kind::INODE_EXTREF;
        let header = if extended { EXTREF_HEADER } else { REF_HEADER };
        let mut refs = Vec::new();
        while !item.is_empty() {
            let len = header + usize::from(le16(item, header - 2));
            if item.len() < len {
                return Err(damaged("a reference to a name is cut short"));
            }
            refs.push(NameRef {
                parent: if extended { le64(item, 0) } else { key.offset },
                index: le64(item, header - 10),
                name: item[header..len].to_vec(),
            });
            item = &item[len..];
        }
        Ok(refs)
    }

    /// Appends it to an item of `kind`.
    pub(super) fn encode(&self, of_kind: u8, out: &mut Vec<u8>) {
        if of_kind == kind::INODE_EXTREF {
            out.extend(self.parent.to_le_bytes());
        }
        out.extend(self.index.to_le_bytes());
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend(&self.name);
    }
}

/// The items of either kind that hold one inode's names: first and last key.
pub(super) fn ref_keys(inode: u64) -> (Key, Key) {
    (Key::new(inode, kind::INODE_REF, 0), Key::new(inode, kind::INODE_EXTREF, u64::MAX))
}
