//! Inodes of ext4: what is known of a file, and the 60 bytes that lead to its content.
//!
//! Never knows: names.

use super::fs::Fs;
use super::groups::Group;
use super::superblock::{Superblock, crc};
use crate::bytes::{damaged, le16, le32};
use crate::tree::{FileTime, Metadata, NodeKind, TreeError};
use backstay_env::volume::Volume;

pub(super) const ROOT: u32 = 2;

pub(super) mod flags {
    pub(in crate::ext4) const COMPRESSED: u32 = 0x4;
    pub(in crate::ext4) const ENCRYPTED: u32 = 0x800;
    pub(in crate::ext4) const INDEXED: u32 = 0x1000;
    pub(in crate::ext4) const EXTENTS: u32 = 0x8_0000;
    pub(in crate::ext4) const INLINE_DATA: u32 = 0x1000_0000;
}

/// One inode, its checksum checked where there is one.
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) kind: NodeKind,
    pub(super) size: u64,
    pub(super) flags: u32,
    pub(super) generation: u32,
    /// The whole inode as on disk.
    pub(super) raw: Vec<u8>,
}

impl Inode {
    /// Reads inode `number`; [`TreeError::NotFound`] when it is not in use.
    pub(super) fn read<V: Volume>(fs: &Fs<V>, number: u32) -> Result<Inode, TreeError> {
        let sb = &fs.sb;
        let index = match number.checked_sub(1) {
            Some(index) if number <= sb.inodes => index,
            _ => return Err(damaged(format!("there is no inode {number}"))),
        };
        let group = u64::from(index / sb.inodes_per_group);
        if group >= sb.groups {
            return Err(damaged(format!("there is no inode {number}")));
        }
        let table = Group::read(fs, group)?.inode_table;
        let at = u64::from(index % sb.inodes_per_group) * sb.inode_size as u64;
        let block = table.checked_add(at / sb.block_size);
        let block = block.ok_or_else(|| damaged(format!("group {group} has no inode table")))?;
        let mut raw = vec![0; sb.inode_size];
        fs.read_in_block(block, (at % sb.block_size) as usize, &mut raw)?;
        if le16(&raw, 0) == 0 || le16(&raw, 0x1A) == 0 {
            return Err(TreeError::NotFound);
        }
        check_sum(sb, number, &raw)?;
        Ok(Inode {
            number,
            kind: kind(le16(&raw, 0)).ok_or_else(|| damaged(format!("inode {number} has no kind")))?,
            size: u64::from(le32(&raw, 0x6C)) << 32 | u64::from(le32(&raw, 4)),
            flags: le32(&raw, 0x20),
            generation: le32(&raw, 0x64),
            raw,
        })
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The 60 bytes that hold an extent tree's root, block numbers, a short link or the start of inline data.
    pub(super) fn blocks(&self) -> &[u8] {
        &self.raw[0x28..0x64]
    }

    /// What checksums of this inode's blocks start from.
    pub(super) fn seed(&self, sb: &Superblock) -> u32 {
        seed(sb, self.number, self.generation)
    }

    pub(super) fn metadata(&self) -> Metadata {
        let raw = &self.raw;
        let wide = |low, high| u32::from(le16(raw, high)) << 16 | u32::from(le16(raw, low));
        Metadata {
            kind: self.kind,
            size: match self.kind {
                NodeKind::File | NodeKind::Symlink | NodeKind::Directory => self.size,
                _ => 0,
            },
            permissions: le16(raw, 0) & 0o7777,
            uid: wide(2, 0x78),
            gid: wide(0x18, 0x7A),
            links: u32::from(le16(raw, 0x1A)),
            device: self.device(),
            modified: self.time(0x10, 0x88),
            changed: self.time(0xC, 0x84),
            accessed: self.time(8, 0x8C),
        }
    }

    fn device(&self) -> (u32, u32) {
        if !matches!(self.kind, NodeKind::CharDevice | NodeKind::BlockDevice) {
            return (0, 0);
        }
        match (le32(self.blocks(), 0), le32(self.blocks(), 4)) {
            (0, new) => ((new >> 8) & 0xFFF, (new & 0xFF) | ((new >> 12) & 0xF_FF00)),
            (old, _) => ((old >> 8) & 0xFF, old & 0xFF),
        }
    }

    /// The second word widens a time to 34 bits of seconds and adds nanoseconds, where the inode has room for it.
    fn time(&self, at: usize, extra: usize) -> FileTime {
        let room = extra_size(&self.raw);
        let extra = match extra + 4 <= 128 + room {
            true => le32(&self.raw, extra),
            false => 0,
        };
        FileTime {
            seconds: i64::from(le32(&self.raw, at) as i32) + (i64::from(extra & 3) << 32),
            nanos: (extra >> 2).min(999_999_999),
        }
    }
}

/// Bytes behind the first 128 that hold fields.
pub(super) fn extra_size(raw: &[u8]) -> usize {
    match raw.len() {
        ..132 => 0,
        len => usize::from(le16(raw, 0x80)).min(len - 128),
    }
}

pub(super) fn seed(sb: &Superblock, number: u32, generation: u32) -> u32 {
    let start = crc(sb.seed, &number.to_le_bytes());
    crc(start, &generation.to_le_bytes())
}

fn check_sum(sb: &Superblock, number: u32, raw: &[u8]) -> Result<(), TreeError> {
    if !sb.has_metadata_csum() {
        return Ok(());
    }
    let wide = extra_size(raw) >= 4;
    let mut zeroed = raw.to_vec();
    zeroed[0x7C..0x7E].fill(0);
    let mut stored = u32::from(le16(raw, 0x7C));
    if wide {
        zeroed[0x82..0x84].fill(0);
        stored |= u32::from(le16(raw, 0x82)) << 16;
    }
    let computed = crc(seed(sb, number, le32(raw, 0x64)), &zeroed);
    let mask = if wide { !0 } else { 0xFFFF };
    match (computed ^ stored) & mask {
        0 => Ok(()),
        _ => Err(damaged(format!("the checksum of inode {number} is wrong"))),
    }
}

fn kind(mode: u16) -> Option<NodeKind> {
    Some(match mode >> 12 {
        0x1 => NodeKind::Fifo,
        0x2 => NodeKind::CharDevice,
        0x4 => NodeKind::Directory,
        0x6 => NodeKind::BlockDevice,
        0x8 => NodeKind::File,
        0xA => NodeKind::Symlink,
        0xC => NodeKind::Socket,
        _ => return None,
    })
}
