//! Which blocks of an ext4 file system are in use, from its block bitmaps.
//!
//! Guarantee: superblocks, descriptors, bitmaps, inode tables and the journal count as used, whatever a bitmap says.
//! Never knows: inodes.

use super::fs::Fs;
use super::groups::{self, Group};
use super::superblock::{OFFSET, SIZE, Superblock, compat, crc, ro_compat};
use crate::allocation::{Allocation, Ranges};
use crate::bits::{count_zeros, runs_of_ones};
use crate::bytes::{damaged, read_vec};
use crate::cache::Borrowed;
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::ops::Range;

/// The blocks in use. What lies behind the end of the file system counts as used.
///
/// Everything, with a reason, when a checksum is wrong, a bitmap disagrees with its descriptor, the file system has
/// features this reader does not know, it has recorded errors, or it was in use and has no journal of its own.
pub fn allocated(volume: &dyn Volume) -> Allocation {
    let kind = read_vec(volume, OFFSET, SIZE).ok();
    let kind = kind.and_then(|bytes| super::kind(&bytes)).unwrap_or("ext4");
    Allocation::from_walk(kind, volume.size(), walk(volume))
}

fn walk(volume: &dyn Volume) -> Result<Ranges, TreeError> {
    let fs = Fs::open(Borrowed(volume))?;
    check_state(&fs.sb)?;
    let mut blocks = Vec::new();
    blocks.push(0..fs.sb.first_data_block + 1);
    for index in 0..fs.sb.groups {
        walk_group(&fs, index, &mut blocks)?;
    }
    let bs = fs.sb.block_size;
    let mut bytes: Vec<_> = blocks.into_iter().map(|r| r.start * bs..r.end * bs).collect();
    bytes.push(fs.sb.blocks * bs..fs.volume_size());
    Ok(Ranges::from_unsorted(bytes))
}

fn check_state(sb: &Superblock) -> Result<(), TreeError> {
    let unknown = sb.ro_compat & !ro_compat::KNOWN;
    if unknown != 0 {
        let what = format!("ext4 features {unknown:#x} (read-only compatible)");
        return Err(TreeError::Unsupported(what));
    }
    if sb.state & 2 != 0 {
        return Err(damaged("it has recorded errors; e2fsck should check it"));
    }
    if sb.state & 1 == 0 {
        let journal = sb.compat & compat::HAS_JOURNAL != 0;
        return Err(damaged(match journal {
            true => "it was not checked after an error",
            false => "it is in use and has no journal, so its bitmaps may be old",
        }));
    }
    Ok(())
}

fn walk_group<V: Volume>(fs: &Fs<V>, index: u64, used: &mut Vec<Range<u64>>) -> Result<(), TreeError> {
    let sb = &fs.sb;
    let group = Group::read(fs, index)?;
    let table = sb.inode_table_blocks();
    for (start, len) in [(group.block_bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, table)] {
        used.push(own_blocks(sb, start, len, index)?);
    }
    used.push(groups::copies(sb, index));
    if !group.block_uninit {
        let bitmap = fs.read_block(group.block_bitmap)?;
        check_bitmap(sb, index, &group, &bitmap)?;
        push_bits(sb, index, &bitmap, used);
    }
    Ok(())
}

/// A run of blocks, refused when it is not inside the file system.
fn own_blocks(sb: &Superblock, start: u64, len: u64, group: u64) -> Result<Range<u64>, TreeError> {
    match start.checked_add(len) {
        Some(end) if start > 0 && end <= sb.blocks => Ok(start..end),
        _ => Err(damaged(format!("group {group} has its metadata outside"))),
    }
}

fn check_bitmap(sb: &Superblock, index: u64, group: &Group, bitmap: &[u8]) -> Result<(), TreeError> {
    let clusters = sb.clusters_per_group();
    if sb.has_metadata_csum() {
        let (stored, mask) = group.block_bitmap_csum;
        let computed = crc(sb.seed, &bitmap[..(clusters / 8) as usize]);
        if computed & mask != stored & mask {
            let what = format!("the checksum of group {index}'s block bitmap is wrong");
            return Err(damaged(what));
        }
    }
    let free = count_zeros(bitmap, sb.group_blocks(index).div_ceil(sb.cluster_ratio));
    if free != group.free_clusters {
        return Err(damaged(format!(
            "group {index} has {free} free clusters by its bitmap and {} by its descriptor",
            group.free_clusters
        )));
    }
    Ok(())
}

fn push_bits(sb: &Superblock, index: u64, bitmap: &[u8], used: &mut Vec<Range<u64>>) {
    let first = sb.group_first_block(index);
    let end = first + sb.group_blocks(index);
    let bits = sb.group_blocks(index).div_ceil(sb.cluster_ratio);
    for run in runs_of_ones(bitmap, bits) {
        let start = first + run.start * sb.cluster_ratio;
        used.push(start..(first + run.end * sb.cluster_ratio).min(end));
    }
}
