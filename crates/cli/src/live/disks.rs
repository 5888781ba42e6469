//! The disks that are followed.
//!
//! Never knows: points.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use backstay_capture::freeze::group::{Group, Limits};
use backstay_capture::freeze::mounts::plan;
use backstay_capture::freeze::{facts, watchdog::Watchdog};
use backstay_capture::marks::Pass;
use backstay_capture::number::DeviceNumber;
use backstay_capture::tracker::{self, TrackError, Tracker};
use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::Volume as _;
use backstay_items::disk::{DiskAllocation, allocated};

use crate::failure::sentence;

const PAGE: u64 = 4096;

/// A disk that is followed.
pub(super) struct LiveDisk {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) device: BlockDevice,
    pub(super) marks: tracker::Disk,
    /// Pages that are never kept: swap.
    pub(super) without: Vec<Range<u64>>,
}

impl LiveDisk {
    /// Begins to mark the changes of a disk, anew.
    pub(super) fn begin(tracker: &mut Tracker, path: &Path, name: &str) -> Result<LiveDisk, TrackError> {
        let marks = tracker.add(path)?;
        LiveDisk::open(path, name, marks)
    }

    /// Goes on with marks that an earlier process began; what it had taken is live again.
    pub(super) fn go_on(tracker: &Tracker, path: &Path, name: &str) -> Option<LiveDisk> {
        let marks = tracker.disk(tracked(tracker, path)?)?.clone();
        for pass in marks.uncommitted() {
            marks.merge_back(pass).ok()?;
        }
        LiveDisk::open(path, name, marks).ok()
    }

    fn open(path: &Path, name: &str, marks: tracker::Disk) -> Result<LiveDisk, TrackError> {
        let device = BlockDevice::open(path).map_err(|source| TrackError::Io {
            during: format!("opening {}", path.display()),
            source: std::io::Error::other(source),
        })?;
        Ok(LiveDisk { path: path.to_owned(), name: name.to_owned(), device, marks, without: Vec::new() })
    }

    /// Its device number.
    pub(super) fn number(&self) -> DeviceNumber {
        self.marks.number()
    }

    /// Learns what is in use. The disk's file systems must have been held still since marking began: only then does all that they
    /// held before stand in the disk's own books, and what they put there later is marked.
    pub(super) fn learn(&mut self) -> DiskAllocation {
        let on_it = allocated(&self.device);
        let swap = on_it.parts.iter().filter(|part| part.kind == "swap" && part.doubt.is_none());
        // The header stays: it has the label that fstab may name.
        self.without = swap.map(|part| (part.place.start / PAGE + 1)..(part.place.end / PAGE)).collect();
        on_it
    }

    /// Forgets the marks of passes that are safe.
    pub(super) fn committed(&self, pass: Pass) -> std::io::Result<()> {
        self.marks.committed(pass)
    }

    /// Bytes of the disk.
    pub(super) fn size(&self) -> u64 {
        self.device.size()
    }
}

fn tracked(tracker: &Tracker, path: &Path) -> Option<DeviceNumber> {
    let number = DeviceNumber::of(std::fs::metadata(path).ok()?.rdev());
    tracker.disk(number).map(|_| number)
}

/// Ends marking every disk but these.
pub(super) fn forget_all_but(tracker: &mut Tracker, spared: &[LiveDisk]) -> Result<(), TrackError> {
    let is_spared = |number: &DeviceNumber| spared.iter().any(|disk| disk.number() == *number);
    let tracked: Vec<DeviceNumber> =
        tracker.disks().map(tracker::Disk::number).filter(|number| !is_spared(number)).collect();
    tracked.into_iter().try_for_each(|number| tracker.remove(number))
}

/// Kinds that have no log: once they are flushed, their books are complete.
const WITHOUT_LOG: &[&str] = &["vfat", "msdos"];

/// Holds the disks' file systems still for a moment, so that their books are complete. Says of which they may not be.
pub(super) fn hold_still(disks: &[LiveDisk], watchdog: &mut Watchdog, limits: Limits) -> Result<Vec<String>, String> {
    let numbers: Vec<DeviceNumber> = disks.iter().map(LiveDisk::number).collect();
    let plan = plan(&facts::gather().map_err(|e| sentence(&e))?, &numbers);
    let unseen = plan.unseen.iter().map(|fs| format!("{} on {:?}", fs.kind, fs.device)).collect::<Vec<_>>();
    let group = Group::prepare(plan).map_err(|e| sentence(&e))?;
    group.sync().map_err(|e| sentence(&e))?;
    let frozen = group.freeze(watchdog, limits).map_err(|e| sentence(&e))?;
    let held = frozen.thaw().map_err(|e| sentence(&e))?;
    let members = group.members().iter().enumerate().filter(|(index, _)| held.unfrozen.contains(index));
    let members = members.map(|(_, fs)| fs).filter(|fs| !WITHOUT_LOG.contains(&fs.kind.as_str()));
    let others = members.chain(group.unreached());
    Ok(others.map(|fs| fs.name().display().to_string()).chain(unseen).collect())
}

/// Whether the marks of all disks tell all that changed.
pub(super) fn trusted(tracker: &Tracker, disks: &[LiveDisk]) -> Result<(), String> {
    for disk in disks {
        match tracker.check(disk.marks.number(), &disk.marks.stamp()) {
            Ok(Ok(())) => {}
            Ok(Err(distrust)) => return Err(format!("{}: {distrust}", disk.name)),
            Err(error) => return Err(format!("{}: {}", disk.name, sentence(&error))),
        }
    }
    Ok(())
}
