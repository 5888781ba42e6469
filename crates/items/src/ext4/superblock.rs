//! The ext4 superblock: the geometry and features of a file system, checked before anything is computed from them.
//!
//! Never knows: group descriptors, inodes, or the journal's content.
//! Invariant: no arithmetic on a parsed [`Superblock`]'s geometry overflows, and all its blocks are inside the volume.

use crate::bytes::{array, damaged, le16, le32, unsupported};
use crate::tree::TreeError;

/// Where the superblock starts, in bytes.
pub(super) const OFFSET: u64 = 1024;
/// Its size, in bytes.
pub(super) const SIZE: usize = 1024;

pub(super) mod compat {
    pub(in crate::ext4) const HAS_JOURNAL: u32 = 0x4;
    pub(in crate::ext4) const RESIZE_INODE: u32 = 0x10;
    pub(in crate::ext4) const SPARSE_SUPER2: u32 = 0x200;
}

pub(super) mod incompat {
    pub(in crate::ext4) const FILETYPE: u32 = 0x2;
    pub(in crate::ext4) const RECOVER: u32 = 0x4;
    pub(in crate::ext4) const JOURNAL_DEV: u32 = 0x8;
    pub(in crate::ext4) const META_BG: u32 = 0x10;
    pub(in crate::ext4) const BITS64: u32 = 0x80;
    pub(in crate::ext4) const CSUM_SEED: u32 = 0x2000;
    /// filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed, largedir, inline_data,
    /// encrypt, casefold.
    pub(in crate::ext4) const KNOWN: u32 = 0x3E7D6;
}

pub(super) mod ro_compat {
    pub(in crate::ext4) const SPARSE_SUPER: u32 = 0x1;
    pub(in crate::ext4) const GDT_CSUM: u32 = 0x10;
    pub(in crate::ext4) const BIGALLOC: u32 = 0x200;
    pub(in crate::ext4) const METADATA_CSUM: u32 = 0x400;
    pub(in crate::ext4) const SHARED_BLOCKS: u32 = 0x4000;
    /// sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc,
    /// metadata_csum, readonly, project, shared_blocks, verity, orphan_present.
    pub(in crate::ext4) const KNOWN: u32 = 0x1F77F;
}

/// What the file system is like.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) block_size: u64,
    /// Blocks in a cluster, the unit of the block bitmaps.
    pub(super) cluster_ratio: u64,
    pub(super) blocks: u64,
    pub(super) first_data_block: u64,
    pub(super) blocks_per_group: u64,
    pub(super) groups: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: usize,
    pub(super) desc_size: usize,
    pub(super) first_meta_bg: u64,
    pub(super) reserved_gdt: u64,
    pub(super) backup_groups: [u32; 2],
    pub(super) state: u16,
    pub(super) compat: u32,
    pub(super) incompat: u32,
    pub(super) ro_compat: u32,
    pub(super) journal_inode: u32,
    pub(super) uuid: [u8; 16],
    /// What every metadata checksum starts from.
    pub(super) seed: u32,
    pub(super) label: String,
}

/// CRC-32C as ext4 chains it: no inversion at either end.
pub(super) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

impl Superblock {
    /// Whether `bytes`, the [`SIZE`] bytes at [`OFFSET`], claim to be one.
    pub(super) fn has_magic(bytes: &[u8]) -> bool {
        le16(bytes, 0x38) == 0xEF53
    }

    /// Reads and checks one, for a volume of `volume_size` bytes.
    pub(super) fn parse(bytes: &[u8], volume_size: u64) -> Result<Self, TreeError> {
        if bytes.len() < SIZE || !Self::has_magic(bytes) {
            return Err(unsupported("no ext4 superblock"));
        }
        let (incompat, ro_compat) = (le32(bytes, 0x60), le32(bytes, 0x64));
        let uuid = array(bytes, 0x68).unwrap_or_default();
        if incompat & incompat::JOURNAL_DEV != 0 {
            return Err(unsupported("an external ext4 journal holds no files"));
        }
        let unknown = incompat & !incompat::KNOWN;
        if unknown != 0 {
            return Err(unsupported(format!("ext4 features {unknown:#x}")));
        }
        if ro_compat & ro_compat::METADATA_CSUM != 0 {
            check_sum(bytes)?;
        }
        let seed = match incompat & incompat::CSUM_SEED {
            0 => crc(!0, &uuid),
            _ => le32(bytes, 0x270),
        };
        let sb = Superblock {
            block_size: shifted(1024, le32(bytes, 0x18), 6, "block size")?,
            cluster_ratio: cluster_ratio(bytes, ro_compat)?,
            blocks: blocks(bytes, incompat),
            first_data_block: u64::from(le32(bytes, 0x14)),
            blocks_per_group: u64::from(le32(bytes, 0x20)),
            groups: 0,
            inodes: le32(bytes, 0),
            inodes_per_group: le32(bytes, 0x28),
            inode_size: inode_size(bytes),
            desc_size: desc_size(bytes, incompat)?,
            first_meta_bg: u64::from(le32(bytes, 0x104)),
            reserved_gdt: u64::from(le16(bytes, 0xCE)),
            backup_groups: [le32(bytes, 0x24C), le32(bytes, 0x250)],
            state: le16(bytes, 0x3A),
            compat: le32(bytes, 0x5C),
            incompat,
            ro_compat,
            journal_inode: le32(bytes, 0xE0),
            uuid,
            seed,
            label: label(&bytes[0x78..0x88]),
        };
        sb.check(volume_size)
    }

