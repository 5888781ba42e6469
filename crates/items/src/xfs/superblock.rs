//! The superblock: what the file system is made of and where its parts lie.
//!
//! Never knows: the log's content, inodes or directories.
//! Invariant: every shift and product of a [`Geometry`] that passed [`Geometry::parse`] fits in 64 bits.

use super::bytes::{Bytes, checksum_fits, damaged};
use crate::tree::TreeError;

const MAGIC: u32 = 0x5846_5342;
/// Everything the superblock has that is looked at here lies in this many bytes.
pub(super) const MIN_SECTOR: usize = 512;

const VERSION_DIRV2: u16 = 0x2000;
const VERSION_FOLD_CASE: u16 = 0x4000;
const VERSION_MORE: u16 = 0x8000;
const FEATURES2_FTYPE: u32 = 0x0200;

const RO_KNOWN: u32 = 0x0f; // finobt, rmapbt, reflink, inobtcount
const INCOMPAT_FTYPE: u32 = 0x01;
const INCOMPAT_META_UUID: u32 = 0x04;
const INCOMPAT_NEEDS_REPAIR: u32 = 0x10;
const INCOMPAT_KNOWN: u32 = 0xff; // up to parent pointers; metadir and zoned are other formats
const LOG_INCOMPAT_KNOWN: u32 = 0x01; // logged attributes

/// The shape of one file system.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) block_size: u32,
    pub(super) blocks: u64,
    pub(super) realtime_blocks: u64,
    /// What blocks carry as their file system's identity (v5).
    pub(super) meta_uuid: [u8; 16],
    /// What log records carry.
    pub(super) user_uuid: [u8; 16],
    /// First block of the internal log; 0 when the log is on another device.
    pub(super) log_start: u64,
    pub(super) log_blocks: u32,
    pub(super) root: u64,
    pub(super) ag_blocks: u32,
    pub(super) ag_count: u32,
    pub(super) ag_block_log: u8,
    pub(super) inodes_per_block_log: u8,
    pub(super) sector_size: u16,
    pub(super) inode_size: u16,
    pub(super) dir_block_size: u32,
    pub(super) v5: bool,
    pub(super) ftype: bool,
    pub(super) fold_case: bool,
    pub(super) label: String,
    pub(super) unknown_ro_features: u32,
    pub(super) unknown_log_features: u32,
}

impl Geometry {
    /// Understands the superblock at the start of `sector`, which holds at least a whole sector of the file system
    /// if the volume does.
    ///
    /// # Errors
    /// `Damaged` for what is no superblock of XFS or contradicts itself, `Unsupported` for features unknown here.
    pub(super) fn parse(sector: &[u8]) -> Result<Geometry, TreeError> {
        let b = Bytes::new(sector, "superblock");
        if b.be32(0)? != MAGIC {
            return Err(damaged("no XFS superblock at the start of the volume"));
        }
        let version = b.be16(100)?;
        let v5 = match version & 0xf {
            4 => false,
            5 => true,
            other => return Err(TreeError::Unsupported(format!("XFS version {other}"))),
        };
        let sector_size = b.be16(102)?;
        if v5 && !checksum_fits(b.take(0, usize::from(sector_size))?, 224) {
            return Err(damaged("superblock: wrong checksum"));
        }
        let features2 = if version & VERSION_MORE != 0 { b.be32(200)? } else { 0 };
        let incompat = if v5 { b.be32(216)? } else { 0 };
        refuse_features(version, incompat)?;
        let block_size = b.be32(4)?;
        let dir_block_log = b.u8(192)?;
        let uuid = b.uuid(32)?;
        let label = b.take(108, 12)?.split(|c| *c == 0).next().unwrap_or_default();
        let geometry = Geometry {
            block_size,
            blocks: b.be64(8)?,
            realtime_blocks: b.be64(16)?,
            meta_uuid: if incompat & INCOMPAT_META_UUID != 0 { b.uuid(248)? } else { uuid },
            user_uuid: uuid,
            log_start: b.be64(48)?,
            log_blocks: b.be32(96)?,
            root: b.be64(56)?,
            ag_blocks: b.be32(84)?,
            ag_count: b.be32(88)?,
            ag_block_log: b.u8(124)?,
            inodes_per_block_log: b.u8(123)?,
            sector_size,
            inode_size: b.be16(104)?,
            dir_block_size: block_size.checked_shl(u32::from(dir_block_log)).unwrap_or(0),
            v5,
            ftype: if v5 { incompat & INCOMPAT_FTYPE != 0 } else { features2 & FEATURES2_FTYPE != 0 },
            fold_case: version & VERSION_FOLD_CASE != 0,
            label: String::from_utf8_lossy(label).into_owned(),
            unknown_ro_features: if v5 { b.be32(212)? & !RO_KNOWN } else { 0 },
            unknown_log_features: if v5 { b.be32(220)? & !LOG_INCOMPAT_KNOWN } else { 0 },
        };
        if b.u8(126)? != 0 {
            return Err(damaged("superblock: the file system was never finished being made"));
        }
        geometry.check(b.u8(120)?, b.u8(122)?, dir_block_log)?;
        Ok(geometry)
    }

