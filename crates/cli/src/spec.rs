//! MACHINE, MACHINE:DISK and MACHINE:DISK:PARTITION.
//!
//! Never knows: whether they exist.

use std::ops::Range;
use std::sync::Arc;

use backstay_env::volume::{Slice, Volume};
use backstay_items::partition::{TableKind, partitions};
use backstay_vault::disk::PointDisk;
use backstay_vault::rows::{Machine, Point};
use backstay_vault::{Vault, VaultError};

use crate::args::At;
use crate::failure::{Failure, sentence};
use crate::moment;
use crate::output::note;

/// A machine, perhaps a disk of it, perhaps a partition of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The machine's name.
    pub machine: String,
    /// The disk's name.
    pub disk: Option<String>,
    /// The partition's number.
    pub partition: Option<u32>,
}

impl Spec {
    /// From the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut parts = text.split(':');
        let machine = parts.next().unwrap_or_default().to_owned();
        let disk = parts.next().map(str::to_owned);
        let partition = parts.next().map(str::to_owned);
        let number = partition.as_deref().map(|p| p.trim_start_matches('p').parse());
        match (number.transpose(), parts.next()) {
            (Ok(partition), None) if !machine.is_empty() => Ok(Spec { machine, disk, partition }),
            _ => Err(Failure::usage(format!("{text:?} is not MACHINE, MACHINE:DISK or MACHINE:DISK:PARTITION"))),
        }
    }
}

/// What was meant on the command line, found.
pub(crate) struct Found {
    /// As written.
    pub spec: Spec,
    /// The machine.
    pub machine: Machine,
    /// The point.
    pub point: Point,
}

/// Finds machine and point, and says on standard error which point it is.
pub(crate) fn find(vault: &Vault, at: &At) -> Result<Found, Failure> {
    let spec = Spec::parse(&at.machine)?;
    let time = moment::parse(&at.at)?;
    let machine = vault.machine(&spec.machine)?;
    let point = match vault.point_at(&machine, time) {
        Err(VaultError::NoPoint(name)) if vault.count_points(machine.id)? == 0 => {
            return Err(Failure::new(format!("machine {name} has no points yet; `backstay protect` makes them")));
        }
        point => point?,
    };
    note!("{} at {} (point {})", spec.machine, moment::show(point.row.time), point.number.0);
    Ok(Found { spec, machine, point })
}

/// The disks that are meant: the one named, or all.
pub(crate) fn disks(vault: &Vault, found: &Found) -> Result<Vec<Arc<PointDisk>>, Failure> {
    let disks = match &found.spec.disk {
        Some(name) => {
            let disk = vault.disk(&found.machine, &found.point, Some(name)).map_err(|error| match error {
                VaultError::NoDisk { .. } => {
                    let machine = &found.spec.machine;
                    let there = names(found);
                    Failure::new(format!("machine {machine} has no disk {name} at that point; it has {there}"))
                }
                error => error.into(),
            });
            vec![disk?]
        }
        None => vault.disks(&found.machine, &found.point)?,
    };
    Ok(disks.into_iter().map(Arc::new).collect())
}

/// The one disk that is meant.
pub(crate) fn disk(vault: &Vault, found: &Found) -> Result<Arc<PointDisk>, Failure> {
    let mut disks = disks(vault, found)?;
    match disks.len() {
        1 => Ok(disks.remove(0)),
        _ => Err(Failure::usage(format!("{} has several disks; name one: {}", found.spec.machine, names(found)))),
    }
}

/// The disks of a point, as they are named on the command line.
fn names(found: &Found) -> String {
    let names = found.point.row.disks.iter().map(|d| format!("{}:{}", found.spec.machine, d.name));
    names.collect::<Vec<_>>().join(", ")
}

/// The one disk or partition that is meant.
pub(crate) fn volume(vault: &Vault, found: &Found) -> Result<Arc<dyn Volume>, Failure> {
    let disk = disk(vault, found)?;
    match found.spec.partition {
        None => Ok(disk),
        Some(number) => {
            let place = partition(&disk, number)?;
            let slice = Slice::new(disk, place.start, place.end - place.start);
            let slice = slice.map_err(|e| Failure::new(format!("partition {number} cannot be used: {e}")))?;
            Ok(Arc::new(slice))
        }
    }
}

/// Where a partition of a disk is.
pub(crate) fn partition(disk: &PointDisk, number: u32) -> Result<Range<u64>, Failure> {
    let name = disk.info().name.clone();
    let table = partitions(disk).map_err(|e| Failure::new(format!("disk {name}: {}", sentence(&e))))?;
    let Some(part) = table.partitions.iter().find(|p| p.index == number) else {
        let why = if table.kind == TableKind::None { ": it has no partition table" } else { "" };
        return Err(Failure::usage(format!(
            "disk {name} has no partition {number}{why}; `backstay show` lists what it has"
        )));
    };
    Ok(part.start..part.end())
}

#[cfg(test)]
mod tests {
    use super::Spec;

    #[test]
    fn three_forms() {
        let spec = |t: &str| Spec::parse(t).map(|s| (s.machine, s.disk, s.partition)).ok();
        assert_eq!(spec("web"), Some(("web".into(), None, None)));
        assert_eq!(spec("web:sda:p2"), Some(("web".into(), Some("sda".into()), Some(2))));
        assert_eq!(spec("web:sda:2"), Some(("web".into(), Some("sda".into()), Some(2))));
        assert_eq!(spec("web:sda:x"), None);
        assert_eq!(spec(""), None);
    }
}
