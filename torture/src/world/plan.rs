//! Which disks there are, with what on them, and what keeps them busy.
//!
//! Never knows: how any of it is made.

use super::kind::Kind;
use crate::chance::Chance;

/// GPT's codes as sgdisk knows them.
pub(crate) const LINUX: &str = "8300";
pub(crate) const SWAP: &str = "8200";

/// The worlds, by name.
pub(crate) const NAMES: &[&str] = &["ext4", "xfs", "btrfs", "parts", "postgres", "mariadb", "slow"];

/// A partition of the first disk.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) mib: u64,
    pub(crate) code: &'static str,
}

/// A file system, and where it lies. Partition 0 is the whole disk.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) disk: usize,
    pub(crate) part: u32,
    pub(crate) kind: Kind,
    /// Whether it takes a part of its device only, at first.
    pub(crate) grows: bool,
}

/// What keeps file systems busy, by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    Tree(usize),
    Fio(usize),
    Stress(usize),
    Shape(usize),
    Postgres([usize; 2]),
    MariaDb(usize),
    /// On a partition: one file system after the other.
    Scratch(u32),
    /// A partition is written past every file system, as swap is.
    Swap(u32),
}

/// A world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) sector: u32,
    /// Bytes of each disk.
    pub(crate) disks: Vec<u64>,
    pub(crate) parts: Vec<Part>,
    pub(crate) volumes: Vec<Place>,
    pub(crate) uses: Vec<Use>,
    /// Writes arrive late, and not in order.
    pub(crate) slow: bool,
    /// Everything is captured, also what no file system uses; then the whole disk can be compared.
    pub(crate) all_blocks: bool,
    /// Databases are told of each freeze.
    pub(crate) tells: bool,
}

const MIB: u64 = 1 << 20;

impl Plan {
    /// The world of a name, with what is left to chance.
    pub(crate) fn of(name: &'static str, chance: &mut Chance) -> Plan {
        let sector = *chance.pick(&[512, 4096]);
        let all_blocks = !chance.once_in(3);
        let tells = chance.once_in(2);
        let plan = Plan {
            name,
            sector,
            disks: vec![1024 * MIB],
            parts: Vec::new(),
            volumes: Vec::new(),
            uses: Vec::new(),
            slow: false,
            all_blocks,
            tells,
        };
        match name {
            "xfs" => plan.whole(Kind::Xfs),
            "btrfs" => plan.whole(Kind::Btrfs),
            "parts" => plan.parts(),
            "postgres" => {
                let kinds = [*chance.pick(Kind::ALL), *chance.pick(Kind::ALL)];
                plan.two_disks(kinds)
            }
            "mariadb" => {
                let kind = *chance.pick(Kind::ALL);
                plan.one(kind, false, &[Use::MariaDb(0), Use::Tree(0), Use::Shape(0)])
            }
            "slow" => {
                let kind = *chance.pick(Kind::ALL);
                let plan = plan.one(kind, false, &[Use::Tree(0), Use::Fio(0)]);
                Plan { slow: true, ..plan }
            }
            _ => plan.whole(Kind::Ext4),
        }
    }

    fn one(mut self, kind: Kind, grows: bool, uses: &[Use]) -> Plan {
        self.volumes = vec![Place { disk: 0, part: 0, kind, grows }];
        self.uses = uses.to_vec();
        self
    }

    fn whole(self, kind: Kind) -> Plan {
        self.one(kind, true, &[Use::Tree(0), Use::Fio(0), Use::Stress(0), Use::Shape(0)])
    }

    fn parts(mut self) -> Plan {
        self.disks = vec![2048 * MIB];
        let part = |number, mib, code| Part { number, mib, code };
        self.parts =
            vec![part(1, 384, LINUX), part(2, 448, LINUX), part(3, 384, LINUX), part(4, 64, SWAP), part(5, 448, LINUX)];
        let place = |number, kind| Place { disk: 0, part: number, kind, grows: true };
        self.volumes = vec![place(1, Kind::Ext4), place(2, Kind::Xfs), place(3, Kind::Btrfs)];
        self.uses = vec![Use::Tree(0), Use::Tree(1), Use::Tree(2), Use::Stress(1), Use::Swap(4), Use::Scratch(5)];
        self.uses.extend((0..3).map(Use::Shape));
        self
    }

    fn two_disks(mut self, kinds: [Kind; 2]) -> Plan {
        self.disks = vec![1024 * MIB, 1024 * MIB];
        let place = |disk, kind| Place { disk, part: 0, kind, grows: false };
        self.volumes = vec![place(0, kinds[0]), place(1, kinds[1])];
        self.uses = vec![Use::Postgres([0, 1])];
        self
    }

    /// Whether disks are copied while they are held still: a copy takes no time, and all of it is captured.
    pub(crate) fn is_copied(&self) -> bool {
        self.all_blocks && !self.slow
    }

    /// For the report.
    pub(crate) fn shown(&self) -> String {
        let kinds: Vec<&str> = self.volumes.iter().map(|place| place.kind.name()).collect();
        let all = if self.all_blocks { ", all blocks" } else { "" };
        let told = if self.tells { ", databases told" } else { "" };
        format!("{} ({}, sectors of {}{all}{told})", self.name, kinds.join(" + "), self.sector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_of_what_is_there() {
        for (seed, name) in (0..50).flat_map(|seed| NAMES.iter().map(move |name| (seed, *name))) {
            let plan = Plan::of(name, &mut Chance::of(seed));
            assert!(plan.volumes.iter().all(|place| place.disk < plan.disks.len()));
            let room: u64 = plan.parts.iter().map(|part| part.mib).sum();
            assert!(room * MIB < plan.disks[0]);
            for used in &plan.uses {
                match used {
                    Use::Tree(v) | Use::Fio(v) | Use::Stress(v) | Use::Shape(v) | Use::MariaDb(v) => {
                        assert!(*v < plan.volumes.len());
                    }
                    Use::Postgres(both) => assert!(both.iter().all(|v| *v < plan.volumes.len())),
                    Use::Scratch(part) | Use::Swap(part) => assert!(plan.parts.iter().any(|p| p.number == *part)),
                }
            }
        }
    }
}
