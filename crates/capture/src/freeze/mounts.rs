//! Which file systems lie on some disks, and in which order they are to be frozen. Pure, over [`Facts`].
//!
//! One superblock is one file system, however often it is mounted: bind mounts, subvolumes and other mount namespaces
//! show the same one. Stacked file systems come first: freezing one writes to what it lies on, and that must not be
//! frozen yet. The root comes last among equals, as everything else on the machine may wait for it.
//!
//! Never knows: how facts are gathered, or how a file system is frozen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::mountinfo::Mount;
use super::reach::{Under, members, under};
use crate::number::DeviceNumber;

/// What the kernel says of mounts and block devices at about one time.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The mounts that processes see, one view of each kind.
    pub views: Vec<View>,
    /// Block devices by number.
    pub blocks: BTreeMap<DeviceNumber, Block>,
    /// The members of file systems that have an anonymous number and several block devices (btrfs).
    pub pools: BTreeMap<DeviceNumber, Vec<DeviceNumber>>,
    /// Superblocks that are alive by other evidence than mounts, by one of their block devices.
    pub alive: Vec<Alive>,
}

/// What one process sees.
#[derive(Clone, Debug)]
pub struct View {
    /// Whose view it is; `None` is this process.
    pub process: Option<u32>,
    /// In the order they were mounted.
    pub mounts: Vec<Mount>,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The disk that it is a partition of; itself if it is none.
    pub disk: DeviceNumber,
    /// What it is made of, by device-mapper or md.
    pub slaves: Vec<DeviceNumber>,
    /// The file behind it, if it is a loop device.
    pub backing: Backing,
}

/// What is behind a block device besides other block devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Nothing.
    None,
    /// A file on the file system with this superblock.
    FileOn(DeviceNumber),
    /// A file, nobody knows where.
    Unknown,
}

/// A file system that some process keeps alive, mounted where we can see it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// Such as `ext4`.
    pub kind: String,
    /// One of its block devices.
    pub device: DeviceNumber,
}

/// A way to a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The process that sees it there; `None` is this process.
    pub process: Option<u32>,
    /// The number of the mount.
    pub mount: u64,
    /// The path, as that process sees it.
    pub path: PathBuf,
}

/// One file system on the disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its superblock.
    pub device: DeviceNumber,
    /// Such as `ext4`.
    pub kind: String,
    /// It refuses writes; if it cannot be frozen, nothing is lost.
    pub read_only: bool,
    /// Ways to it, own ones first; at least one.
    pub places: Vec<Place>,
}

impl FileSystem {
    /// What people call it: where it is mounted.
    pub fn name(&self) -> &Path {
        self.places.first().map_or(Path::new("?"), |place| &place.path)
    }
}

/// Something that may write to the disks and cannot be frozen, because there is no way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Such as `ext4`.
    pub kind: String,
    /// Its superblock or one of its block devices.
    pub device: DeviceNumber,
    /// What is known.
    pub why: UnseenWhy,
}

/// Why a file system may be out of sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnseenWhy {
    /// It is on the disks and alive, but mounted nowhere that can be seen: detached, or in a namespace without
    /// processes.
    NoMount,
    /// It is mounted from a file that nobody knows the file system of: it may be on the disks.
    UnknownFile,
    /// It manages its devices itself and does not tell which they are: it may be on the disks.
    UnknownDevices,
}

/// What to freeze, in this order; thaw in reverse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stacked ones first, the root last among equals.
    pub file_systems: Vec<FileSystem>,
    /// What the plan cannot vouch for.
    pub unseen: Vec<Unseen>,
}

impl Plan {
    /// Whether the file system with this superblock is in the plan.
    pub fn holds(&self, superblock: DeviceNumber) -> bool {
        self.file_systems.iter().any(|fs| fs.device == superblock)
    }

    /// Whether what `later` found was to be frozen by this plan, too. If not, something was mounted in between, and
    /// what was read meanwhile proves nothing.
    pub fn covers(&self, later: &Plan) -> bool {
        later.file_systems.iter().all(|fs| self.holds(fs.device))
            && later.unseen.iter().all(|unseen| self.unseen.contains(unseen))
    }
}

/// Finds every file system that lies on these disks (or partitions), whatever is in between.
pub fn plan(facts: &Facts, disks: &[DeviceNumber]) -> Plan {
    let mut found = Vec::new();
    let mut unseen = Vec::new();
    let all = superblocks(facts);
    for fs in all.values() {
        let under = under(facts, fs.device);
        if let Some(why) = doubt(facts, fs, &under) {
            unseen.push(Unseen { kind: fs.kind.clone(), device: fs.device, why });
        }
        if disks.iter().any(|disk| under.blocks.contains(disk)) {
            found.push((under.depth, fs.clone()));
        }
    }
    unseen.extend(detached(facts, &all, disks));
    let root = root(facts);
    found.sort_by_key(|(depth, fs)| (Reverse(*depth), Some(fs.device) == root, fs.device));
    Plan { file_systems: found.into_iter().map(|(_, fs)| fs).collect(), unseen }
}

/// Everything mounted anywhere, by superblock.
fn superblocks(facts: &Facts) -> BTreeMap<DeviceNumber, FileSystem> {
    let mut all: BTreeMap<DeviceNumber, FileSystem> = BTreeMap::new();
    let (own, others): (Vec<_>, Vec<_>) = facts.views.iter().partition(|view| view.process.is_none());
    for view in own.into_iter().chain(others) {
        for mount in &view.mounts {
            let fs = all.entry(mount.device).or_insert_with(|| FileSystem {
                device: mount.device,
                kind: mount.kind.clone(),
                read_only: mount.read_only,
                places: Vec::new(),
            });
            fs.places.push(Place { process: view.process, mount: mount.id, path: mount.point.clone() });
        }
    }
    all
}

/// Kinds that gather disks into pools under an anonymous number. For btrfs the members are among the facts.
const POOLS: &[&str] = &["btrfs", "zfs", "bcachefs"];

fn doubt(facts: &Facts, fs: &FileSystem, under: &Under) -> Option<UnseenWhy> {
    let pool = fs.device.is_anonymous() && POOLS.contains(&fs.kind.as_str());
    if pool && members(facts, fs.device).is_empty() {
        return Some(UnseenWhy::UnknownDevices);
    }
    under.bottomless.then_some(UnseenWhy::UnknownFile)
}

fn detached(facts: &Facts, all: &BTreeMap<DeviceNumber, FileSystem>, disks: &[DeviceNumber]) -> Vec<Unseen> {
    let mounted: BTreeSet<DeviceNumber> = all.keys().flat_map(|fs| members(facts, *fs)).copied().collect();
    let on_disks = |device| disks.iter().any(|disk| under(facts, device).blocks.contains(disk));
    let alive = facts.alive.iter().filter(|alive| !mounted.contains(&alive.device) && on_disks(alive.device));
    alive.map(|alive| Unseen { kind: alive.kind.clone(), device: alive.device, why: UnseenWhy::NoMount }).collect()
}

/// The superblock that this process calls `/`: of several on top of each other the last.
fn root(facts: &Facts) -> Option<DeviceNumber> {
    let own = facts.views.iter().find(|view| view.process.is_none())?;
    own.mounts.iter().rfind(|mount| mount.point == Path::new("/")).map(|mount| mount.device)
}

#[cfg(test)]
mod tests;
