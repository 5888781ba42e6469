//! How many pages of a disk could not be read, or were left out by choice, once a run is laid over what there was.
//!
//! Only a disk that had such pages needs a look at the map, and only where the run covers it.
//!
//! Never knows: how the run came to be.

use backstay_format::rows::DiskAt;
use backstay_format::units::{DiskNo, MachineId, PointNo, pages_in};
use backstay_timeline::extent::{Content, Extent};

use crate::map::Map;
use crate::{Vault, VaultError};

/// Kinds of pages that a point counts, as far as they can be counted here. Pages that nothing uses are not among them: nearly every
/// disk has some, and no reader of a point relies on their number.
const KINDS: [Content; 2] = [Content::Unreadable, Content::Excluded];

fn counts(disk: &mut DiskAt) -> [&mut u64; 2] {
    [&mut disk.unreadable, &mut disk.excluded]
}

fn pages_of(kind: Content, extents: &[Extent], disk: DiskNo) -> u64 {
    extents.iter().filter(|e| e.disk == disk && e.content == kind).map(|e| e.pages).sum()
}

impl Vault {
    /// Counts anew, for disks as they were at `from`, with `run` laid over that.
    ///
    /// # Errors
    /// [`VaultError::Home`]. Where the map is damaged, what it says is not taken off: the counts are what there is at most.
    pub(super) fn recount(
        &self,
        (machine, from): (MachineId, PointNo),
        disks: &mut [DiskAt],
        run: &[Extent],
    ) -> Result<(), VaultError> {
        let mut map = None;
        for disk in disks {
            let number = disk.disk;
            let had = counts(disk).iter().any(|count| **count > 0);
            let covered = match had && run.iter().any(|e| e.disk == number) {
                true => undamaged(self.covered(&mut map, (machine, from), number, run))?,
                false => [0; 2],
            };
            for ((count, covered), kind) in counts(disk).into_iter().zip(covered).zip(KINDS) {
                *count = count.saturating_sub(covered) + pages_of(kind, run, number);
            }
        }
        Ok(())
    }

    /// Pages of each kind that a run covers.
    fn covered(
        &self,
        map: &mut Option<Map>,
        (machine, from): (MachineId, PointNo),
        disk: DiskNo,
        run: &[Extent],
    ) -> Result<[u64; 2], VaultError> {
        let map = match map {
            Some(map) => map,
            None => map.insert(self.map(machine, from)?),
        };
        let mut before = Vec::new();
        for extent in run.iter().filter(|e| e.disk == disk) {
            before.extend(map.extents(disk, extent.page.0..extent.end().0)?);
        }
        Ok(KINDS.map(|kind| pages_of(kind, &before, disk)))
    }

    /// Counts all pages of disks as they are at a number that is no point's.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(super) fn count_all(&self, at: (MachineId, PointNo), disks: &mut [DiskAt]) -> Result<(), VaultError> {
        let map = self.map(at.0, at.1)?;
        for disk in disks {
            let extents = map.extents(disk.disk, 0..pages_in(disk.size))?;
            let number = disk.disk;
            counts(disk).into_iter().zip(KINDS).for_each(|(count, kind)| *count = pages_of(kind, &extents, number));
        }
        Ok(())
    }
}

fn undamaged(covered: Result<[u64; 2], VaultError>) -> Result<[u64; 2], VaultError> {
    match covered {
        Err(error) if error.is_damage() => Ok([0; 2]),
        covered => covered,
    }
}
