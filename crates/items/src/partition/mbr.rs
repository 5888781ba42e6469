//! The master boot record, and the chain of logical partitions inside an extended one.
//!
//! Never knows: GUID tables, but for the byte that announces one.

use super::{Partition, PartitionType, Table, TableKind, place};
use crate::bytes::{damaged, le16, le32, read_vec};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// The type that stands for a GUID partition table.
pub(super) const PROTECTIVE: u8 = 0xEE;
const EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
/// Linux looks no further either.
const MAX_LOGICAL: u32 = 256;

/// One of the four slots of a boot record; sectors.
pub(super) struct Slot {
    pub(super) kind: u8,
    first: u64,
    len: u64,
}

impl Slot {
    fn is_used(&self) -> bool {
        self.kind != 0 && self.len != 0
    }

    fn is_extended(&self) -> bool {
        self.is_used() && EXTENDED.contains(&self.kind)
    }
}

/// The slots of a sector that is a boot record; `None` when it is not.
pub(super) fn parse(sector: &[u8]) -> Option<[Slot; 4]> {
    if le16(sector, 510) != 0xAA55 {
        return None;
    }
    let bytes = |i: usize| &sector[446 + 16 * i..462 + 16 * i];
    let sane = (0..4).all(|i| bytes(i)[0] & 0x7F == 0);
    let slot =
        |i: usize| Slot { kind: bytes(i)[4], first: u64::from(le32(bytes(i), 8)), len: u64::from(le32(bytes(i), 12)) };
    sane.then(|| std::array::from_fn(slot))
}

/// The partitions of a disk with the boot record `sector`.
pub(super) fn read(disk: &dyn Volume, sector: &[u8], slots: &[Slot; 4]) -> Result<Table, TreeError> {
    let unit = disk.sector_size();
    let disk_id = le32(sector, 440);
    let mut partitions = Vec::new();
    for (slot, index) in slots.iter().zip(1..).filter(|(s, _)| s.is_used()) {
        partitions.push(partition(disk, disk_id, index, slot, slot.first)?);
    }
    if let Some(extended) = slots.iter().find(|s| s.is_extended()) {
        logical(disk, disk_id, extended, &mut partitions)?;
    }
    let none = partitions.is_empty();
    Ok(Table { kind: if none { TableKind::None } else { TableKind::Mbr }, sector_size: unit, partitions })
}

fn partition(disk: &dyn Volume, disk_id: u32, index: u32, slot: &Slot, first: u64) -> Result<Partition, TreeError> {
    let (start, len) = place(disk, disk.sector_size(), first, slot.len)?;
    Ok(Partition {
        index,
        start,
        len,
        kind: PartitionType::Mbr(slot.kind),
        name: String::new(),
        id: format!("{disk_id:08x}-{index:02x}"),
        container: slot.is_extended(),
    })
}

/// Each logical partition has a boot record of its own: its first slot is the partition, counted from that record,
/// its second leads to the next record, counted from the start of the extended partition.
fn logical(disk: &dyn Volume, disk_id: u32, extended: &Slot, out: &mut Vec<Partition>) -> Result<(), TreeError> {
    let unit = disk.sector_size();
    let mut at = extended.first;
    let mut index = 5;
    for _ in 0..MAX_LOGICAL {
        let (start, _) = place(disk, unit, at, 1)?;
        let Some(slots) = parse(&read_vec(disk, start, 512)?) else {
            return Err(damaged("the chain of logical partitions is broken"));
        };
        for slot in slots.iter().filter(|s| s.is_used() && !s.is_extended()) {
            out.push(partition(disk, disk_id, index, slot, at + slot.first)?);
            index += 1;
        }
        match slots.iter().find(|s| s.is_extended()) {
            Some(next) if next.first > 0 => at = extended.first + next.first,
            _ => return Ok(()),
        }
    }
    Err(damaged("the chain of logical partitions has no end"))
}
