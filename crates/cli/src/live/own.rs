//! `marks` of the disk that the system is on: it is written until the very end, and no file can be written after that.
//!
//! ```text
//!  save: room is made, in a file ─▶ all is read-only ─▶ save --last: marks go where the file lies on the disk ┈ restart ┈▶
//!  load --first, before anything is mounted to be written: read there, wiped, used
//! ```
//!
//! Never knows: points.
//! Invariant: whatever is at those places is wiped before it is used.

use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backstay_capture::number::DeviceNumber;
use backstay_capture::saved::{self, Quiet, Saved, Slot};
use backstay_capture::tracker::Tracker;
use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::{Slice, Volume};
use backstay_items::detect;
use backstay_items::disk::{Part, allocated};
use backstay_items::tree::FileTree;

use super::memory::{Memory, Place};
use super::saved::{PINS, followed, give_up, named, state_folder, sync_folder, telling, tells};
use crate::failure::{Failure, sentence};
use crate::output::say;

/// What a file is called that room is made in.
pub(super) const ENDING: &str = "last";
/// Bytes that marks of a part of a disk take, and that part.
const PART: (u64, u64) = (4100, 128 << 20);
/// For all else.
const MORE: u64 = 64 << 10;

/// A place where saved marks can be put past the file system, and what was found out on the way.
struct Found {
    /// Where the file lies on the disk.
    places: Vec<Range<u64>>,
    parts: Vec<Part>,
}

/// The whole disk that the state folder is on.
struct Own {
    number: DeviceNumber,
    path: PathBuf,
    /// Where on it the file system begins.
    start: u64,
}

impl Own {
    fn find(folder: &Path) -> Result<Own, String> {
        let device = |path: &Path| std::fs::metadata(path).map(|about| about.dev()).map_err(|e| e.to_string());
        let number = device(folder)?;
        if number != device(Path::new("/"))? {
            return Err(format!("{} is not on the root file system", folder.display()));
        }
        let link = format!("/sys/dev/block/{}", DeviceNumber::of(number));
        let place = std::fs::canonicalize(&link).map_err(|_| "the root file system is on no disk of its own")?;
        let said = |file: &Path| std::fs::read_to_string(file).map(|text| text.trim().to_owned()).ok();
        let start = said(&place.join("start")).and_then(|text| text.parse::<u64>().ok());
        let whole = if start.is_some() { place.parent().unwrap_or(&place) } else { &place };
        let number = said(&whole.join("dev")).and_then(|text| DeviceNumber::parse(&text)).ok_or("it has no number")?;
        let path = Path::new("/dev").join(whole.file_name().unwrap_or_default());
        Ok(Own { number, path, start: start.unwrap_or(0) * 512 })
    }

    /// Where a file lies on the disk. By the disk's own word: nothing is to be mounted for writing.
    fn look(&self, file: &Path) -> Result<Found, String> {
        let device: Arc<dyn Volume> = Arc::new(BlockDevice::open(&self.path).map_err(|e| sentence(&e))?);
        let parts = allocated(&*device).parts;
        let part =
            parts.iter().find(|part| part.place.start == self.start).ok_or("the root file system was not found")?;
        // What btrfs finds there must have the checksum that it wrote.
        if !part.kind.starts_with("ext") && part.kind != "xfs" {
            return Err(format!("on {} nothing can be kept past the file system", part.kind));
        }
        let len = part.place.end - self.start;
        let slice = Slice::new(device, self.start, len).map_err(|e| e.to_string())?;
        let tree = detect::open(Arc::new(slice)).map_err(|e| e.to_string())?;
        let found = content(&*tree, file).map_err(|e| e.to_string())?;
        let places = found.into_iter().map(|place| self.start + place.start..self.start + place.end).collect();
        Ok(Found { places, parts })
    }
}

fn content(tree: &dyn FileTree, file: &Path) -> Result<Vec<Range<u64>>, backstay_items::tree::TreeError> {
    let mut node = tree.root();
    for name in file.strip_prefix("/").unwrap_or(file) {
        node = tree.lookup(node, name)?;
    }
    tree.own_content(node)
}

/// Makes room for the marks of the disk that the folder is on, while files can be written.
pub(super) fn make_room(folder: &Path, name: &str, size: u64) -> std::io::Result<()> {
    let path = folder.join(format!("{name}.{ENDING}"));
    give_up(&path)?;
    let mut left = size.div_ceil(PART.1) * PART.0 + MORE;
    let mut file = std::fs::File::create(&path)?;
    let zeros = vec![0; 1 << 20];
    while left > 0 {
        let some = left.min(zeros.len() as u64);
        file.write_all(&zeros[..some as usize])?;
        left -= some;
    }
    file.sync_all()?;
    sync_folder(&path)
}

