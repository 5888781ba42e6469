//! Marks that are saved when nothing writes any more and taken up by a device that comes anew, as after a restart.
//!
//! The restart itself is tried in guests: `cargo xtask guest restart`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use backstay_capture::saved::{Doubt, FileError, Looks, NotQuiet, Quiet, Saved, SavedDisk, Slot, boot, take_up};
use backstay_capture::tracker::Tracker;
use backstay_env::real::disk::{BlockDevice, DiskError};

use super::world::{Loop, MIB, Mount, World, run};

/// What is written and saved.
const WRITTEN: [std::ops::Range<u64>; 2] = [300..303, 4000..4001];

/// A disk whose marks were saved, and that is gone since.
struct Rested {
    world: World,
    file: PathBuf,
    saved: SavedDisk,
}

impl Rested {
    fn new(seed: u8) -> Rested {
        let world = World::new();
        let file = world.folder.path().join("disk");
        // So that the file is like none of another test.
        fs::write(&file, std::process::id().to_le_bytes().map(|byte| byte ^ seed)).unwrap();
        // A size that no other disk here has.
        let size = 24 * MIB + 7 * 4096 + u64::from(seed) * 512;
        File::options().write(true).open(&file).unwrap().set_len(size).unwrap();
        let disk = Loop::own(&file);
        let mut tracker = world.tracker();
        let marks = tracker.add(&disk.path).unwrap();
        let device = OpenOptions::new().write(true).open(&disk.path).unwrap();
        WRITTEN.iter().for_each(|run| write(&device, run.clone(), seed));
        drop(device);
        let quiet = Quiet::begin(&disk.path).unwrap();
        let looks = Looks::of(quiet.device(), [0..MIB, size - MIB..size]).unwrap();
        let saved = quiet.save(&marks, "disk", looks).unwrap();
        assert!(matches!(quiet.holds(&tracker, (&marks, &marks.stamp()), &saved), Ok(Ok(true))));
        quiet.stay();
        let late = OpenOptions::new().write(true).open(&disk.path).and_then(|device| device.write_at(&[1], 0));
        assert!(late.is_err(), "a disk that is quiet was written");
        tracker.remove(marks.number()).unwrap();
        let bytes = Saved { boot: boot().unwrap(), about: Vec::new(), disks: vec![saved] }.encode();
        let saved = Saved::decode(&bytes).unwrap().disks.remove(0);
        Rested { world, file, saved }
    }

    /// Tries to go on; answers why not, and looks that nothing is marked then.
    fn doubt(&self) -> Doubt {
        let mut tracker = self.world.tracker();
        let doubt = take_up(&mut tracker, &self.saved, || Ok(())).unwrap_err();
        assert_eq!(tracker.disks().count(), 0, "{doubt}");
        doubt
    }
}

fn write(device: &File, pages: std::ops::Range<u64>, with: u8) {
    let bytes = vec![with; ((pages.end - pages.start) * 4096) as usize];
    device.write_all_at(&bytes, pages.start * 4096).unwrap();
    device.sync_all().unwrap();
}

#[test]
fn a_disk_that_nobody_wrote_to_is_followed_on() {
    let rested = Rested::new(1);
    let disk = Loop::own(&rested.file);
    let mut tracker = rested.world.tracker();
    let stamp = take_up(&mut tracker, &rested.saved, || Ok(())).unwrap();
    let marks = tracker.disks().next().unwrap().clone();
    assert_eq!(marks.live().collect::<Vec<_>>(), WRITTEN);
    let device = OpenOptions::new().write(true).open(&disk.path).unwrap();
    write(&device, 9..10, 7);
    assert_eq!(marks.live().collect::<Vec<_>>(), [&[9..10], &WRITTEN[..]].concat());
    // It is as if the process before had only ended.
    let number = marks.number();
    drop((marks, tracker));
    assert!(matches!(rested.world.tracker().check(number, &stamp), Ok(Ok(()))));
}

#[test]
fn a_disk_that_was_written_meanwhile_is_not() {
    let rested = Rested::new(2);
    assert!(matches!(rested.doubt(), Doubt::Gone));
    // While the machine was off.
    let file = OpenOptions::new().write(true).open(&rested.file).unwrap();
    let disk = {
        write(&file, 255..256, 9);
        Loop::own(&rested.file)
    };
    assert!(matches!(rested.doubt(), Doubt::Changed));
    drop(disk);
    write(&file, 255..256, 0);
    // Since it was switched on.
    let disk = Loop::own(&rested.file);
    write(&OpenOptions::new().write(true).open(&disk.path).unwrap(), 2000..2001, 9);
    assert!(matches!(rested.doubt(), Doubt::Written));
}

#[test]
fn of_two_that_are_alike_neither_is() {
    let rested = Rested::new(3);
    let copy = rested.world.folder.path().join("copy");
    fs::copy(&rested.file, &copy).unwrap();
    let _disks = [Loop::own(&rested.file), Loop::own(&copy)];
    assert!(matches!(rested.doubt(), Doubt::Several));
}