    fn check(&self, block_log: u8, inode_log: u8, dir_block_log: u8) -> Result<(), TreeError> {
        let sane = (9..=16).contains(&block_log)
            && self.block_size == 1 << block_log
            && (512..=32768).contains(&self.sector_size)
            && self.sector_size.is_power_of_two()
            && (8..=11).contains(&inode_log)
            && self.inode_size == 1 << inode_log
            && u32::from(self.inode_size) <= self.block_size
            && self.inodes_per_block_log == block_log - inode_log
            && dir_block_log <= 7
            && self.dir_block_size <= 65536
            && self.ag_blocks > 0
            && (1..=31).contains(&self.ag_block_log)
            && u64::from(self.ag_blocks) <= 1u64 << self.ag_block_log;
        if !sane {
            return Err(damaged("superblock: impossible sizes"));
        }
        let full = u64::from(self.ag_blocks);
        let before_last = u64::from(self.ag_count.wrapping_sub(1)) * full;
        if self.ag_count == 0 || self.blocks <= before_last || self.blocks > before_last + full {
            return Err(damaged("superblock: its allocation groups do not add up to its blocks"));
        }
        let log_end = self.log_start.checked_add(u64::from(self.log_blocks));
        if self.log_start != 0 && (self.log_blocks == 0 || log_end.is_none()) {
            return Err(damaged("superblock: impossible log"));
        }
        Ok(())
    }

    /// Bytes of the whole file system.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks * u64::from(self.block_size)
    }

    /// Blocks in an allocation group; 0 for one that does not exist.
    pub(super) fn ag_len(&self, ag: u32) -> u32 {
        match ag.checked_add(1) {
            Some(next) if next < self.ag_count => self.ag_blocks,
            Some(next) if next == self.ag_count => (self.blocks - u64::from(ag) * u64::from(self.ag_blocks)) as u32,
            _ => 0,
        }
    }

    /// Byte offset of a block within an allocation group, if `count` blocks from there lie inside the group.
    pub(super) fn ag_offset(&self, ag: u32, block: u64, count: u64) -> Option<u64> {
        let end = block.checked_add(count)?;
        if end > u64::from(self.ag_len(ag)) {
            return None;
        }
        let linear = u64::from(ag) * u64::from(self.ag_blocks) + block;
        Some(linear * u64::from(self.block_size))
    }

    /// Splits a file system block number into group and block.
    pub(super) fn split(&self, fs_block: u64) -> Option<(u32, u64)> {
        let ag = u32::try_from(fs_block >> self.ag_block_log).ok()?;
        Some((ag, fs_block & ((1u64 << self.ag_block_log) - 1)))
    }

    /// Byte offset of a file system block, if `count` blocks from there lie inside one group.
    pub(super) fn offset(&self, fs_block: u64, count: u64) -> Option<u64> {
        let (ag, block) = self.split(fs_block)?;
        self.ag_offset(ag, block, count)
    }

    /// Byte offset of an inode.
    pub(super) fn inode_offset(&self, inode: u64) -> Option<u64> {
        let block = self.offset(inode >> self.inodes_per_block_log, 1)?;
        let index = inode & ((1u64 << self.inodes_per_block_log) - 1);
        Some(block + index * u64::from(self.inode_size))
    }
}

fn refuse_features(version: u16, incompat: u32) -> Result<(), TreeError> {
    if version & VERSION_DIRV2 == 0 && version & 0xf == 4 {
        return Err(TreeError::Unsupported("XFS with version 1 directories".into()));
    }
    if incompat & INCOMPAT_NEEDS_REPAIR != 0 {
        return Err(TreeError::Unsupported("XFS that is marked as needing repair".into()));
    }
    match incompat & !INCOMPAT_KNOWN {
        0 => Ok(()),
        unknown => Err(TreeError::Unsupported(format!("XFS with incompatible features {unknown:#x}"))),
    }
}
