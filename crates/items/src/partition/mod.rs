//! Partition tables: where on a disk its partitions are, as Linux would number them.
//!
//! Never knows: what is in a partition.
//! Guarantee: every partition of a [`Table`] is inside the disk, and none is empty.

mod gpt;
mod mbr;

use crate::bytes::{damaged, read_vec};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// The kind of a partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// No table: at most one file system, on the whole disk.
    None,
    /// A master boot record.
    Mbr,
    /// A GUID partition table.
    Gpt {
        /// Why the first copy could not be used, and the one at the disk's end was; `None` when it could.
        from_backup: Option<String>,
    },
}

/// What a partition is for, by the table's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionType {
    /// The type byte of a master boot record.
    Mbr(u8),
    /// The type of a GUID partition table, as stored; see [`guid`] for its text.
    Gpt([u8; 16]),
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1, as Linux counts: logical partitions from 5, empty slots leave gaps.
    pub index: u32,
    /// Bytes from the start of the disk.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// What it is for.
    pub kind: PartitionType,
    /// Its name; empty in a master boot record.
    pub name: String,
    /// Its identity as Linux writes `PARTUUID`; stable while the table is.
    pub id: String,
    /// It only holds logical partitions, which are listed as well.
    pub container: bool,
}

impl Partition {
    /// The byte behind its last one.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// A disk's partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Of which kind it is.
    pub kind: TableKind,
    /// The unit its addresses are in, bytes.
    pub sector_size: u32,
    /// The partitions by number.
    pub partitions: Vec<Partition>,
}

/// Reads a disk's partition table. A GUID table counts only behind a protective master boot record, as for Linux;
/// its addresses may be in sectors of 512 or 4096 bytes, whatever the volume says of itself.
///
/// # Errors
/// [`TreeError::Damaged`] when there is a table but neither copy of it holds together, or a partition reaches past
/// the end of the disk; [`TreeError::Io`].
pub fn partitions(disk: &dyn Volume) -> Result<Table, TreeError> {
    let none = Table { kind: TableKind::None, sector_size: disk.sector_size(), partitions: Vec::new() };
    if disk.size() < 512 {
        return Ok(none);
    }
    let sector = read_vec(disk, 0, 512)?;
    match mbr::parse(&sector) {
        None => Ok(none),
        Some(entries) if entries.iter().any(|e| e.kind == mbr::PROTECTIVE) => gpt::read(disk),
        Some(_) if starts_a_file_system(&sector) => Ok(none),
        Some(entries) => mbr::read(disk, &sector, &entries),
    }
}

/// FAT and NTFS begin with a boot sector that ends like a master boot record's.
fn starts_a_file_system(sector: &[u8]) -> bool {
    let jump = matches!(sector[0], 0xEB | 0xE9);
    let fat = &sector[0x36..0x39] == b"FAT" || &sector[0x52..0x55] == b"FAT";
    let named = [&b"NTFS    "[..], b"EXFAT   ", b"-FVE-FS-"].contains(&&sector[3..11]);
    jump && (fat || named)
}

/// Checks a partition's place, in sectors, and makes bytes of it.
fn place(disk: &dyn Volume, unit: u32, first: u64, len: u64) -> Result<(u64, u64), TreeError> {
    let start = first.checked_mul(u64::from(unit));
    let bytes = len.checked_mul(u64::from(unit));
    let pair = start.zip(bytes);
    let inside = |&(start, len): &(u64, u64)| len > 0 && start.checked_add(len).is_some_and(|end| end <= disk.size());
    pair.filter(inside)
        .ok_or_else(|| damaged(format!("a partition of {len} sectors at {first} is not inside the disk")))
}

/// The text of a GUID stored in a partition table: its first three parts are little-endian.
pub fn guid(bytes: &[u8; 16]) -> String {
    let hex = |order: &[usize]| -> String { order.iter().map(|&i| format!("{:02x}", bytes[i])).collect() };
    [hex(&[3, 2, 1, 0]), hex(&[5, 4]), hex(&[7, 6]), hex(&[8, 9]), hex(&[10, 11, 12, 13, 14, 15])].join("-")
}
