//! What an earlier process left in the kernel: disks that can be followed on from where it stood. The others are compared.
//!
//! Never knows: how disks are compared.

use backstay_capture::tracker::Tracker;
use backstay_vault::protect::Boundary;

use super::Sources;
use super::disks::LiveDisk;
use super::memory::Memory;
use crate::output::note;
use crate::target::Target;

/// Disks whose marks tell all that changed since a boundary.
pub(super) struct Kept {
    /// The boundary, with these disks only.
    pub(super) from: Boundary,
    pub(super) disks: Vec<LiveDisk>,
}

impl Kept {
    /// Those of the sources, in their order, whose marks reach back to the newest point; `None` if none do.
    pub(super) fn find(
        (target, machine): (&dyn Target, &str),
        tracker: &Tracker,
        memory: &Memory,
        sources: &Sources,
    ) -> Option<Kept> {
        let boundary = target.boundary(machine).ok().flatten()?;
        if !memory.reaches(&boundary) {
            return None;
        }
        let (mut disks, mut ordered) = (Vec::new(), Vec::new());
        for (path, name) in sources {
            let Some(at) = boundary.disks.iter().find(|disk| disk.name == *name) else { continue };
            let stamp = memory.stamp(name);
            let disk = stamp.and_then(|stamp| Some((LiveDisk::go_on(tracker, path, name)?, stamp)));
            let Some((mut disk, stamp)) = disk else { continue };
            let trusted = tracker.check(disk.marks.number(), &stamp);
            if let Ok(Err(distrust)) = &trusted {
                note!("note: changes may have been missed: {name}: {distrust}; it is compared with the last point");
            }
            if matches!(trusted, Ok(Ok(()))) && at.size == disk.size() {
                disk.learn();
                ordered.push(at.clone());
                disks.push(disk);
            }
        }
        let from = Boundary { disks: ordered, ..boundary };
        (!disks.is_empty()).then_some(Kept { from, disks })
    }

    /// Whether its boundary is where the machine's timeline ends, still.
    pub(super) fn is_newest(&self, target: &dyn Target) -> bool {
        let newest = target.boundary(&self.from.machine.row.name).ok().flatten();
        newest.is_some_and(|now| now.machine.id == self.from.machine.id && now.number == self.from.number)
    }

    /// Its disks together with others, which were compared since and stand at `compared`: all as they are there. `None`: somebody
    /// else wrote to the timeline in between.
    pub(super) fn joined(self, compared: Boundary, others: Vec<LiveDisk>, sources: &Sources) -> Option<Kept> {
        // Numbers are given one by one, and a comparison takes one.
        if compared.machine.id != self.from.machine.id || compared.number != self.from.machine.row.next_point {
            return None;
        }
        let place = |name: &str| sources.iter().position(|(_, other)| other == name);
        let mut at = self.from.disks;
        at.extend(compared.disks);
        at.sort_by_key(|disk| place(&disk.name));
        let mut disks = self.disks;
        disks.extend(others);
        disks.sort_by_key(|disk| place(&disk.name));
        Some(Kept { from: Boundary { disks: at, ..compared }, disks })
    }
}
