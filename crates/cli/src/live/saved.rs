//! `marks`: what a clean restart of the machine would lose, saved when nothing writes to the disks any more and taken up before
//! anything does. Afterwards all is as if only `protect` had been stopped.
//!
//! Needs no store and no passphrase: it runs when the machine ends and starts.
//! Never knows: points.

use std::ffi::OsStr;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backstay_capture::saved::{self, Looks, Quiet, Saved, SavedDisk, is_there, take_up};
use backstay_capture::tracker::{self, Stamp, Tracker};
use backstay_env::real::disk::holds_path;
use backstay_env::volume::Volume;
use backstay_items::disk::{Part, allocated};

use super::memory::{Memory, Place, runtime_folder};
use super::own::{ENDING, make_room};
use crate::failure::{Failure, sentence};
use crate::output::say;

const PAGE: u64 = 4096;
/// At both ends of a disk lie partition tables.
const END: u64 = 1 << 20;
/// At its beginning a file system has what changes when somebody mounts it to write.
const HEAD: u64 = 256 << 10;
/// How long to wait for disks that come late.
const LATE: Duration = Duration::from_secs(10);
/// Where trackers keep what they have, each machine's in its folder.
pub(super) const PINS: &str = "/sys/fs/bpf";

/// Saves the marks of all machines that are followed here.
///
/// # Errors
/// The folder cannot be written. A disk whose marks cannot be saved is no error: it is compared after the restart.
pub(crate) fn save() -> Result<(), Failure> {
    let folder = state_folder();
    for (name, place) in followed() {
        let Some(memory) = place.read() else { continue };
        match save_machine(&name, &memory, &folder) {
            Ok(said) => said.iter().try_for_each(|line| say!("{line}"))?,
            Err(why) => say!("{name}: marks are not saved: {why}; its disks are compared after the restart")?,
        }
    }
    Ok(())
}

fn save_machine(name: &str, memory: &Memory, folder: &Path) -> Result<Vec<String>, String> {
    let pins = Path::new(PINS).join(name);
    if !pins.is_dir() {
        return Err("nothing is followed".into());
    }
    let tracker = Tracker::open(&pins).map_err(|e| sentence(&e))?;
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (mut quiet, mut disks, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for disk in memory.names() {
        match save_disk((&tracker, name), memory, disk, folder) {
            Ok((held, marks, saved)) => {
                lines.push(format!("{name}: the marks of {} pages of {disk} are saved", saved.marks.count()));
                quiet.push((held, marks));
                disks.push(saved);
            }
            Err(why) => lines.push(format!("{name}: {disk} is compared after the restart: {why}")),
        }
    }
    if disks.is_empty() {
        return Ok(lines);
    }
    let about = serde_json::to_vec(memory).map_err(|e| e.to_string())?;
    let saved = Saved { boot: saved::boot().map_err(|e| e.to_string())?, about, disks };
    let file = file_of(folder, name);
    let beside = write_beside(&file, &saved.encode()).map_err(|e| format!("{}: {e}", file.display()))?;
    for ((held, marks), disk) in quiet.iter().zip(&saved.disks) {
        if !matches!(held.holds(&tracker, (marks, &marks.stamp()), disk), Ok(Ok(true))) {
            return Err(format!("{} was written meanwhile", disk.name));
        }
    }
    put_in_place(&beside, &file).map_err(|e| format!("{}: {e}", file.display()))?;
    quiet.into_iter().for_each(|(held, _)| held.stay());
    Ok(lines)
}

fn save_disk(
    (tracker, tracker_name): (&Tracker, &str),
    memory: &Memory,
    name: &str,
    folder: &Path,
) -> Result<(Quiet, tracker::Disk, SavedDisk), String> {
    let stamp = memory.stamp(name).ok_or("it is not known")?;
    let marks = tracker.disks().find(|disk| disk.stamp() == stamp).ok_or("it is not followed")?.clone();
    let path = std::fs::read_link(format!("/sys/dev/block/{}", marks.number())).map_err(|e| e.to_string())?;
    let path = Path::new("/dev").join(path.file_name().unwrap_or_default());
    if holds_path(&path, folder).map_err(|e| sentence(&e))? {
        make_room(folder, tracker_name, marks.pages() * PAGE).map_err(|e| e.to_string())?;
        return Err("the system is on it, and only `marks save --last` can save them".into());
    }
    let quiet = Quiet::begin(&path).map_err(|e| sentence(&e))?;
    let device = quiet.device();
    let (places, untold) = telling(device.size(), &allocated(device).parts, |part| tells(device, part));
    let looks = Looks::of(device, places).map_err(|e| e.to_string())?;
    let mut saved = quiet.save(&marks, name, looks).map_err(|e| e.to_string())?;
    untold.into_iter().for_each(|pages| saved.marks.add(pages));
    match quiet.holds(tracker, (&marks, &stamp), &saved) {
        Ok(Ok(_)) => Ok((quiet, marks, saved)),
        Ok(Err(distrust)) => Err(distrust.to_string()),
        Err(error) => Err(sentence(&error)),
    }
}

/// Places in which it shows that somebody wrote to a disk while the machine was off; and pages for which it may not show, which
/// are therefore read anew. What was left out as swap is not looked at.
pub(super) fn telling(size: u64, parts: &[Part], tells: impl Fn(&Part) -> bool) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
    let mut places = vec![0..END, size.saturating_sub(END)..size];
    let mut untold = Vec::new();
    let mut at = END;
    let mut silent = |from: u64, to: u64| {
        if from < to {
            untold.push(from / PAGE..to.div_ceil(PAGE));
        }
    };
    for part in parts {
        silent(at, part.place.start);
        match part.kind {
            _ if tells(part) => places.push(part.place.start..part.place.end.min(part.place.start + HEAD)),
            "swap" => {}
            _ => silent(part.place.start, part.place.end),
        }
        at = part.place.end.max(at);
    }
    silent(at, size.saturating_sub(END));
    (places, untold)
}

