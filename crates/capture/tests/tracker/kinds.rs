//! Every kind of write marks the pages it changes, and no others.
//!
//! Never knows: the programs.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use backstay_capture::tracker::{Disk, Tracker};

use crate::world::{Copy, MIB, Mount, PAGE, World, clear, joined, pass, run};

/// A tracked disk of 512 MiB without marks.
fn tracked(world: &World, options: &[&str]) -> (crate::world::Loop, Tracker, Disk) {
    let device = world.disk("disk", 512 * MIB, options);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    clear(&disk);
    (device, tracker, disk)
}

fn marked(disk: &Disk) -> Vec<std::ops::Range<u64>> {
    joined(disk.live())
}

/// fio writes `size` bytes from `offset` of the device.
fn fio(device: &Path, offset: u64, size: u64, more: &[&str]) {
    let (name, at, size) =
        (format!("--filename={}", device.display()), format!("--offset={offset}"), format!("--size={size}"));
    let mut arguments = vec!["--name=writer", "--rw=write", &name, &at, &size];
    arguments.extend(more);
    run("fio", &arguments);
}

#[test]
fn buffered_writes() {
    let world = World::new();
    let (device, _tracker, disk) = tracked(&world, &[]);
    let mut file = OpenOptions::new().write(true).open(&device.path).unwrap();
    file.seek(SeekFrom::Start(10 * PAGE + 17)).unwrap();
    file.write_all(&[7; 5000]).unwrap();
    file.sync_all().unwrap();
    assert_eq!(marked(&disk), [10..12]);
}

#[test]
fn through_every_engine() {
    let world = World::new();
    let (device, tracker, disk) = tracked(&world, &[]);
    let engines: [&[&str]; 5] = [
        &["--ioengine=psync", "--direct=1", "--bs=64k"],
        &["--ioengine=io_uring", "--direct=1", "--bs=4k", "--iodepth=32"],
        &["--ioengine=libaio", "--direct=1", "--bs=128k", "--iodepth=8"],
        &["--ioengine=psync", "--sync=1", "--bs=4k"],
        &["--ioengine=pvsync2", "--bs=12k", "--fdatasync=1"],
    ];
    for (at, engine) in engines.iter().enumerate() {
        clear(&disk);
        // Across the end of a value of the map, which is at 128 MiB.
        let start = 128 * MIB - MIB / 2 + at as u64 * 3 * PAGE;
        fio(&device.path, start, 3 * MIB / 2, engine);
        let end = start + 3 * MIB / 2;
        assert_eq!(marked(&disk), [start / PAGE..end / PAGE], "{engine:?}");
    }
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
}

#[test]
fn memory_that_is_mapped() {
    let world = World::new();
    let (device, _tracker, disk) = tracked(&world, &[]);
    let script = "import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 1 << 20, offset=200 << 20)
memory[5 * 4096 + 1] = 1
memory[9 * 4096:11 * 4096] = bytes([2]) * 8192
memory.flush()
";
    run("python3", &["-c", script, device.path.to_str().unwrap()]);
    let first = 200 * MIB / PAGE;
    assert_eq!(marked(&disk), [first + 5..first + 6, first + 9..first + 11]);
}

/// Pages of a copy that are not as on the disk, after a file system was used through a mount and came to rest.
#[test]
fn a_copy_follows_a_file_system() {
    let world = World::new();
    let (device, tracker, disk) = tracked(&world, &[]);
    let mut copy = Copy::of(&device.path);
    run("mkfs.ext4", &["-q", device.path.to_str().unwrap()]);
    copy.follow(&disk, pass(1));
    let mount = Mount::of(&device.path, &world.folder.path().join("mount"));
    for round in 2..5 {
        let folder = format!("--directory={}", mount.0.display());
        let mix = ["--name=mix", "--rw=randrw", "--bs=4k-256k", "--size=40m", "--numjobs=3", "--runtime=2"];
        run("fio", &[&mix[..], &[&folder, "--fsync=32", "--fallocate=posix", "--time_based"]].concat());
        copy.follow(&disk, pass(round));
    }
    drop(mount);
    assert!(copy.follow(&disk, pass(5)) > 0);
    assert_eq!(copy.stale(&device.path), []);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
}
