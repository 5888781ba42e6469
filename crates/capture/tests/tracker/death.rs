//! A process is killed again and again while it follows a disk. Whoever comes after it misses nothing.
//!
//! Never knows: how marks are kept.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backstay_capture::tracker::{Disk, Tracker};
use backstay_env::real::disk::{AlignedBuf, BlockDevice};
use backstay_env::volume::Volume;

use crate::world::{self, Killed, MIB, PAGE, World, pass, run, whole};

const SIZE: u64 = 256 * MIB;
/// Tells the child where pins, device and copy are.
const TOLD: [&str; 3] = ["BACKSTAY_TEST_PINS", "BACKSTAY_TEST_DEVICE", "BACKSTAY_TEST_COPY"];

/// Brings a copy in a file up to date, and commits the pass.
fn follow(disk: &Disk, device: &BlockDevice, copy: &File, number: u64) {
    let mut buffer = AlignedBuf::new((128 * MIB) as usize);
    for run in disk.collect(pass(number)).unwrap() {
        let bytes = &mut buffer[..((run.end - run.start) * PAGE) as usize];
        device.read_at(run.start * PAGE, bytes).unwrap();
        copy.write_all_at(bytes, run.start * PAGE).unwrap();
    }
    disk.committed(pass(number)).unwrap();
}

/// What the one before took and did not commit is taken again.
fn take_over(tracker: &Tracker) -> &Disk {
    let disk = tracker.disks().next().unwrap();
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
    disk.uncommitted().into_iter().for_each(|pass| disk.merge_back(pass).unwrap());
    disk
}

#[test]
#[ignore = "the other process of the next test"]
fn follows_until_it_is_killed() {
    let [pins, device, copy] = TOLD.map(|name| std::env::var_os(name).unwrap());
    let tracker = world::open(Path::new(&pins), Tracker::open);
    let disk = take_over(&tracker);
    let device = BlockDevice::open(PathBuf::from(device)).unwrap();
    let copy = OpenOptions::new().write(true).open(copy).unwrap();
    for number in 1.. {
        follow(disk, &device, &copy, number);
    }
}

#[test]
fn nothing_is_missed_when_it_is_killed() {
    let world = World::new();
    let device = world.disk("disk", SIZE, &["--direct-io=on"]);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    let (number, stamp) = (disk.number(), disk.stamp());
    let copy_path = world.folder.path().join("copy");
    std::fs::write(&copy_path, whole(&device.path)).unwrap();
    drop((disk, tracker));

    let name = format!("--filename={}", device.path.display());
    let mix =
        ["--thread", "--name=writer", "--rw=randwrite", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=8"];
    let mut writer = Command::new("fio");
    writer.args(mix).args([&name, "--time_based", "--runtime=60", "--norandommap"]).stdout(Stdio::null());
    let writer = Killed(writer.spawn().unwrap());
    for life in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "--ignored", "death::follows_until_it_is_killed"]).stdout(Stdio::null());
        for (name, value) in TOLD.iter().zip([&world.pins.0, &device.path, &copy_path]) {
            child.env(name, value);
        }
        let mut child = Killed(child.spawn().unwrap());
        std::thread::sleep(Duration::from_millis(400 + life * 67));
        assert_eq!(child.0.try_wait().unwrap(), None, "it goes on until it is killed");
    }
    drop(writer);
    run("sync", &[]);

    let tracker = world.tracker();
    let disk = take_over(&tracker);
    let copy = OpenOptions::new().read(true).write(true).open(&copy_path).unwrap();
    follow(disk, &BlockDevice::open(&device.path).unwrap(), &copy, 1);
    let (is, copied) = (whole(&device.path), std::fs::read(&copy_path).unwrap());
    let pages = is.chunks(PAGE as usize).zip(copied.chunks(PAGE as usize));
    assert_eq!(pages.filter(|(is, copied)| is != copied).count(), 0);
    assert_eq!(tracker.check(number, &stamp).unwrap(), Ok(()));
}
