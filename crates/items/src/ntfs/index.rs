//! The index of names in an NTFS directory. Its blocks are read in the order they lie in, not along the tree: each
//! name is in one of them once, and no loop can be built.
//!
//! Never knows: where the blocks are.

use super::record::{fix_up, reference};
use crate::bytes::{array, damaged, le16, le32, le64};
use crate::tree::TreeError;

/// One name of a file in a directory.
pub(super) struct IndexName {
    pub(super) record: u64,
    /// UTF-16.
    pub(super) name: Vec<u16>,
    pub(super) attributes: u32,
    /// A short name for DOS, beside another.
    pub(super) is_dos: bool,
}

/// The names in an index's root, and whether there are blocks as well.
pub(super) fn root(value: &[u8], out: &mut Vec<IndexName>) -> Result<bool, TreeError> {
    let node = value.get(0x10..).filter(|node| node.len() >= 16);
    let node = node.ok_or_else(|| damaged("the root of an index is cut short"))?;
    names(node, out)?;
    Ok(le32(node, 12) & 1 != 0)
}

/// The names in one block of an index.
pub(super) fn block(bytes: &mut [u8], out: &mut Vec<IndexName>) -> Result<(), TreeError> {
    fix_up(bytes, b"INDX", "index block")?;
    names(&bytes[0x18..], out)
}

fn names(node: &[u8], out: &mut Vec<IndexName>) -> Result<(), TreeError> {
    let wrong = || damaged("an entry of an index is not inside it");
    let end = le32(node, 4) as usize;
    let mut rest = node.get(le32(node, 0) as usize..end).ok_or_else(wrong)?;
    loop {
        let len = usize::from(le16(rest, 8));
        if len < 0x10 || len > rest.len() {
            return Err(wrong());
        }
        if le16(rest, 12) & 2 != 0 {
            return Ok(());
        }
        out.push(name(&rest[..len]).ok_or_else(wrong)?);
        rest = &rest[len..];
    }
}

fn name(entry: &[u8]) -> Option<IndexName> {
    let key = entry.get(0x10..)?;
    let len = usize::from(*key.get(0x40)?);
    let letters = key.get(0x42..0x42 + 2 * len)?;
    let letters = letters.chunks_exact(2).filter_map(|c| array(c, 0));
    Some(IndexName {
        record: reference(le64(entry, 0)),
        name: letters.map(u16::from_le_bytes).collect(),
        attributes: le32(key, 0x38),
        is_dos: key[0x41] == 2,
    })
}
