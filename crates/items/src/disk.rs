//! Which bytes of a whole disk hold something: its partitions' file systems asked one by one.
//!
//! Guarantee: what lies outside every partition counts as used, for boot loaders and volume managers keep things
//! there; so does everything where two answers are possible.
//! Never knows: how any file system keeps its books.

use crate::allocation::{Allocation, Ranges};
use crate::cache::Borrowed;
use crate::detect::{self, Kind};
use crate::partition::{Partition, Table, TableKind, partitions};
use crate::tree::TreeError;
use crate::{btrfs, ext4, ntfs, swap, vfat, xfs};
use backstay_env::volume::{Slice, Volume};
use std::ops::Range;

/// What is in use on a disk, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskAllocation {
    /// The ranges in use, from the start of the disk.
    pub used: Ranges,
    /// What was found, by place.
    pub parts: Vec<Part>,
}

/// What was found in one partition, or on a disk without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The partition's number; `None` for the disk as a whole.
    pub index: Option<u32>,
    /// Its place on the disk, bytes.
    pub place: Range<u64>,
    /// What it holds, such as `ext4`.
    pub kind: &'static str,
    /// Bytes in use in it.
    pub used: u64,
    /// Why all of it counts as used although its kind is known; `None` when the file system was believed.
    pub doubt: Option<String>,
}

impl Part {
    fn new(index: Option<u32>, place: Range<u64>, found: &Allocation) -> Self {
        Part { index, place, kind: found.kind, used: found.used.total(), doubt: found.doubt.clone() }
    }
}

/// Which bytes of a volume are in use: of a disk with partitions, or of a single file system.
pub fn allocated(volume: &dyn Volume) -> DiskAllocation {
    let size = volume.size();
    let whole = |found: Allocation| DiskAllocation { parts: vec![Part::new(None, 0..size, &found)], used: found.used };
    let doubt = |why: String| whole(Allocation::everything("unknown", size, Some(why)));
    match partitions(volume) {
        Err(why) => doubt(said(why)),
        Ok(table) if table.kind == TableKind::None => whole(file_system(volume)),
        Ok(table) => match contradiction(volume, &table) {
            Some(why) => doubt(why),
            None => by_partition(volume, &table),
        },
    }
}

fn said(why: TreeError) -> String {
    match why {
        TreeError::Io(cause) => format!("the volume could not be read: {cause}"),
        why => why.to_string(),
    }
}

/// Why a disk's partition table cannot be the whole truth.
fn contradiction(volume: &dyn Volume, table: &Table) -> Option<String> {
    match detect::signatures(volume) {
        Err(why) => return Some(said(why)),
        Ok(kinds) if !kinds.is_empty() => {
            let kinds = detect::ambiguous(&kinds);
            return Some(format!("the disk has partitions, but {kinds} as well"));
        }
        Ok(_) => {}
    }
    let parts = by_place(table);
    let overlap = parts.windows(2).find(|w| w[0].end() > w[1].start)?;
    let (a, b) = (overlap[0].index, overlap[1].index);
    Some(format!("partitions {a} and {b} overlap"))
}

fn by_place(table: &Table) -> Vec<&Partition> {
    let mut parts: Vec<_> = table.partitions.iter().filter(|p| !p.container).collect();
    parts.sort_by_key(|p| p.start);
    parts
}

fn by_partition(volume: &dyn Volume, table: &Table) -> DiskAllocation {
    let mut used = Ranges::new();
    let mut parts = Vec::new();
    let mut at = 0;
    for partition in by_place(table) {
        used.push(at..partition.start);
        let found = match Slice::new(Borrowed(volume), partition.start, partition.len) {
            Ok(slice) => file_system(&slice),
            Err(why) => {
                let why = said(TreeError::Io(why));
                Allocation::everything("unknown", partition.len, Some(why))
            }
        };
        let shift = |r: Range<u64>| partition.start + r.start..partition.start + r.end;
        found.used.iter().for_each(|r| used.push(shift(r)));
        let place = partition.start..partition.end();
        parts.push(Part::new(Some(partition.index), place, &found));
        at = partition.end();
    }
    used.push(at..volume.size());
    DiskAllocation { used, parts }
}

/// Which bytes of a volume without partitions are in use: by its file system, or all of them.
pub fn file_system(volume: &dyn Volume) -> Allocation {
    let everything = |kind, why| Allocation::everything(kind, volume.size(), why);
    let kinds = match detect::signatures(volume) {
        Ok(kinds) => kinds,
        Err(why) => return everything("unknown", Some(said(why))),
    };
    match kinds[..] {
        [] => everything("unknown", None),
        [Kind::Ext(_)] => ext4::allocated(volume),
        [Kind::Xfs] => xfs::allocated(volume),
        [Kind::Btrfs] => btrfs::allocated(volume),
        [Kind::Ntfs] => ntfs::allocated(volume),
        [Kind::Vfat] => vfat::allocated(volume),
        [Kind::Swap] => swap::allocated(volume),
        [kind] => everything(kind.name(), None),
        _ => everything("ambiguous", Some(detect::ambiguous(&kinds))),
    }
}