/// Whether the head of a file system shows that somebody has mounted it to write: ext4 counts and dates mounts there, btrfs numbers
/// transactions, XFS dates its superblock by its log, from its version 5 on.
pub(super) fn tells(disk: &dyn Volume, part: &Part) -> bool {
    let mut version = [0; 2];
    match part.kind {
        _ if part.doubt.is_some() => false,
        "ext2" | "ext3" | "ext4" | "btrfs" => true,
        "xfs" => disk.read_at(part.place.start + 100, &mut version).is_ok() && version[1] & 0xf >= 5,
        _ => false,
    }
}

/// Takes up what was saved, for the next `protect`.
///
/// # Errors
/// What was saved cannot be given up. All else is told, and the disks are compared.
pub(crate) fn load() -> Result<(), Failure> {
    // Used by now, or of no use any more.
    for (_, file) in named(&state_folder(), ENDING) {
        give_up(&file).map_err(|e| Failure::new(format!("{} cannot be removed: {e}", file.display())))?;
    }
    for (name, file) in saved_files() {
        let bytes = std::fs::read(&file);
        // Whatever comes now, it is used once.
        give_up(&file).map_err(|e| Failure::new(format!("{} cannot be removed: {e}", file.display())))?;
        let read = bytes.map_err(|e| e.to_string()).and_then(|b| Saved::decode(&b).map_err(|e| e.to_string()));
        match read.and_then(|saved| load_machine(&name, &saved)) {
            Ok(said) => said.iter().try_for_each(|line| say!("{line}"))?,
            Err(why) => say!("{name}: what was saved is not used: {why}; its disks are compared")?,
        }
    }
    Ok(())
}

fn load_machine(name: &str, saved: &Saved) -> Result<Vec<String>, String> {
    if saved.boot == saved::boot().map_err(|e| e.to_string())? {
        return Ok(still_here(name, saved));
    }
    let memory: Memory = serde_json::from_slice(&saved.about).map_err(|e| e.to_string())?;
    let patience = Instant::now() + LATE;
    while !saved.disks.iter().all(is_there) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(100));
    }
    let place = Place::of(name).map_err(|e| e.to_string())?;
    let mut tracker = Tracker::open(&Path::new(PINS).join(name)).map_err(|e| sentence(&e))?;
    let (mut stamps, mut lines): (Vec<(&str, Stamp)>, Vec<_>) = (Vec::new(), Vec::new());
    for disk in &saved.disks {
        match take_up(&mut tracker, disk, || Ok(())) {
            Ok(stamp) => {
                stamps.push((&disk.name, stamp));
                lines.push(format!("{name}: {} is followed on from {} saved marks", disk.name, disk.marks.count()));
            }
            Err(doubt) => lines.push(format!("{name}: {} is compared: {}", disk.name, sentence(&doubt))),
        }
    }
    // The disk that the system is on may be followed on already.
    let before = place.read().filter(|_| tracker.disks().count() > stamps.len());
    match (before, stamps.is_empty()) {
        (Some(before), _) => place.write(&before.with(memory.in_a_new_run(&stamps))).map_err(|e| e.to_string())?,
        (None, true) => tracker.detach().map_err(|e| sentence(&e))?,
        (None, false) => place.write(&memory.in_a_new_run(&stamps)).map_err(|e| e.to_string())?,
    }
    Ok(lines)
}

