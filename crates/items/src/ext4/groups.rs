//! Block group descriptors: where a group's bitmaps and inode table are, and whether the bitmap counts.
//!
//! Never knows: inodes, or what the bitmaps say.

use super::fs::Fs;
use super::superblock::{Superblock, compat, crc, incompat, ro_compat};
use crate::bytes::{damaged, le16, le32};
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::ops::Range;

const BLOCK_UNINIT: u16 = 0x2;

/// One group's descriptor.
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    pub(super) free_clusters: u64,
    /// The block bitmap was never written: only metadata is in use.
    pub(super) block_uninit: bool,
    /// The block bitmap's checksum, with the bits of it that are kept.
    pub(super) block_bitmap_csum: (u32, u32),
}

impl Group {
    /// The descriptor of group `index`, checked where it carries a checksum.
    pub(super) fn read<V: Volume>(fs: &Fs<V>, index: u64) -> Result<Group, TreeError> {
        let sb = &fs.sb;
        assert!(index < sb.groups, "group in range");
        let block = sb.desc_block(index / sb.descs_per_block());
        let at = (index % sb.descs_per_block()) as usize * sb.desc_size;
        let mut bytes = vec![0; sb.desc_size];
        fs.read_in_block(block, at, &mut bytes)?;
        check_sum(sb, index as u32, &bytes)?;
        Ok(parse(sb, &bytes))
    }
}

fn parse(sb: &Superblock, bytes: &[u8]) -> Group {
    let wide = sb.incompat & incompat::BITS64 != 0 && sb.desc_size >= 64;
    let high = |offset| if wide { le32(bytes, offset) } else { 0 };
    let block = |low, offset| u64::from(high(offset)) << 32 | u64::from(le32(bytes, low));
    let high16 = |offset| if wide { le16(bytes, offset) } else { 0 };
    let pair = |low, offset| u32::from(high16(offset)) << 16 | u32::from(le16(bytes, low));
    Group {
        block_bitmap: block(0, 0x20),
        inode_bitmap: block(4, 0x24),
        inode_table: block(8, 0x28),
        free_clusters: u64::from(pair(0xC, 0x2C)),
        block_uninit: sb.has_group_csum() && le16(bytes, 0x12) & BLOCK_UNINIT != 0,
        block_bitmap_csum: (pair(0x18, 0x38), if wide { !0 } else { 0xFFFF }),
    }
}

fn check_sum(sb: &Superblock, index: u32, bytes: &[u8]) -> Result<(), TreeError> {
    let stored = le16(bytes, 0x1E);
    let computed = if sb.has_metadata_csum() {
        let start = crc(crc(sb.seed, &index.to_le_bytes()), &bytes[..0x1E]);
        crc(crc(start, &[0, 0]), &bytes[0x20..]) as u16
    } else if sb.ro_compat & ro_compat::GDT_CSUM != 0 {
        let start = crc16(crc16(!0, &sb.uuid), &index.to_le_bytes());
        crc16(crc16(start, &bytes[..0x1E]), &bytes[0x20..])
    } else {
        stored
    };
    match computed == stored {
        true => Ok(()),
        false => Err(damaged(format!("the checksum of group {index} is wrong"))),
    }
}

/// CRC-16 with the polynomial 0x8005 reflected, no inversion.
fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |crc, &byte| (0..8).fold(crc ^ u16::from(byte), |crc, _| (crc >> 1) ^ (0xA001 * (crc & 1))))
}

/// The superblock and descriptor copies at the start of a group, in blocks; empty for most groups. May be more than
/// is really there, never less.
pub(super) fn copies(sb: &Superblock, group: u64) -> Range<u64> {
    let start = sb.group_first_block(group);
    let mut len = 0;
    if sb.has_super(group) {
        let tables = sb.groups.div_ceil(sb.descs_per_block());
        let classic = match sb.incompat & incompat::META_BG {
            0 => tables,
            _ => tables.min(sb.first_meta_bg),
        };
        let reserved = match sb.compat & compat::RESIZE_INODE {
            0 => 0,
            _ => sb.reserved_gdt,
        };
        // One more for the boot block where the first block is counted.
        len = 2 + classic + reserved;
    }
    if sb.is_meta_bg(group / sb.descs_per_block()) {
        len += 1;
    }
    start..(start + len).min(start + sb.group_blocks(group))
}