/// Saves the marks of that disk, when nothing is mounted to be written any more.
///
/// # Errors
/// None of what can be told: a disk whose marks cannot be saved is compared after the restart.
pub(crate) fn save_last() -> Result<(), Failure> {
    let folder = state_folder();
    for (name, place) in followed() {
        let Some(memory) = place.read() else { continue };
        let file = folder.join(format!("{name}.{ENDING}"));
        if file.exists() {
            match save_own(&name, &memory, &file) {
                Ok(line) => say!("{line}")?,
                Err(why) => say!("{name}: the system's disk is compared after the restart: {why}")?,
            }
        }
    }
    Ok(())
}

fn save_own(name: &str, memory: &Memory, file: &Path) -> Result<String, String> {
    let own = Own::find(file.parent().unwrap_or(Path::new("/")))?;
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        return Err("something is swapped to".into());
    }
    let tracker = Tracker::open(&Path::new(PINS).join(name)).map_err(|e| sentence(&e))?;
    let marks = tracker.disk(own.number).ok_or("it is not followed")?.clone();
    let known = memory.names().find(|disk| memory.stamp(disk) == Some(marks.stamp())).ok_or("it is not known")?;
    let quiet = Quiet::among_readers(&own.path, own.number).map_err(|e| sentence(&e))?;
    let device = quiet.device();
    let Found { places, parts } = own.look(file)?;
    let slot = Slot::new(device, places);
    let (telling, untold) = telling(device.size(), &parts, |part| tells(device, part));
    if slot.touches(&telling) {
        return Err("the place for it tells who writes".into());
    }
    let looks = saved::Looks::of(device, telling).map_err(|e| e.to_string())?;
    let mut disk = quiet.save(&marks, known, looks).map_err(|e| e.to_string())?;
    untold.into_iter().chain(slot.pages()).for_each(|pages| disk.marks.add(pages));
    let about = serde_json::to_vec(memory).map_err(|e| e.to_string())?;
    let saved = Saved { boot: saved::boot().map_err(|e| e.to_string())?, about, disks: vec![disk] };
    let kept = slot.write(&saved.encode()).map_err(|e| e.to_string()).and_then(|()| {
        quiet.seal().map_err(|e| sentence(&e))?;
        match quiet.holds(&tracker, (&marks, &marks.stamp()), &saved.disks[0]) {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("it was written meanwhile".into()),
            Ok(Err(distrust)) => Err(distrust.to_string()),
            Err(error) => Err(sentence(&error)),
        }
    });
    if let Err(why) = kept {
        quiet.unseal().map_err(|e| sentence(&e))?;
        slot.wipe().map_err(|e| e.to_string())?;
        return Err(why);
    }
    let line =
        format!("{name}: the marks of {} pages of {} are saved", saved.disks[0].marks.count(), saved.disks[0].name);
    quiet.stay();
    Ok(line)
}

/// Takes up what was saved so, before anything is mounted to be written.
///
/// # Errors
/// What was saved cannot be given up. All else is told, and the disk is compared.
pub(crate) fn load_first() -> Result<(), Failure> {
    for (name, file) in named(&state_folder(), ENDING) {
        match load_own(&name, &file) {
            Ok(line) => say!("{line}")?,
            Err(why) => say!("{name}: the system's disk is compared: {why}")?,
        }
    }
    Ok(())
}

fn load_own(name: &str, file: &Path) -> Result<String, String> {
    let own = Own::find(file.parent().unwrap_or(Path::new("/")))?;
    let device = BlockDevice::open_in_use(&own.path).map_err(|e| sentence(&e))?;
    let slot = Slot::new(&device, own.look(file)?.places);
    let saved = Saved::decode(&slot.read().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let outcome = take_up(name, &own, &saved, &slot);
    if outcome.is_err() {
        slot.wipe().map_err(|e| e.to_string())?;
    }
    outcome
}

fn take_up(name: &str, own: &Own, saved: &Saved, slot: &Slot<'_>) -> Result<String, String> {
    let [disk] = &saved.disks[..] else { return Err("it is of another number of disks".into()) };
    if saved.boot == saved::boot().map_err(|e| e.to_string())? {
        return Err("the machine was not restarted".into());
    }
    let memory: Memory = serde_json::from_slice(&saved.about).map_err(|e| e.to_string())?;
    let place = Place::of(name).map_err(|e| e.to_string())?;
    let mut tracker = Tracker::open(&Path::new(PINS).join(name)).map_err(|e| sentence(&e))?;
    let taken = saved::take_up(&mut tracker, disk, || slot.wipe()).map_err(|e| sentence(&e)).and_then(|stamp| {
        let right = tracker.disk(own.number).is_some_and(|marks| marks.stamp() == stamp);
        right.then_some(stamp).ok_or_else(|| "another disk looks like it".to_owned())
    });
    match taken {
        Ok(stamp) => place.write(&memory.in_a_new_run(&[(&disk.name, stamp)])).map_err(|e| e.to_string())?,
        Err(why) => {
            tracker.detach().map_err(|e| sentence(&e))?;
            return Err(why);
        }
    }
    Ok(format!("{name}: {} is followed on from {} saved marks", disk.name, disk.marks.count()))
}
