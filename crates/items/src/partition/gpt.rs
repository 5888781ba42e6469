//! The GUID partition table: a header and an array of entries at the disk's start, and copies at its end, each with
//! checksums.
//!
//! Never knows: the master boot record before it.

use super::{Partition, PartitionType, Table, TableKind, guid, place};
use crate::bytes::{array, damaged, le16, le32, le64, read_vec};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// Bytes of the entries a reader must expect; the usual table has 16 KiB.
const MAX_ENTRIES: u64 = 4 << 20;

/// Reads the table, by its first copy or else by its second, in sectors of either size.
pub(super) fn read(disk: &dyn Volume) -> Result<Table, TreeError> {
    let mut why = None;
    for unit in units(disk) {
        match copy(disk, unit, 1) {
            Ok(partitions) => return Ok(table(unit, None, partitions)),
            Err(TreeError::Io(cause)) => return Err(TreeError::Io(cause)),
            // The unit that the disk claims comes first: its reason is the one to tell.
            Err(reason) => _ = why.get_or_insert(reason.to_string()),
        }
    }
    let why = why.unwrap_or_default();
    for unit in units(disk) {
        let last = (disk.size() / u64::from(unit)).saturating_sub(1);
        match copy(disk, unit, last) {
            Ok(partitions) => return Ok(table(unit, Some(why), partitions)),
            Err(TreeError::Io(cause)) => return Err(TreeError::Io(cause)),
            Err(_) => {}
        }
    }
    let what = format!("neither copy of the partition table holds together; the first: {why}");
    Err(damaged(what))
}

fn units(disk: &dyn Volume) -> [u32; 2] {
    match disk.sector_size() {
        4096 => [4096, 512],
        _ => [512, 4096],
    }
}

fn table(unit: u32, from_backup: Option<String>, partitions: Vec<Partition>) -> Table {
    Table { kind: TableKind::Gpt { from_backup }, sector_size: unit, partitions }
}

/// The partitions by the header in sector `at`.
fn copy(disk: &dyn Volume, unit: u32, at: u64) -> Result<Vec<Partition>, TreeError> {
    let start = at.checked_mul(u64::from(unit));
    let start = start.ok_or_else(|| damaged("no header"))?;
    let header = read_vec(disk, start, unit as usize)?;
    check_header(&header, at)?;
    let (count, size) = (u64::from(le32(&header, 80)), u64::from(le32(&header, 84)));
    let bytes = count.saturating_mul(size);
    if size < 128 || !size.is_multiple_of(8) || bytes > MAX_ENTRIES {
        return Err(damaged("impossible number or size of entries"));
    }
    let place = le64(&header, 72).checked_mul(u64::from(unit));
    let place = place.ok_or_else(|| damaged("its entries are outside the disk"))?;
    let entries = read_vec(disk, place, bytes as usize)?;
    if crc32fast::hash(&entries) != le32(&header, 88) {
        return Err(damaged("the checksum of its entries is wrong"));
    }
    let used = entries.chunks_exact(size as usize).zip(1..);
    let used = used.filter(|(entry, _)| entry[..16] != [0; 16]);
    used.map(|(entry, index)| partition(disk, unit, index, entry)).collect()
}

fn check_header(header: &[u8], at: u64) -> Result<(), TreeError> {
    if &header[..8] != b"EFI PART" {
        return Err(damaged("no header"));
    }
    let len = le32(header, 12) as usize;
    if !(92..=header.len()).contains(&len) {
        return Err(damaged("impossible header length"));
    }
    let mut zeroed = header[..len].to_vec();
    zeroed[16..20].fill(0);
    if crc32fast::hash(&zeroed) != le32(header, 16) {
        return Err(damaged("the checksum of its header is wrong"));
    }
    if le64(header, 24) != at {
        return Err(damaged("its header is not where it says"));
    }
    Ok(())
}

fn partition(disk: &dyn Volume, unit: u32, index: u32, entry: &[u8]) -> Result<Partition, TreeError> {
    let (first, last) = (le64(entry, 32), le64(entry, 40));
    let len = last.checked_sub(first).and_then(|n| n.checked_add(1));
    let (start, len) = place(disk, unit, first, len.unwrap_or(0))?;
    let letters = (0..36).map(|i| le16(entry, 56 + 2 * i));
    let letters = letters.take_while(|&letter| letter != 0);
    let name = char::decode_utf16(letters).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    Ok(Partition {
        index,
        start,
        len,
        kind: PartitionType::Gpt(array(entry, 0).unwrap_or_default()),
        name: name.collect(),
        id: guid(&array(entry, 16).unwrap_or_default()),
        container: false,
    })
}
