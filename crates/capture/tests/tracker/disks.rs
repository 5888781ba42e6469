//! Disks come and go, trackers are handed over, and nothing is left behind.
//!
//! Never knows: how marks are kept.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aya::programs::ProgramInfo;
use backstay_capture::tracker::{Distrust, Refusal, TrackError, Tracker};

use crate::world::{self, MIB, PAGE, World, clear, joined, pass, run};

const ANOTHER_BUILD: &[u8] = include_bytes!("../objects/issue_only.bpf.o");

/// Writes some pages past the page cache.
fn write(device: &Path, page: u64, count: u64) {
    let (seek, count) = (format!("seek={page}"), format!("count={count}"));
    let output = format!("of={}", device.display());
    run("dd", &["if=/dev/urandom", &output, "bs=4k", &seek, &count, "oflag=direct", "status=none"]);
}

/// What is pinned in a folder, but for what the kernel itself puts there.
fn pins(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.contains('.')).collect()
}

/// The numbers of all programs that the kernel has loaded.
fn loaded() -> Vec<u32> {
    aya::programs::loaded_programs().flatten().map(|program| program.id()).collect()
}

#[test]
fn each_disk_has_marks_of_its_own() {
    let world = World::new();
    let sizes = [3 * MIB + 512, 300 * MIB, 64 * MIB];
    let devices: Vec<_> = sizes.iter().map(|size| world.disk(&size.to_string(), *size, &[])).collect();
    let mut tracker = world.tracker();
    let disks: Vec<_> = devices[..2].iter().map(|device| tracker.add(&device.path).unwrap()).collect();
    assert_eq!(disks.iter().map(|disk| disk.pages()).collect::<Vec<_>>(), [769, 76800]);
    disks.iter().for_each(clear);
    for (at, device) in devices.iter().enumerate() {
        write(&device.path, 5 + at as u64, 2);
    }
    assert_eq!(joined(disks[0].live()), [5..7]);
    assert_eq!(joined(disks[1].live()), [6..8]);

    // While programs run: one goes, one comes.
    let third = tracker.add(&devices[2].path).unwrap();
    clear(&third);
    tracker.remove(disks[0].number()).unwrap();
    clear(&disks[0]);
    devices.iter().for_each(|device| write(&device.path, 100, 1));
    assert_eq!(joined(third.live()), [100..101]);
    assert_eq!(joined(disks[1].live()), [6..8, 100..101]);
    assert_eq!(disks[0].count(), 0);
    let gone = disks[0].number();
    assert_eq!(tracker.check(gone, &disks[0].stamp()).unwrap(), Err(Distrust::NotTracked(gone)));
    assert_eq!(tracker.check(third.number(), &third.stamp()).unwrap(), Ok(()));
}

#[test]
fn marking_goes_on_without_a_process() {
    let world = World::new();
    let device = world.disk("disk", 300 * MIB, &[]);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    let (number, stamp) = (disk.number(), disk.stamp());
    clear(&disk);
    write(&device.path, 1, 1);
    // Taken, and not committed.
    assert_eq!(joined(disk.collect(pass(7)).unwrap()), [1..2]);
    drop((disk, tracker));
    write(&device.path, 70_000, 3);

    let tracker = world.tracker();
    let disk = tracker.disk(number).unwrap();
    assert_eq!(disk.stamp(), stamp);
    assert_eq!(joined(disk.live()), [70_000..70_003]);
    assert_eq!(disk.uncommitted(), [pass(7)]);
    assert_eq!(joined(disk.pending(pass(7)).unwrap()), [1..2]);
    disk.merge_back(pass(7)).unwrap();
    assert_eq!(joined(disk.live()), [1..2, 70_000..70_003]);
    assert_eq!(tracker.check(number, &stamp).unwrap(), Ok(()));

    assert_eq!(joined(disk.collect(pass(8)).unwrap()), [1..2, 70_000..70_003]);
    disk.committed(pass(8)).unwrap();
    drop(tracker);
    let tracker = world.tracker();
    let disk = tracker.disk(number).unwrap();
    assert_eq!((disk.count(), disk.uncommitted().len()), (0, 0));
}

