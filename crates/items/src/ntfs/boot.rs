//! The boot sector of NTFS: the sizes everything else is counted in.
//!
//! Never knows: records.
//! Invariant: the sizes of a parsed [`Boot`] are powers of two within what NTFS allows, and all its clusters are
//! inside the volume.

use crate::bytes::{damaged, le16, le64, unsupported};
use crate::tree::TreeError;

pub(super) struct Boot {
    pub(super) cluster_size: u64,
    pub(super) clusters: u64,
    pub(super) mft: u64,
    pub(super) record_size: usize,
    pub(super) index_size: usize,
}

impl Boot {
    pub(super) fn parse(sector: &[u8], volume_size: u64) -> Result<Self, TreeError> {
        if sector.get(3..11) != Some(b"NTFS    ") {
            return Err(unsupported("no NTFS boot sector"));
        }
        let sector_size = u64::from(le16(sector, 0x0B));
        if !sector_size.is_power_of_two() || !(256..=4096).contains(&sector_size) {
            return Err(damaged("impossible sector size"));
        }
        let per_cluster = match sector[0x0D] {
            code @ ..=0x80 => u64::from(code),
            code => 1 << (0_u8.wrapping_sub(code)).min(16),
        };
        let cluster_size = sector_size * per_cluster;
        if !cluster_size.is_power_of_two() || cluster_size > 2 << 20 {
            return Err(damaged("impossible cluster size"));
        }
        let bytes = le64(sector, 0x28).checked_mul(sector_size);
        let Some(bytes) = bytes.filter(|&bytes| bytes <= volume_size) else {
            return Err(damaged("it is larger than its volume"));
        };
        Ok(Boot {
            cluster_size,
            clusters: bytes / cluster_size,
            mft: le64(sector, 0x30),
            record_size: size(sector[0x40], cluster_size, 256..=4096, "record")?,
            index_size: size(sector[0x44], cluster_size, 512..=65536, "index block")?,
        })
    }
}

/// Clusters, or when negative the power of two of bytes.
fn size(code: u8, cluster_size: u64, allowed: std::ops::RangeInclusive<u64>, what: &str) -> Result<usize, TreeError> {
    let size = match code as i8 {
        clusters @ 0.. => clusters as u64 * cluster_size,
        power => 1 << u32::from(power.unsigned_abs()).min(32),
    };
    match allowed.contains(&size) && size.is_power_of_two() {
        true => Ok(size as usize),
        false => Err(damaged(format!("impossible {what} size"))),
    }
}
