//! Whether the newest point and the hypervisor agree on what tells the changes since.
//!
//! Never knows: how changes are read.

use backstay_hypervisor::bitmaps::{self, Standing};
use backstay_hypervisor::disks::Disk;
use backstay_hypervisor::names::Names;
use backstay_hypervisor::qmp::Channel;
use backstay_vault::protect::Boundary;
use backstay_vault::{Vault, VaultError};

use crate::failure::sentence;
use crate::live::Missed;

/// Where a point goes on from.
pub(super) struct Base {
    /// The newest point's; its disks in the order of the machine's.
    pub(super) from: Boundary,
    /// For each disk, the bitmap that tells all that changed since.
    pub(super) bitmaps: Vec<String>,
}

/// What a point goes on from; else why everything is to be compared, and nothing if there is nothing to compare with.
pub(super) fn base(
    vault: &Vault,
    machine: &str,
    (channel, names): (&mut dyn Channel, &Names),
    disks: &[Disk],
) -> Result<Result<Base, Option<String>>, Missed> {
    let Some(from) = vault.boundary(machine).map_err(Missed::of_vault)? else { return Ok(Err(None)) };
    let newest = match vault.point_at(&from.machine, None) {
        Err(VaultError::NoPoint(_)) => return Ok(Err(None)),
        newest => newest.map_err(Missed::of_vault)?,
    };
    if newest.number != from.number {
        return Ok(Err(Some("the last comparison was not finished".into())));
    }
    let mut base = Base { from, bitmaps: Vec::new() };
    if base.from.disks.len() != disks.len() {
        return Ok(Err(Some("the machine has other disks than at the last point".into())));
    }
    let there = bitmaps::all(channel, names).map_err(|e| Missed::later(sentence(&e)))?;
    let mut ordered = Vec::new();
    for disk in disks {
        let Some(at) = base.from.disks.iter().find(|at| at.name == disk.name) else {
            return Ok(Err(Some(format!("{} was not there at the last point", disk.name))));
        };
        if at.size != disk.size {
            return Ok(Err(Some(format!("{} changed its size", disk.name))));
        }
        let bitmap = String::from_utf8(at.stamp.clone()).ok().filter(|name| names.is_bitmap(name));
        let Some(bitmap) = bitmap else {
            return Ok(Err(Some(format!("the last point of {} was made in another way", disk.name))));
        };
        let joined = match bitmaps::standing(&there, &disk.node, &bitmap) {
            Standing::Whole => Ok(()),
            Standing::With(next) => bitmaps::put_back(channel, &disk.node, Some(&bitmap), &next),
            Standing::Lost(why) => return Ok(Err(Some(format!("{}: {why}", disk.name)))),
        };
        joined.map_err(|e| Missed::later(sentence(&e)))?;
        ordered.push(at.clone());
        base.bitmaps.push(bitmap);
    }
    base.from.disks = ordered;
    Ok(Ok(base))
}
