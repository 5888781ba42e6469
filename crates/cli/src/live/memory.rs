//! What must be known after a restart of this program to go on from its marks: which point they are of.
//!
//! It is kept where a restart of the machine loses it, as that loses the marks.
//! Never knows: how marks are checked.

use std::io;
use std::path::PathBuf;

use backstay_capture::tracker::Stamp;
use backstay_format::units::{PointNo, Timestamp};
use backstay_vault::protect::{Boundary, InMaking};
use serde::{Deserialize, Serialize};

/// What the marks of a machine's disks go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Of the machine, in the vault.
    machine: [u8; 16],
    /// Where the newest span ended when marks were cleared last.
    number: u64,
    /// The point that was about to be published then, if any: its number, and when it was begun.
    next: Option<(u64, i64)>,
    disks: Vec<Remembered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    name: String,
    boot: [u8; 16],
    generation: [u8; 16],
}

impl Memory {
    /// Of a machine whose newest span ends at `number`, and its disks.
    pub(super) fn new<'d>(
        machine: [u8; 16],
        number: PointNo,
        disks: impl IntoIterator<Item = (&'d str, Stamp)>,
    ) -> Self {
        let disk = |(name, stamp): (&str, Stamp)| {
            let Stamp { boot, generation } = stamp;
            Remembered { name: name.to_owned(), boot, generation }
        };
        Memory { machine, number: number.0, next: None, disks: disks.into_iter().map(disk).collect() }
    }

    /// The same, with a point about to be published.
    pub(super) fn about_to(&self, next: InMaking) -> Self {
        Memory { next: Some((next.number.0, next.begun.0)), ..self.clone() }
    }

    /// Whether the marks tell all that changed since the newest span of the machine.
    pub(super) fn reaches(&self, newest: &Boundary) -> bool {
        let is = |(number, begun)| newest.is(&InMaking { number: PointNo(number), begun: Timestamp(begun) });
        self.machine == newest.machine.id.0 && (self.number == newest.number.0 || self.next.is_some_and(is))
    }

    /// What stood beside the copy of a disk.
    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        let disk = self.disks.iter().find(|d| d.name == name)?;
        Some(Stamp { boot: disk.boot, generation: disk.generation })
    }

    /// The same for those of its disks whose marks were taken up after a restart of the machine, beside what they are now.
    pub(super) fn in_a_new_run(mut self, stamps: &[(&str, Stamp)]) -> Self {
        self.disks.retain_mut(|disk| {
            let stamp = stamps.iter().find(|(name, _)| *name == disk.name);
            stamp.map(|(_, stamp)| (disk.boot, disk.generation) = (stamp.boot, stamp.generation)).is_some()
        });
        self
    }

    /// With the disks of another, which goes on from the same; else the same.
    pub(super) fn with(mut self, other: Memory) -> Self {
        if (self.machine, self.number, self.next) == (other.machine, other.number, other.next) {
            self.disks.extend(other.disks);
        }
        self
    }

    /// The names of its disks.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.disks.iter().map(|disk| disk.name.as_str())
    }
}

/// Where state that a restart of the machine may lose is kept.
pub(super) fn runtime_folder() -> io::Result<PathBuf> {
    let folder = std::env::var_os("RUNTIME_DIRECTORY").map_or_else(|| PathBuf::from("/run/backstay"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The file that holds it.
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    /// For the tracker of this name, where a restart of the machine may lose it.
    pub(super) fn of(tracker: &str) -> io::Result<Place> {
        Ok(Place(runtime_folder()?.join(format!("{tracker}.json"))))
    }

    /// What was written last; `None` if there is nothing, or nothing that makes sense.
    pub(super) fn read(&self) -> Option<Memory> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }

    /// Whole or not at all.
    pub(super) fn write(&self, memory: &Memory) -> io::Result<()> {
        let beside = self.0.with_extension("new");
        // Not flushed: what a power loss takes of it, it takes of the marks, too.
        std::fs::write(&beside, serde_json::to_vec(memory)?)?;
        std::fs::rename(&beside, &self.0)
    }

    /// There is nothing to go on from.
    pub(super) fn clear(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_that_go_on_from_one_point_are_one_memory() {
        let stamp = |of: u8| Stamp { boot: [of; 16], generation: [of; 16] };
        let all = Memory::new([1; 16], PointNo(7), [("sda", stamp(1)), ("sdb", stamp(1)), ("sdc", stamp(1))]);
        let first = all.clone().in_a_new_run(&[("sda", stamp(2))]);
        let later = all.clone().in_a_new_run(&[("sdc", stamp(2)), ("other", stamp(2))]);
        let both = first.clone().with(later);
        assert_eq!(both.names().collect::<Vec<_>>(), ["sda", "sdc"]);
        assert_eq!((both.stamp("sdc"), both.stamp("sdb")), (Some(stamp(2)), None));
        let elsewhere = Memory::new([1; 16], PointNo(8), [("sdc", stamp(2))]);
        assert_eq!(first.clone().with(elsewhere), first, "they go on from another point");
    }
}
