//! What the items of file trees hold: inodes, extents of files, roots of trees.
//!
//! Never knows: where items are kept.

use super::node::Pointer;
use crate::bytes::{damaged, le32, le64};
use crate::tree::{FileTime, Metadata, NodeKind, TreeError};

const INODE_LEN: usize = 160;
const ROOT_LEN: usize = 239;
const EXTENT_HEADER: usize = 21;
const EXTENT_LEN: usize = 53;
const NODATASUM: u64 = 1;

/// An inode item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) generation: u64,
    pub(super) size: u64,
    pub(super) links: u32,
    pub(super) kind: NodeKind,
    pub(super) meta: Metadata,
    /// Its data has no checksums.
    pub(super) unsummed: bool,
}

impl Inode {
    pub(super) fn decode(item: &[u8]) -> Result<Inode, TreeError> {
        if item.len() < INODE_LEN {
            return Err(damaged("an inode is cut short"));
        }
        let (mode, device) = (le32(item, 52), le64(item, 56));
        let kind = kind_of(mode)?;
        let is_device = matches!(kind, NodeKind::CharDevice | NodeKind::BlockDevice);
        let (size, links) = (le64(item, 16), le32(item, 40));
        let meta = Metadata {
            kind,
            size,
            permissions: (mode & 0o7777) as u16,
            uid: le32(item, 44),
            gid: le32(item, 48),
            links,
            device: match is_device {
                true => ((device >> 20) as u32, (device & 0xf_ffff) as u32),
                false => (0, 0),
            },
            accessed: time(item, 112),
            changed: time(item, 124),
            modified: time(item, 136),
        };
        Ok(Inode { generation: le64(item, 0), size, links, kind, meta, unsummed: le64(item, 64) & NODATASUM != 0 })
    }

    /// The item with another size.
    pub(super) fn with_size(mut item: Vec<u8>, size: u64) -> Vec<u8> {
        if let Some(field) = item.get_mut(16..24) {
            field.copy_from_slice(&size.to_le_bytes());
        }
        item
    }

    /// The item with another number of names.
    pub(super) fn with_links(mut item: Vec<u8>, links: u32) -> Vec<u8> {
        if let Some(field) = item.get_mut(40..44) {
            field.copy_from_slice(&links.to_le_bytes());
        }
        item
    }
}

fn kind_of(mode: u32) -> Result<NodeKind, TreeError> {
    Ok(match mode & 0o170_000 {
        0o100_000 => NodeKind::File,
        0o040_000 => NodeKind::Directory,
        0o120_000 => NodeKind::Symlink,
        0o020_000 => NodeKind::CharDevice,
        0o060_000 => NodeKind::BlockDevice,
        0o010_000 => NodeKind::Fifo,
        0o140_000 => NodeKind::Socket,
        _ => return Err(damaged(format!("an inode of no kind (mode {mode:o})"))),
    })
}

/// Nanoseconds that are none are cut to the largest that are.
fn time(item: &[u8], at: usize) -> FileTime {
    FileTime { seconds: le64(item, at) as i64, nanos: le32(item, at + 8).min(999_999_999) }
}

/// A root item: a tree, and for a subvolume its top directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootItem {
    pub(super) root: Pointer,
    pub(super) top: u64,
    /// 0: deleted, and being cleared away.
    pub(super) references: u32,
}

impl RootItem {
    pub(super) fn decode(item: &[u8]) -> Result<RootItem, TreeError> {
        if item.len() < ROOT_LEN {
            return Err(damaged("the root of a tree is cut short"));
        }
        Ok(RootItem {
            root: Pointer::root(le64(item, 176), item[238], le64(item, 160)),
            top: le64(item, 168),
            references: le32(item, 216),
        })
    }
}

/// How the bytes of an extent are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Packing {
    None,
    Zlib,
    Lzo,
    Zstd,
}

/// Where a run of a file's bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// In the item itself, from byte 21; `len` bytes when unpacked.
    Inline { packing: Packing, len: u64 },
    /// Reads as zeros: a hole, or space set aside.
    Zeros { len: u64 },
    /// In an extent on disk.
    Stored(Stored),
}

/// A part of an extent on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) packing: Packing,
    /// First address and bytes of the whole extent, as stored.
    pub(super) disk: u64,
    pub(super) disk_len: u64,
    /// Bytes of the whole extent when unpacked.
    pub(super) unpacked: u64,
    /// The part's first byte, counted in unpacked bytes.
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// Bytes before inline data.
pub(super) const INLINE_AT: usize = EXTENT_HEADER;

impl Extent {
    pub(super) fn decode(item: &[u8]) -> Result<Extent, TreeError> {
        if item.len() < EXTENT_HEADER {
            return Err(damaged("an extent of a file is cut short"));
        }
        if item[17..20] != [0; 3] {
            return Err(crate::bytes::unsupported("an extent that is encrypted or encoded"));
        }
        let packing = packing(item[16])?;
        match item[20] {
            0 => Ok(Extent::Inline { packing, len: le64(item, 8) }),
            1 | 2 if item.len() < EXTENT_LEN => Err(damaged("an extent of a file is cut short")),
            1 => stored(item, packing),
            2 => Ok(Extent::Zeros { len: le64(item, 45) }),
            other => Err(damaged(format!("an extent of kind {other}"))),
        }
    }

    /// Bytes of the file that it covers, before rounding to sectors.
    pub(super) fn len(&self) -> u64 {
        match self {
            Extent::Inline { len, .. } | Extent::Zeros { len } => *len,
            Extent::Stored(stored) => stored.len,
        }
    }

    /// The addresses that an extent item keeps allocated, set aside or used; `None` for holes and inline data.
    pub(super) fn footprint(item: &[u8]) -> Option<(u64, u64)> {
        let on_disk = item.len() >= EXTENT_LEN && matches!(item[20], 1 | 2);
        let (disk, len) = (le64(item, 21), le64(item, 29));
        (on_disk && disk != 0).then_some((disk, len))
    }

    /// An on-disk extent item cut to `len` bytes from `skip` bytes on.
    pub(super) fn cut(item: &[u8], skip: u64, len: u64) -> Vec<u8> {
        let mut item = item.to_vec();
        let offset = le64(&item, 37).wrapping_add(skip);
        if let Some(fields) = item.get_mut(37..EXTENT_LEN) {
            fields[..8].copy_from_slice(&offset.to_le_bytes());
            fields[8..].copy_from_slice(&len.to_le_bytes());
        }
        item
    }
}

fn packing(number: u8) -> Result<Packing, TreeError> {
    Ok(match number {
        0 => Packing::None,
        1 => Packing::Zlib,
        2 => Packing::Lzo,
        3 => Packing::Zstd,
        n => return Err(crate::bytes::unsupported(format!("compression kind {n}"))),
    })
}

fn stored(item: &[u8], packing: Packing) -> Result<Extent, TreeError> {
    let len = le64(item, 45);
    if le64(item, 21) == 0 {
        return Ok(Extent::Zeros { len });
    }
    let stored = Stored {
        packing,
        disk: le64(item, 21),
        disk_len: le64(item, 29),
        unpacked: match packing {
            Packing::None => le64(item, 29),
            _ => le64(item, 8),
        },
        offset: le64(item, 37),
        len,
    };
    let end = stored.offset.checked_add(len);
    let inside = end.is_some_and(|end| end <= stored.unpacked);
    match inside && stored.disk.checked_add(stored.disk_len).is_some() {
        true => Ok(Extent::Stored(stored)),
        false => Err(damaged("a part of an extent lies outside of it")),
    }
}