/// The machine was not restarted after all: its marks are where they were.
fn still_here(name: &str, saved: &Saved) -> Vec<String> {
    let mut lines = vec![format!("{name}: the machine was not restarted; its marks are in the kernel still")];
    for disk in &saved.disks {
        let ended = saved::candidates(disk)
            .map_err(|e| e.to_string())
            .and_then(|paths| paths.iter().try_for_each(|path| Quiet::end(path).map_err(|e| sentence(&e))));
        if let Err(why) = ended {
            lines.push(format!("{name}: {} is still read-only: {why}", disk.name));
        }
    }
    lines
}

/// Gives up what was saved of a machine: it goes on without it.
pub(super) fn forget(name: &str) -> std::io::Result<()> {
    give_up(&state_folder().join(format!("{name}.{ENDING}")))?;
    give_up(&file_of(&state_folder(), name))
}

/// Machines that were followed in this run of the machine, and where it says from where.
pub(super) fn followed() -> Vec<(String, Place)> {
    let files = runtime_folder().map(|folder| named(&folder, "json")).unwrap_or_default();
    files.into_iter().map(|(name, file)| (name, Place(file))).collect()
}

fn saved_files() -> Vec<(String, PathBuf)> {
    named(&state_folder(), "marks")
}

/// Files of a folder that end so, by what they are called before.
pub(super) fn named(folder: &Path, ending: &str) -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = files.filter(|file| file.extension() == Some(OsStr::new(ending)));
    files.filter_map(|file| Some((file.file_stem()?.to_str()?.to_owned(), file.clone()))).collect()
}

fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.marks"))
}

/// Where state that must outlive the machine is kept. On the root file system: nothing else is mounted when it is needed.
pub(super) fn state_folder() -> PathBuf {
    std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from("/var/lib/backstay"), PathBuf::from)
}

/// Writes what is to be a file; it counts only once it is in place.
fn write_beside(file: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let beside = file.with_extension("new");
    let mut new = std::fs::File::create(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    Ok(beside)
}

/// Whole, safe against a power loss, or not at all.
fn put_in_place(beside: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::rename(beside, file)?;
    sync_folder(file)
}

/// Safe against a power loss, too.
pub(super) fn give_up(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Ok(()) => sync_folder(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

pub(super) fn sync_folder(file: &Path) -> std::io::Result<()> {
    std::fs::File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use backstay_env::real::disk::FileVolume;

    use super::*;

    fn part(place: Range<u64>, kind: &'static str) -> Part {
        Part { index: Some(1), place, kind, used: 0, doubt: None }
    }

    #[test]
    fn what_does_not_tell_is_read() {
        const MIB: u64 = 1 << 20;
        let doubtful = Part { doubt: Some("it contradicts itself".into()), ..part(90 * MIB..95 * MIB, "ext4") };
        let parts = [
            part(MIB..10 * MIB, "vfat"),
            part(10 * MIB..50 * MIB, "ext4"),
            part(60 * MIB..80 * MIB, "swap"),
            part(80 * MIB..90 * MIB, "LUKS"),
            doubtful,
        ];
        let disk = FileVolume::create(tempfile::tempdir().unwrap().path().join("disk"), 100 * MIB).unwrap();
        let (places, untold) = telling(100 * MIB, &parts, |part| tells(&disk, part));
        assert_eq!(places, [0..MIB, 99 * MIB..100 * MIB, 10 * MIB..10 * MIB + HEAD]);
        let pages: Vec<_> = [(1, 10), (50, 60), (80, 90), (90, 95), (95, 99)].map(|(a, b)| a * 256..b * 256).into();
        assert_eq!(untold, pages);
    }

    #[test]
    fn xfs_tells_from_its_version_5_on() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        for (option, expected) in [("crc=1", true), ("crc=0", false)] {
            std::fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
            let mut make = std::process::Command::new("mkfs.xfs");
            make.args(["-q", "-f", "-m", option]).arg(&image).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
            assert!(make.output().unwrap().status.success());
            let disk = FileVolume::open(&image).unwrap();
            let parts = allocated(&disk).parts;
            assert_eq!((parts[0].kind, tells(&disk, &parts[0])), ("xfs", expected));
        }
    }

    #[test]
    fn files_are_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_of(folder.path(), "backstay-m-0123");
        for bytes in [b"one", b"two"] {
            put_in_place(&write_beside(&file, bytes).unwrap(), &file).unwrap();
        }
        write_beside(&file, b"none").unwrap();
        assert_eq!(named(folder.path(), "marks"), [("backstay-m-0123".to_owned(), file.clone())]);
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        give_up(&file).unwrap();
        give_up(&file).unwrap();
        assert!(named(folder.path(), "marks").is_empty());
    }
}