    fn check(mut self, volume_size: u64) -> Result<Self, TreeError> {
        let bits = self.block_size * 8;
        let clusters = self.blocks_per_group / self.cluster_ratio;
        let whole = self.blocks_per_group.is_multiple_of(self.cluster_ratio);
        if !whole || clusters == 0 || clusters > bits || !clusters.is_multiple_of(8) {
            return Err(damaged("impossible number of blocks in a group"));
        }
        if self.blocks > volume_size / self.block_size {
            return Err(damaged("it is larger than its volume"));
        }
        if self.first_data_block > 1 || self.first_data_block >= self.blocks {
            return Err(damaged("impossible first block"));
        }
        let fits = self.inode_size.is_power_of_two() && self.inode_size as u64 <= self.block_size;
        if self.inode_size < 128 || !fits {
            return Err(damaged("impossible inode size"));
        }
        if self.inodes_per_group == 0 || u64::from(self.inodes_per_group) > bits {
            return Err(damaged("impossible number of inodes in a group"));
        }
        self.groups = (self.blocks - self.first_data_block).div_ceil(self.blocks_per_group);
        Ok(self)
    }

    pub(super) fn has_metadata_csum(&self) -> bool {
        self.ro_compat & ro_compat::METADATA_CSUM != 0
    }

    pub(super) fn has_group_csum(&self) -> bool {
        self.ro_compat & (ro_compat::METADATA_CSUM | ro_compat::GDT_CSUM) != 0
    }

    pub(super) fn clusters_per_group(&self) -> u64 {
        self.blocks_per_group / self.cluster_ratio
    }

    pub(super) fn group_first_block(&self, group: u64) -> u64 {
        self.first_data_block + group * self.blocks_per_group
    }

    pub(super) fn group_blocks(&self, group: u64) -> u64 {
        let start = self.group_first_block(group);
        self.blocks_per_group.min(self.blocks - start)
    }

    pub(super) fn descs_per_block(&self) -> u64 {
        self.block_size / self.desc_size as u64
    }

    /// Blocks of one inode table.
    pub(super) fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group) * self.inode_size as u64).div_ceil(self.block_size)
    }

    /// Whether a group starts with a copy of the superblock.
    pub(super) fn has_super(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.compat & compat::SPARSE_SUPER2 != 0 {
            return self.backup_groups.iter().any(|&g| u64::from(g) == group);
        }
        let sparse = self.ro_compat & ro_compat::SPARSE_SUPER != 0;
        !sparse || group == 1 || [3, 5, 7].iter().any(|&base| is_power_of(group, base))
    }

    /// Whether the `index`-th block of group descriptors lies inside its own groups instead of after the superblock.
    pub(super) fn is_meta_bg(&self, index: u64) -> bool {
        self.incompat & incompat::META_BG != 0 && index >= self.first_meta_bg
    }

    /// The block that holds the `index`-th block of group descriptors.
    pub(super) fn desc_block(&self, index: u64) -> u64 {
        if !self.is_meta_bg(index) {
            return self.first_data_block.max(OFFSET / self.block_size) + 1 + index;
        }
        let group = index * self.descs_per_block();
        let boot = u64::from(self.block_size == OFFSET && index == 0 && self.first_data_block == 0);
        self.group_first_block(group) + u64::from(self.has_super(group)) + boot
    }
}

fn check_sum(bytes: &[u8]) -> Result<(), TreeError> {
    if crc(!0, &bytes[..0x3FC]) != le32(bytes, 0x3FC) {
        return Err(damaged("the superblock's checksum is wrong"));
    }
    Ok(())
}

fn shifted(base: u64, shift: u32, max: u32, what: &str) -> Result<u64, TreeError> {
    match shift {
        shift if shift <= max => Ok(base << shift),
        _ => Err(damaged(format!("impossible {what}"))),
    }
}

fn cluster_ratio(bytes: &[u8], ro_compat: u32) -> Result<u64, TreeError> {
    if ro_compat & ro_compat::BIGALLOC == 0 {
        return Ok(1);
    }
    let shift = le32(bytes, 0x1C).checked_sub(le32(bytes, 0x18));
    shifted(1, shift.unwrap_or(u32::MAX), 20, "cluster size")
}

fn blocks(bytes: &[u8], incompat: u32) -> u64 {
    let high = match incompat & incompat::BITS64 {
        0 => 0,
        _ => le32(bytes, 0x150),
    };
    u64::from(high) << 32 | u64::from(le32(bytes, 4))
}

fn inode_size(bytes: &[u8]) -> usize {
    match le32(bytes, 0x4C) {
        0 => 128,
        _ => usize::from(le16(bytes, 0x58)),
    }
}

fn desc_size(bytes: &[u8], incompat: u32) -> Result<usize, TreeError> {
    if incompat & incompat::BITS64 == 0 {
        return Ok(32);
    }
    match le16(bytes, 0xFE) {
        size @ (64 | 128 | 256 | 512 | 1024) => Ok(usize::from(size)),
        _ => Err(damaged("impossible size of group descriptors")),
    }
}

fn label(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn is_power_of(mut number: u64, base: u64) -> bool {
    while number > 1 && number.is_multiple_of(base) {
        number /= base;
    }
    number == 1
}
