//! Each reason not to trust marks, made to happen; and what must not be taken for one.
//!
//! Never knows: what is done about it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use aya::maps::{Array, HashOfMaps, Map, MapData};
use backstay_capture::tracker::{Disk, Distrust, Stamp, Tracker};

use crate::world::{Loop, MIB, REMOVE, World, control, run};

/// Where things are in a disk's header, in bytes: what `layout.h` says, and `src/marks/layout.rs`.
const LOST_MISSES: usize = 10 * 8;
const FAULTS: usize = 248 * 8;
const HITS: usize = 256 * 8;

struct Tracked {
    // In this order on drop: the device is let go before the folder.
    tracker: Option<Tracker>,
    device: Loop,
    disk: Disk,
    stamp: Stamp,
    world: World,
}

impl Tracked {
    fn new() -> Tracked {
        let world = World::new();
        let device = world.disk("disk", 64 * MIB, &["--partscan"]);
        let mut tracker = world.tracker();
        let disk = tracker.add(&device.path).unwrap();
        let stamp = disk.stamp();
        let tracked = Tracked { tracker: Some(tracker), device, disk, stamp, world };
        assert_eq!(tracked.check(), Ok(()));
        tracked
    }

    fn check(&self) -> Result<(), Distrust> {
        self.tracker.as_ref().unwrap().check(self.disk.number(), &self.stamp).unwrap()
    }

    /// Changes words of the header behind the tracker's back.
    fn tamper(&self, words: &[(usize, u64)]) {
        let number = self.disk.number();
        let pin = self.world.pins.0.join(format!("live-{}-{}", number.major, number.minor));
        let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
        let mut map: Array<MapData, [u8; 4096]> = map.try_into().unwrap();
        let mut header = map.get(&0, 0).unwrap();
        for (at, value) in words {
            header[*at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        map.set(0, header, 0).unwrap();
    }
}

#[test]
fn another_boot_or_beginning() {
    let mut tracked = Tracked::new();
    tracked.stamp.boot[3] ^= 1;
    assert_eq!(tracked.check(), Err(Distrust::OtherBoot));
    tracked.stamp.boot[3] ^= 1;
    let number = tracked.disk.number();
    let tracker = tracked.tracker.as_mut().unwrap();
    tracker.remove(number).unwrap();
    let anew = tracker.add(&tracked.device.path).unwrap();
    assert_eq!(tracked.check(), Err(Distrust::OtherGeneration));
    tracked.stamp = anew.stamp();
    assert_eq!(tracked.check(), Ok(()));
}

#[test]
fn a_program_that_was_detached() {
    for program in ["complete_a", "complete_c", "issue"] {
        let tracked = Tracked::new();
        fs::remove_file(tracked.world.pins.0.join(format!("link-1-{program}"))).unwrap();
        assert_eq!(tracked.check(), Err(Distrust::ProgramGone(program)));
    }
}

#[test]
fn programs_that_were_detached_while_nobody_looked() {
    let mut tracked = Tracked::new();
    tracked.tracker = None;
    fs::remove_file(tracked.world.pins.0.join("link-1-complete_b")).unwrap();
    tracked.tracker = Some(tracked.world.tracker());
    assert_eq!(tracked.check(), Err(Distrust::ProgramsWereGone));
    // And it stays so for those who come later.
    tracked.tracker = None;
    tracked.tracker = Some(tracked.world.tracker());
    assert_eq!(tracked.check(), Err(Distrust::ProgramsWereGone));
}

#[test]
fn marks_that_were_taken_away() {
    let tracked = Tracked::new();
    let map = Map::from_map_data(MapData::from_pin(tracked.world.pins.0.join("disks")).unwrap()).unwrap();
    let mut map: HashOfMaps<MapData, u32, MapData> = map.try_into().unwrap();
    let number = tracked.disk.number();
    map.remove(&(number.major << 20 | number.minor)).unwrap();
    assert_eq!(tracked.check(), Err(Distrust::MarksGone));
}

/// The kernel's count cannot be raised from here; that from which it is counted can be lowered.
#[test]
fn events_that_every_copy_missed() {
    let tracked = Tracked::new();
    let one_less = u64::MAX;
    // Programs of set 1.
    let at = |copy: usize| (LOST_MISSES + (3 + copy) * 8, one_less);
    tracked.tamper(&[at(0), at(1)]);
    assert_eq!(tracked.check(), Ok(()), "the third missed nothing, so nothing was missed");
    tracked.tamper(&[at(2)]);
    assert_eq!(tracked.check(), Err(Distrust::Missed));
}

#[test]
fn what_could_not_be_marked() {
    let reasons =
        [Distrust::Overflow(3), Distrust::Outside(3), Distrust::PassThrough(3), Distrust::UnknownOperation(3)];
    for (at, reason) in reasons.into_iter().enumerate() {
        let tracked = Tracked::new();
        tracked.tamper(&[(FAULTS + at * 8, 3)]);
        assert_eq!(tracked.check(), Err(reason));
    }
}

#[test]
fn counts_that_cannot_be() {
    let tracked = Tracked::new();
    tracked.tamper(&[(HITS, 0), (HITS + 8, 64)]);
    assert_eq!(tracked.check(), Err(Distrust::NoneCompleted { sent: 64 }));
    tracked.tamper(&[(HITS, 1)]);
    assert_eq!(tracked.check(), Ok(()));
}

#[test]
fn a_disk_that_grew() {
    let tracked = Tracked::new();
    let file = OpenOptions::new().write(true).open(tracked.world.folder.path().join("disk")).unwrap();
    file.set_len(256 * MIB).unwrap();
    let name = tracked.device.path.to_str().unwrap();
    run("losetup", &["--set-capacity", name]);
    assert_eq!(tracked.check(), Err(Distrust::SizeChanged { was: 64 * MIB, is: 256 * MIB }));
    // And if that was not noticed: writes behind the last mark are.
    let device = OpenOptions::new().write(true).open(&tracked.device.path).unwrap();
    device.write_all_at(&[1; 4096], 200 * MIB).unwrap();
    device.sync_all().unwrap();
    assert!(matches!(tracked.check(), Err(Distrust::Outside(_))));
}

#[test]
fn another_disk_in_its_place() {
    let world = World::new();
    let files = ["one", "other"].map(|name| world.folder.path().join(name));
    files.iter().for_each(|file| fs::File::create(file).unwrap().set_len(64 * MIB).unwrap());
    let device = Loop::own(&files[0]);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    device.detach();
    device.attach(&files[1]);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Err(Distrust::OtherDisk));
}

#[test]
fn partitions_that_changed() {
    let tracked = Tracked::new();
    let name = tracked.device.path.to_str().unwrap();
    run("sgdisk", &["--new=1:2048:100000", name]);
    run("partx", &["--add", name]);
    assert_eq!(tracked.check(), Err(Distrust::PartitionsChanged));
    run("partx", &["--delete", name]);
    assert_eq!(tracked.check(), Ok(()), "as they were");
}

#[test]
fn a_disk_that_is_gone() {
    let world = World::new();
    let file = world.folder.path().join("disk");
    fs::File::create(&file).unwrap().set_len(64 * MIB).unwrap();
    let device = Loop::own(&file);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    device.detach();
    control(REMOVE, disk.number().minor);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Err(Distrust::DiskGone));
    tracker.remove(disk.number()).unwrap();
}
