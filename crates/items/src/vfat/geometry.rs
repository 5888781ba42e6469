//! The boot sector of FAT: where its tables and clusters are, and how to read a table's entry.
//!
//! Never knows: files.
//! Invariant: the tables and all clusters of a parsed [`Geometry`] are inside the volume.

use crate::bytes::{damaged, le16, le32};
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Fat12,
    Fat16,
    Fat32,
}

/// What follows a cluster in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The cluster is not in use.
    Free,
    /// Another cluster.
    Cluster(u32),
    /// Nothing: it is the last one, or cannot be used.
    End,
}

pub(super) struct Geometry {
    pub(super) width: Width,
    pub(super) cluster_size: u64,
    /// Clusters, numbered from 2.
    pub(super) clusters: u64,
    /// Bytes from the start of the volume.
    pub(super) tables: Vec<Range<u64>>,
    /// The table to read.
    pub(super) active: usize,
    /// The root directory of FAT12 and FAT16.
    pub(super) root_region: Range<u64>,
    /// The root directory of FAT32.
    pub(super) root_cluster: u32,
    pub(super) data: u64,
    /// Marked as not cleanly unmounted in the boot sector.
    pub(super) dirty: bool,
    pub(super) label: String,
}

impl Geometry {
    pub(super) fn parse(sector: &[u8], volume_size: u64) -> Result<Self, TreeError> {
        let unit = u64::from(le16(sector, 11));
        let per_cluster = u64::from(sector[13]);
        let sizes = unit.is_power_of_two() && (512..=4096).contains(&unit);
        if !sizes || !per_cluster.is_power_of_two() {
            return Err(damaged("impossible sector or cluster size"));
        }
        let either = |short: usize, long: usize| match le16(sector, short) {
            0 => u64::from(le32(sector, long)),
            short => u64::from(short),
        };
        let (total, table_len) = (either(19, 32), either(22, 36));
        let (reserved, copies) = (u64::from(le16(sector, 14)), u64::from(sector[16]));
        let root_len = (u64::from(le16(sector, 17)) * 32).div_ceil(unit);
        let root = reserved + copies * table_len;
        let data = root + root_len;
        if reserved == 0 || copies == 0 || data >= total || total > volume_size / unit {
            return Err(damaged("its parts do not fit into the volume"));
        }
        let clusters = (total - data) / per_cluster;
        let width = match le16(sector, 22) {
            0 => Width::Fat32,
            _ if clusters < 4085 => Width::Fat12,
            _ => Width::Fat16,
        };
        let table = |i: u64| reserved + i * table_len..reserved + (i + 1) * table_len;
        let bytes = |r: Range<u64>| r.start * unit..r.end * unit;
        let fat32 = width == Width::Fat32;
        let (flags_at, label_at) = if fat32 { (0x41, 71) } else { (0x25, 43) };
        let geometry = Geometry {
            width,
            cluster_size: unit * per_cluster,
            clusters,
            tables: (0..copies).map(|i| bytes(table(i))).collect(),
            active: active(sector, fat32),
            root_region: bytes(root..data),
            root_cluster: if fat32 { le32(sector, 44) } else { 0 },
            data: data * unit,
            dirty: sector[flags_at] & 1 != 0,
            label: String::from_utf8_lossy(&sector[label_at..label_at + 11]).trim_end().to_owned(),
        };
        geometry.check(table_len * unit)
    }

    fn check(self, table_bytes: u64) -> Result<Self, TreeError> {
        let (_, end) = self.entry_place(self.clusters + 1);
        if self.active >= self.tables.len() || end > table_bytes || self.clusters > 0x0FFF_FFF4 {
            return Err(damaged("its table is too short for its clusters"));
        }
        Ok(self)
    }

    /// Where a cluster's entry is in a table: from which byte to which.
    pub(super) fn entry_place(&self, cluster: u64) -> (u64, u64) {
        match self.width {
            Width::Fat12 => (cluster * 3 / 2, cluster * 3 / 2 + 2),
            Width::Fat16 => (cluster * 2, cluster * 2 + 2),
            Width::Fat32 => (cluster * 4, cluster * 4 + 4),
        }
    }

    /// The entry of a cluster from the bytes of its place.
    pub(super) fn entry(&self, cluster: u64, bytes: &[u8]) -> Next {
        let (value, bad) = match self.width {
            Width::Fat12 if cluster.is_multiple_of(2) => (u32::from(le16(bytes, 0)) & 0xFFF, 0xFF7),
            Width::Fat12 => (u32::from(le16(bytes, 0)) >> 4, 0xFF7),
            Width::Fat16 => (u32::from(le16(bytes, 0)), 0xFFF7),
            Width::Fat32 => (le32(bytes, 0) & 0x0FFF_FFFF, 0x0FFF_FFF7),
        };
        match value {
            0 => Next::Free,
            value if value >= bad => Next::End,
            value => Next::Cluster(value),
        }
    }

    /// What follows `cluster`, by the active table.
    pub(super) fn next(&self, volume: &dyn Volume, cluster: u32) -> Result<Next, TreeError> {
        let (from, to) = self.entry_place(u64::from(cluster));
        let mut bytes = [0; 4];
        let bytes = &mut bytes[..(to - from) as usize];
        let at = self.tables[self.active].start + from;
        volume.read_at(at, bytes).map_err(TreeError::Io)?;
        Ok(self.entry(u64::from(cluster), bytes))
    }

    pub(super) fn is_cluster(&self, cluster: u32) -> bool {
        (2..self.clusters + 2).contains(&u64::from(cluster))
    }

    /// Where a cluster starts, bytes.
    pub(super) fn place(&self, cluster: u64) -> u64 {
        self.data + (cluster - 2) * self.cluster_size
    }
}

/// FAT32 may use one table alone instead of keeping all alike.
fn active(sector: &[u8], fat32: bool) -> usize {
    let flags = le16(sector, 40);
    match fat32 && flags & 0x80 != 0 {
        true => usize::from(flags & 0xF),
        false => 0,
    }
}