#[test]
fn a_disk_in_use_is_left_as_it_is() {
    let world = World::new();
    let disk = world.disk("disk", 64 * MIB, &[]);
    run("mkfs.ext4", &["-q", disk.path.to_str().unwrap()]);
    let mount = Mount::of(&disk.path, &world.folder.path().join("mounted"));
    assert!(matches!(Quiet::begin(&disk.path), Err(NotQuiet::Disk(DiskError::InUse(_)))));
    fs::write(mount.0.join("file"), b"written").unwrap();
    drop(mount);
    // And one that is not to stay quiet is as before.
    drop(Quiet::begin(&disk.path).unwrap());
    let device = OpenOptions::new().write(true).open(&disk.path).unwrap();
    write(&device, 5..6, 1);
}

#[test]
fn what_came_after_saving_is_noticed() {
    let world = World::new();
    let disk = world.disk("disk", 64 * MIB, &[]);
    let mut tracker: Tracker = world.tracker();
    let marks = tracker.add(&disk.path).unwrap();
    let quiet = Quiet::begin(&disk.path).unwrap();
    let looks = Looks::of(quiet.device(), [0..MIB]).unwrap();
    let saved = quiet.save(&marks, "disk", looks).unwrap();
    marks.mark(77..78);
    assert!(matches!(quiet.holds(&tracker, (&marks, &marks.stamp()), &saved), Ok(Ok(false))));
}

/// Places of a disk that its file system has no use for.
const PLACES: [std::ops::Range<u64>; 2] = [40 * MIB + 8192..40 * MIB + 16384, 20 * MIB..20 * MIB + 512 * 1024];

#[test]
fn marks_are_kept_on_the_disk_itself_while_it_is_mounted_to_be_read() {
    let world = World::new();
    let (file, folder) = (world.folder.path().join("disk"), world.folder.path().join("mounted"));
    // A size that no other disk here has.
    File::create(&file).unwrap().set_len(64 * MIB + 11 * 4096).unwrap();
    let disk = Loop::own(&file);
    run("mkfs.ext4", &["-q", disk.path.to_str().unwrap()]);
    let mut tracker = world.tracker();
    let marks = tracker.add(&disk.path).unwrap();
    let mount = Mount::of(&disk.path, &folder);
    assert!(matches!(Quiet::among_readers(&disk.path, marks.number()), Err(NotQuiet::Mounted(_))));
    fs::write(folder.join("file"), vec![1; 100_000]).unwrap();
    run("mount", &["-o", "remount,ro", folder.to_str().unwrap()]);

    let quiet = Quiet::among_readers(&disk.path, marks.number()).unwrap();
    let slot = Slot::new(quiet.device(), PLACES.to_vec());
    let looks = Looks::of(quiet.device(), [0..MIB]).unwrap();
    let mut saved = quiet.save(&marks, "disk", looks).unwrap();
    assert!(saved.marks.count() > 25);
    slot.pages().for_each(|pages| saved.marks.add(pages));
    let saved = Saved { boot: boot().unwrap(), about: vec![7; 9000], disks: vec![saved] };
    slot.write(&saved.encode()).unwrap();
    quiet.seal().unwrap();
    assert!(matches!(quiet.holds(&tracker, (&marks, &marks.stamp()), &saved.disks[0]), Ok(Ok(true))));
    assert!(slot.write(&vec![0; slot.room() as usize + 1]).is_err() && slot.wipe().is_err());
    quiet.stay();
    tracker.remove(marks.number()).unwrap();
    drop((mount, disk));

    let disk = Loop::own(&file);
    run("mount", &["-o", "ro", disk.path.to_str().unwrap(), folder.to_str().unwrap()]);
    let _mount = Mount(folder);
    let device = BlockDevice::open_in_use(&disk.path).unwrap();
    let slot = Slot::new(&device, PLACES.to_vec());
    assert_eq!(Saved::decode(&slot.read().unwrap()), Ok(saved.clone()));
    let not_given_up = take_up(&mut tracker, &saved.disks[0], || Err(std::io::ErrorKind::Other.into()));
    assert!(matches!(not_given_up, Err(Doubt::Io(_))) && tracker.disks().count() == 0);
    take_up(&mut tracker, &saved.disks[0], || slot.wipe()).unwrap();
    assert_eq!(Saved::decode(&slot.read().unwrap()), Err(FileError::Magic));
    let marks = tracker.disks().next().unwrap();
    assert!(saved.disks[0].marks.runs().all(|run| marks.has(run)));
    // What was wiped counts as written since the start.
    tracker.remove(marks.number()).unwrap();
    assert!(matches!(take_up(&mut tracker, &saved.disks[0], || Ok(())), Err(Doubt::Written)));
}
