//! Saving the marks of a disk, and taking them up in the next run of the machine.
//!
//! Never knows: the file.

use std::io;
use std::path::{Path, PathBuf};

use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::Volume as _;

use super::{Bits, Looks, Quiet, SavedDisk};
use crate::number::DeviceNumber;
use crate::tracker::{self, Distrust, Stamp, TrackError, Tracker, device};

/// Why saved marks are not taken up: a rescan is due.
#[derive(Debug, thiserror::Error)]
pub enum Doubt {
    /// No disk has its serial number and size.
    #[error("no such disk is there")]
    Gone,
    /// Two disks look like it.
    #[error("there are several disks like it")]
    Several,
    /// Something was written while the machine was off, or it is another disk.
    #[error("it is not as it was when its marks were saved")]
    Changed,
    /// Something was written before the marks began.
    #[error("it was written since the machine started, before its changes were marked")]
    Written,
    /// The kernel does not count writes.
    #[error("the kernel does not count what is written to it")]
    NotCounted,
    /// It cannot be marked.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

impl Quiet {
    /// The marks of the disk, for a file; with `places` of it that whoever writes to it changes.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, marks: &tracker::Disk, name: &str, places: Looks) -> io::Result<SavedDisk> {
        let serial = device::serial(marks.number());
        Ok(SavedDisk { name: name.into(), size: self.device().size(), serial, looks: places, marks: marked(marks) })
    }

    /// Whether all that is marked now is saved: nothing came since. To be asked once the file is safe.
    ///
    /// # Errors
    /// As [`Tracker::check`].
    pub fn holds(
        &self,
        tracker: &Tracker,
        (marks, stamp): (&tracker::Disk, &Stamp),
        saved: &SavedDisk,
    ) -> Result<Result<bool, Distrust>, TrackError> {
        let trusted = tracker.check(marks.number(), stamp)?;
        Ok(trusted.map(|()| marked(marks).runs().all(|run| saved.marks.has(run))))
    }
}

/// What may differ from the copy elsewhere.
fn marked(marks: &tracker::Disk) -> Bits {
    let mut bits = Bits::default();
    marks.live().for_each(|run| bits.add(run));
    for pass in marks.uncommitted() {
        marks.pending(pass).into_iter().flatten().for_each(|run| bits.add(run));
    }
    bits
}

/// The whole disks that a saved one may be, by size and serial number.
///
/// # Errors
/// What the system says.
pub fn candidates(saved: &SavedDisk) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let Ok(text) = std::fs::read_to_string(Path::new("/sys/block").join(&name).join("dev")) else { continue };
        let Some(number) = DeviceNumber::parse(&text) else { continue };
        let fits = device::facts(number).is_ok_and(|facts| facts.size == saved.size);
        if fits && device::serial(number) == saved.serial {
            found.push(Path::new("/dev").join(name));
        }
    }
    Ok(found)
}

/// Whether the kernel knows a disk that it may be.
pub fn is_there(saved: &SavedDisk) -> bool {
    candidates(saved).is_ok_and(|found| !found.is_empty())
}

/// Begins to mark the disk that was saved, with the marks it had: together they tell all that changed since the copy that
/// the saved ones go back to. Answers what is to be remembered beside that copy from now on.
///
/// What was saved must be given up before it is used: `give_up` does so, if that is still to do, once nothing speaks against its use.
///
/// # Errors
/// [`Doubt`]; then the disk is not marked.
pub fn take_up(
    tracker: &mut Tracker,
    saved: &SavedDisk,
    give_up: impl FnOnce() -> io::Result<()>,
) -> Result<Stamp, Doubt> {
    // One that cannot be read is none that could be followed on.
    let looks_so =
        |path: &PathBuf| BlockDevice::open(path).is_ok_and(|disk| saved.looks.are_of(&disk).unwrap_or(false));
    let same: Vec<PathBuf> = candidates(saved)?.into_iter().filter(looks_so).collect();
    match (&same[..], is_there(saved)) {
        ([path], _) => begin(tracker, path, saved, give_up),
        ([], true) => Err(Doubt::Changed),
        ([], false) => Err(Doubt::Gone),
        _ => Err(Doubt::Several),
    }
}

fn begin(
    tracker: &mut Tracker,
    path: &Path,
    saved: &SavedDisk,
    give_up: impl FnOnce() -> io::Result<()>,
) -> Result<Stamp, Doubt> {
    let disk = tracker.add(path)?;
    let outcome = untouched(path, disk.number(), saved).and_then(|()| Ok(give_up()?));
    match outcome {
        Ok(()) => saved.marks.runs().for_each(|run| disk.mark(run)),
        Err(_) => tracker.remove(disk.number())?,
    }
    outcome.map(|()| disk.stamp())
}

/// Nothing was written since the machine started: what was done before the marks began was counted, and what was under way
/// then is marked. And the disk is as it was: looked at again, for only now does nothing escape.
fn untouched(path: &Path, number: DeviceNumber, saved: &SavedDisk) -> Result<(), Doubt> {
    match device::written(number)? {
        None => return Err(Doubt::NotCounted),
        Some(0) => {}
        Some(_) => return Err(Doubt::Written),
    }
    let device = BlockDevice::open(path).map_err(io::Error::other)?;
    let same = device.size() == saved.size && saved.looks.are_of(&device)?;
    if same { Ok(()) } else { Err(Doubt::Changed) }
}
