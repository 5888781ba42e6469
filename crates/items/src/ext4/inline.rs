//! Content kept inside the inode: its first 60 bytes, the rest as the extended attribute `system.data`.
//!
//! Never knows: whether the content is a file's or a directory's.

use super::inode::{Inode, extra_size};
use crate::bytes::{damaged, le16, le32};
use crate::tree::TreeError;

const MAGIC: u32 = 0xEA02_0000;
const SYSTEM: u8 = 7;
const HEAD: usize = 16;

/// The two pieces of an inode's inline content: what lies in its block area, and what lies behind it.
pub(super) fn pieces(inode: &Inode) -> Result<(&[u8], &[u8]), TreeError> {
    let rest = attribute(&inode.raw).ok_or_else(|| {
        let what = format!("inode {} has lost its inline data", inode.number);
        damaged(what)
    })?;
    Ok((inode.blocks(), rest))
}

/// All of a file's inline content, `size` bytes long.
pub(super) fn content(inode: &Inode) -> Result<Vec<u8>, TreeError> {
    let (first, rest) = pieces(inode)?;
    let mut all = [first, rest].concat();
    if inode.size > all.len() as u64 {
        let what = format!("inode {} is longer than its inline data", inode.number);
        return Err(damaged(what));
    }
    all.truncate(inode.size as usize);
    Ok(all)
}

fn attribute(raw: &[u8]) -> Option<&[u8]> {
    let start = 128 + extra_size(raw);
    let area = raw.get(start..)?;
    if area.len() < 4 || le32(area, 0) != MAGIC {
        return None;
    }
    let entries = &area[4..];
    let mut at = 0;
    while let Some(entry) = entries.get(at..at + HEAD) {
        let name_len = usize::from(entry[0]);
        if le32(entry, 0) == 0 {
            return None;
        }
        let name = entries.get(at + HEAD..at + HEAD + name_len)?;
        if entry[1] == SYSTEM && name == b"data" {
            let from = usize::from(le16(entry, 2));
            let len = le32(entry, 8) as usize;
            return entries.get(from..from.checked_add(len)?);
        }
        at += HEAD + name_len.next_multiple_of(4);
    }
    None
}
