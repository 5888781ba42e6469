//! Which clusters of a FAT file system are in use, from its table.
//!
//! Never knows: files.

use super::geometry::{Geometry, Next, Width};
use crate::allocation::{Allocation, Ranges};
use crate::bytes::{damaged, le16, le32, read_vec};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// Bytes of the table read at a time; entries of 12 bits come in threes of bytes.
const PIECE: u64 = 3 << 18;

/// The boot sectors, the tables, the root directory, and every cluster that the table does not call free. What lies
/// behind the end of the file system counts as used.
///
/// Everything, with a reason, when the file system was not unmounted cleanly or its tables differ.
pub fn allocated(volume: &dyn Volume) -> Allocation {
    Allocation::from_walk("vfat", volume.size(), walk(volume))
}

fn walk(volume: &dyn Volume) -> Result<Ranges, TreeError> {
    let geometry = Geometry::parse(&read_vec(volume, 0, 512)?, volume.size())?;
    check_clean(volume, &geometry)?;
    let mut used = Ranges::new();
    used.push(0..geometry.data);
    let end = geometry.clusters + 2;
    // Clusters per piece: as many as fit, and an even number.
    let step = match geometry.width {
        Width::Fat12 => PIECE / 3 * 2,
        Width::Fat16 => PIECE / 2,
        Width::Fat32 => PIECE / 4,
    };
    for first in (0..end).step_by(step as usize) {
        let last = (first + step).min(end) - 1;
        let bytes = table_piece(volume, &geometry, first, last)?;
        let (base, _) = geometry.entry_place(first);
        for cluster in first.max(2)..=last {
            let (from, _) = geometry.entry_place(cluster);
            let entry = geometry.entry(cluster, &bytes[(from - base) as usize..]);
            if entry != Next::Free {
                let start = geometry.place(cluster);
                used.push(start..start + geometry.cluster_size);
            }
        }
    }
    used.push(geometry.place(end)..volume.size());
    Ok(used)
}

/// The entries of `first..=last`, which must be the same in all tables that are kept alike.
fn table_piece(volume: &dyn Volume, geometry: &Geometry, first: u64, last: u64) -> Result<Vec<u8>, TreeError> {
    let (from, _) = geometry.entry_place(first);
    let (_, to) = geometry.entry_place(last);
    let read = |table: usize| {
        let start = geometry.tables[table].start + from;
        read_vec(volume, start, (to - from) as usize)
    };
    let bytes = read(geometry.active)?;
    for table in (0..geometry.tables.len()).filter(|_| geometry.active == 0) {
        if read(table)? != bytes {
            return Err(damaged("its tables differ"));
        }
    }
    Ok(bytes)
}

/// The second entry of a table has bits that are cleared while the file system is in use, and after errors.
fn check_clean(volume: &dyn Volume, geometry: &Geometry) -> Result<(), TreeError> {
    let head = read_vec(volume, geometry.tables[geometry.active].start, 8)?;
    let clean = match geometry.width {
        Width::Fat12 => true,
        Width::Fat16 => le16(&head, 2) & 0xC000 == 0xC000,
        Width::Fat32 => le32(&head, 4) & 0x0C00_0000 == 0x0C00_0000,
    };
    match clean && !geometry.dirty {
        true => Ok(()),
        false => Err(damaged("it was not unmounted cleanly")),
    }
}
