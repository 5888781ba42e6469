//! Directories of ext4, block by block: the index of a large one looks like empty entries, so it needs no reading.
//!
//! Never knows: where the blocks came from.

use super::superblock::{crc, incompat};
use crate::bytes::{damaged, le16, le32};
use crate::tree::{Entry, NodeId, NodeKind, TreeError};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const HEAD: usize = 8;
const TAIL: usize = 12;

/// One name; the kind is 0 where the file system does not keep it in directories.
pub(super) struct Name {
    pub(super) inode: u32,
    pub(super) name: OsString,
    pub(super) kind: Option<NodeKind>,
}

impl Name {
    pub(super) fn entry(self, kind: NodeKind) -> Entry {
        Entry { name: self.name, node: NodeId(u64::from(self.inode)), kind }
    }
}

/// How to read the blocks of one directory.
pub(super) struct Reader {
    pub(super) inode: u32,
    pub(super) incompat: u32,
    pub(super) indexed: bool,
    /// What checksums start from; `None` where there are none.
    pub(super) seed: Option<u32>,
}

impl Reader {
    fn damaged(&self, what: &str) -> TreeError {
        damaged(format!("directory {}: {what}", self.inode))
    }

    /// The names in a block of a directory, but for `.` and `..`.
    pub(super) fn block(&self, block: &[u8], first: bool, out: &mut Vec<Name>) -> Result<(), TreeError> {
        self.check_sum(block, first)?;
        self.names(block, out)
    }

    fn check_sum(&self, block: &[u8], first: bool) -> Result<(), TreeError> {
        let Some(seed) = self.seed else {
            return Ok(());
        };
        let empty = le32(block, 0) == 0;
        let spans = self.record_len(le16(block, 4), block.len()) == block.len();
        if self.indexed && (first || empty && spans) {
            // Nodes of the index hold no names but `.` and `..`, and another checksum.
            return Ok(());
        }
        let tail = &block[block.len() - TAIL..];
        if le32(tail, 0) != 0 || le32(tail, 4) != 0xDE00_000C {
            return Err(self.damaged("a block has no checksum"));
        }
        match crc(seed, &block[..block.len() - TAIL]) == le32(tail, 8) {
            true => Ok(()),
            false => Err(self.damaged("the checksum of a block is wrong")),
        }
    }

    /// The names in a run of entries.
    pub(super) fn names(&self, block: &[u8], out: &mut Vec<Name>) -> Result<(), TreeError> {
        let mut at = 0;
        while at + HEAD <= block.len() {
            let head = &block[at..];
            let len = self.record_len(le16(head, 4), block.len());
            if len < HEAD || !len.is_multiple_of(4) || len > head.len() {
                return Err(self.damaged("an entry has an impossible length"));
            }
            if let Some(name) = self.name(&head[..len])? {
                out.push(name);
            }
            at += len;
        }
        Ok(())
    }

    /// Blocks of 64 KiB keep lengths past 16 bits in the two low ones.
    fn record_len(&self, stored: u16, block: usize) -> usize {
        let stored = usize::from(stored);
        match block {
            ..0x1_0000 => stored,
            _ if stored == 0 || stored == 0xFFFF => block,
            _ => stored & 0xFFFC | (stored & 3) << 16,
        }
    }

    fn name(&self, entry: &[u8]) -> Result<Option<Name>, TreeError> {
        let inode = le32(entry, 0);
        if inode == 0 {
            return Ok(None);
        }
        let typed = self.incompat & incompat::FILETYPE != 0;
        let (len, kind) = match typed {
            true => (usize::from(entry[6]), kind(entry[7])),
            false => (usize::from(le16(entry, 6)), None),
        };
        let name = entry.get(HEAD..HEAD + len);
        let name = name.ok_or_else(|| self.damaged("a name is longer than its entry"))?;
        if name == b"." || name == b".." {
            return Ok(None);
        }
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return Err(self.damaged("a name is empty or holds a slash or a zero"));
        }
        let name = OsString::from_vec(name.to_vec());
        Ok(Some(Name { inode, name, kind }))
    }
}

fn kind(code: u8) -> Option<NodeKind> {
    Some(match code {
        1 => NodeKind::File,
        2 => NodeKind::Directory,
        3 => NodeKind::CharDevice,
        4 => NodeKind::BlockDevice,
        5 => NodeKind::Fifo,
        6 => NodeKind::Socket,
        7 => NodeKind::Symlink,
        _ => return None,
    })
}