#[test]
fn other_programs_take_over_without_a_gap() {
    let world = World::new();
    let device = world.disk("disk", 300 * MIB, &[]);
    let mut tracker = world::open(&world.pins.0, |pins| Tracker::open_with(pins, ANOTHER_BUILD));
    let disk = tracker.add(&device.path).unwrap();
    let (number, stamp) = (disk.number(), disk.stamp());
    clear(&disk);
    drop((disk, tracker));
    let writer = format!("--filename={}", device.path.display());
    let more = ["--name=writer", "--rw=write", "--bs=4k", "--direct=1", "--size=200m", "--rate_iops=20000"];
    std::thread::scope(|scope| {
        scope.spawn(|| run("fio", &[&more[..], &[&writer]].concat()));
        for object in [None, Some(ANOTHER_BUILD), None] {
            let how = |pins: &Path| match object {
                None => Tracker::open(pins),
                Some(object) => Tracker::open_with(pins, object),
            };
            let tracker = world::open(&world.pins.0, how);
            assert_eq!(tracker.check(number, &stamp).unwrap(), Ok(()));
        }
    });
    let tracker = world.tracker();
    assert_eq!(joined(tracker.disk(number).unwrap().live()), [0..200 * MIB / PAGE]);
    // A link and a program each, the map of disks, the state, and the marks.
    assert_eq!(pins(&world.pins.0).len(), 4 + 4 + 3, "{:?}", pins(&world.pins.0));
}

#[test]
fn a_folder_belongs_to_one_process() {
    let world = World::new();
    let tracker = world.tracker();
    assert!(matches!(Tracker::open(&world.pins.0), Err(TrackError::InUse(path)) if path == world.pins.0));
    drop(tracker);
    world.tracker();
}

#[test]
fn what_cannot_be_vouched_for_is_refused() {
    let world = World::new();
    let device = world.disk("disk", 64 * MIB, &["--partscan"]);
    let name = device.path.to_str().unwrap();
    run("sgdisk", &["--new=1:2048:100000", name]);
    run("partx", &["--add", name]);
    let mut tracker = world.tracker();
    let mut refusal = |path: &Path| match tracker.add(path) {
        Err(TrackError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let part = format!("{name}p1");
    assert!(matches!(refusal(Path::new(&part)), Refusal::Partition { disk, .. } if name.ends_with(&disk)));
    assert!(matches!(refusal(&world.folder.path().join("disk")), Refusal::NotADisk(_)));
    assert!(matches!(refusal(Path::new("/dev/zram0")), Refusal::WithoutRequests { name } if name == "zram0"));
    assert!(tracker.add(&device.path).is_ok());
    let again = tracker.add(&device.path);
    assert!(matches!(again, Err(TrackError::Refused(Refusal::Tracked(_)))), "{again:?}");
}

#[test]
fn nothing_is_left_after_detaching() {
    let world = World::new();
    let device = world.disk("disk", 64 * MIB, &[]);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    disk.prepare(pass(1)).unwrap();
    let ours = pins(&world.pins.0).into_iter().filter(|name| name.starts_with("program-"));
    let ours: Vec<u32> = ours.map(|name| ProgramInfo::from_pin(world.pins.0.join(name)).unwrap().id()).collect();
    assert!(ours.len() == 4 && ours.iter().all(|id| loaded().contains(id)));
    drop(disk);
    tracker.detach().unwrap();
    assert!(!world.pins.0.exists());
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(world.pins.0.to_str().unwrap()));
    // The kernel frees them when nobody can be running them any more.
    let gone = || !loaded().iter().any(|id| ours.contains(id));
    for _ in 0..1000 {
        if gone() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gone());

    // Where systems keep pins, the mount stays and the folder goes.
    let usual = Path::new("/sys/fs/bpf").join(format!("backstay-test-{}", std::process::id()));
    let pins = world::Pins(usual.clone());
    let mut tracker = Tracker::open(&pins.0).unwrap();
    tracker.add(&device.path).unwrap();
    tracker.detach().unwrap();
    assert!(!usual.exists());
}
