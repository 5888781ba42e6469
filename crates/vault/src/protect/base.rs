//! What a capture continues: the machine, and where its newest span ends.
//!
//! Never knows: how changes since then are found.

use std::sync::Arc;

use backstay_format::rows::{DiskAt, DraftRow, MachineRow};
use backstay_format::units::{DiskNo, MachineId, PointNo};
use backstay_store::ledger::View;

use crate::map::Map;
use crate::rows::{Machine, find_machine, newest_boundary};
use crate::{Vault, VaultError};

/// The number of a machine's first point.
const FIRST: PointNo = PointNo(1);

/// What a capture continues.
pub(super) struct Base {
    pub(super) machine: Option<Machine>,
    /// Where the newest span ends.
    pub(super) boundary: PointNo,
    /// Where the capture's span is to begin: there, or at the beginning.
    pub(super) from: PointNo,
    /// What the disks held there.
    pub(super) map: Option<Arc<Map>>,
    /// Names and numbers of the disks at the newest point.
    pub(super) disks: Vec<DiskAt>,
}

impl Base {
    /// A base whose map nobody looks at.
    pub(super) fn known(machine: Machine, boundary: PointNo) -> Base {
        Base { machine: Some(machine), boundary, from: boundary, map: None, disks: Vec::new() }
    }

    /// What there is to continue. `start_over`: its map is damaged, so nothing is but the names and numbers of the disks. What is
    /// dropped with the map is read from the sources again, and found by the index where it was stored before.
    pub(super) fn find(vault: &Vault, view: &View, name: &str, start_over: bool) -> Result<Base, VaultError> {
        const NOTHING: PointNo = PointNo::BEGINNING;
        let Some(machine) = find_machine(view, name)? else {
            return Ok(Base { machine: None, boundary: NOTHING, from: NOTHING, map: None, disks: Vec::new() });
        };
        let boundary = newest_boundary(view, machine.id)?;
        let from = if start_over { NOTHING } else { boundary };
        let map = match from {
            NOTHING => None,
            number => Some(Arc::new(vault.map(machine.id, number)?)),
        };
        let disks = match vault.point_at(&machine, None) {
            Ok(point) => point.row.disks,
            Err(VaultError::NoPoint(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Base { machine: Some(machine), boundary, from, map, disks })
    }

    /// What packs that are committed on the way say of their capture.
    pub(super) fn draft(&self, name: &str) -> DraftRow {
        let point = self.machine.as_ref().map_or(FIRST, |m| m.row.next_point);
        DraftRow { machine: name.to_owned(), point }
    }

    /// The number of each disk: that of the disk of its name, or a new one.
    pub(super) fn number_disks(&self, names: &[&str]) -> Vec<DiskNo> {
        let mut next = self.machine.as_ref().map_or(1, |m| m.row.next_disk.0);
        let mut number = |name: &&str| {
            let known = self.disks.iter().find(|d| d.name == *name).map(|d| d.disk);
            known.unwrap_or_else(|| {
                next += 1;
                DiskNo(next - 1)
            })
        };
        names.iter().map(&mut number).collect()
    }

    /// The machine as it will be, if it is still as we found it.
    pub(super) fn continued(
        &self,
        vault: &Vault,
        view: &View,
        name: &str,
        disks: &[DiskNo],
    ) -> Result<Machine, VaultError> {
        let now = find_machine(view, name)?;
        let boundary = now.as_ref().map_or(Ok(PointNo::BEGINNING), |m| newest_boundary(view, m.id))?;
        let same =
            now.as_ref().map(|m| (m.id, m.row.next_disk)) == self.machine.as_ref().map(|m| (m.id, m.row.next_disk));
        if !same || boundary != self.boundary {
            return Err(VaultError::Overtaken);
        }
        let mut machine = now.unwrap_or_else(|| Machine {
            id: MachineId(vault.seams.salt()),
            row: MachineRow {
                created: vault.seams.clock.now(),
                name: name.to_owned(),
                next_disk: DiskNo(1),
                next_point: FIRST,
            },
        });
        let highest = disks.iter().map(|d| d.0 + 1).max().unwrap_or(1);
        machine.row.next_disk = DiskNo(machine.row.next_disk.0.max(highest));
        Ok(machine)
    }
}
