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

#[test]
fn what_is_discarded_and_zeroed() {
    let world = World::new();
    let (device, tracker, disk) = tracked(&world, &[]);
    let name = device.path.to_str().unwrap();
    let ways: [(&str, &[&str]); 5] = [
        ("blkdiscard", &["--offset", "8192", "--length", "100663296"]),
        ("blkdiscard", &["--zeroout", "--offset", "8192", "--length", "100663296"]),
        ("fallocate", &["--zero-range", "--keep-size", "--offset", "8192", "--length", "100663296"]),
        ("fallocate", &["--punch-hole", "--keep-size", "--offset", "8192", "--length", "100663296"]),
        ("dd", &["if=/dev/zero", "bs=1M", "count=96", "seek=8192", "oflag=direct,seek_bytes", "status=none"]),
    ];
    for (program, arguments) in ways {
        clear(&disk);
        let device = if program == "dd" { format!("of={name}") } else { name.to_owned() };
        run(program, &[arguments, &[&device]].concat());
        assert_eq!(marked(&disk), [2..2 + 96 * MIB / PAGE], "{program} {arguments:?}");
    }
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
}

/// More than one request can say, and more words than a loop without a bound may have.
#[test]
fn ranges_of_gigabytes() {
    let world = World::new();
    let device = world.disk("disk", 9 << 30, &[]);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    let length = (8u64 << 30) + 512;
    run("blkdiscard", &["--offset", "512", "--length", &length.to_string(), device.path.to_str().unwrap()]);
    assert_eq!(marked(&disk), [0..(length + 512).div_ceil(PAGE)]);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
}

#[test]
fn sectors_of_every_size() {
    for sector in ["512", "4096"] {
        let world = World::new();
        let (device, _tracker, disk) = tracked(&world, &["--sector-size", sector, "--direct-io=on"]);
        let bytes: u64 = sector.parse().unwrap();
        for (at, count) in [(16 * PAGE, 1), (20 * PAGE + PAGE - bytes, 2), (64 * PAGE - bytes, 1)] {
            clear(&disk);
            let (bs, seek, count_) = (format!("bs={sector}"), format!("seek={at}"), format!("count={count}"));
            let output = format!("of={}", device.path.display());
            let flags = "oflag=direct,seek_bytes";
            run("dd", &["if=/dev/urandom", &output, &bs, &seek, &count_, flags, "status=none"]);
            assert_eq!(marked(&disk), [at / PAGE..(at + count * bytes).div_ceil(PAGE)], "{sector} {at}");
        }
    }
}

#[test]
fn through_a_partition() {
    let world = World::new();
    let device = world.disk("disk", 512 * MIB, &["--partscan"]);
    let name = device.path.to_str().unwrap();
    run("sgdisk", &["--new=1:4096:200000", "--new=2:301056:1000000", name]);
    run("partx", &["--add", name]);
    let mut tracker = world.tracker();
    let disk = tracker.add(&device.path).unwrap();
    let second = format!("{name}p2");
    fio(Path::new(&second), 5 * PAGE, 8 * PAGE, &["--ioengine=psync", "--direct=1", "--bs=4k"]);
    let first = 301_056 * 512 / PAGE + 5;
    assert_eq!(marked(&disk), [first..first + 8]);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
}

/// Many processes that live for one write each, and writes that are merged and split on their way.
#[test]
fn short_writers_and_odd_sizes() {
    let world = World::new();
    let (device, tracker, disk) = tracked(&world, &["--direct-io=on"]);
    let name = device.path.to_str().unwrap();
    let each = "for i in $(seq 0 99); do dd if=/dev/urandom of=$0 bs=4k count=1 seek=$((i * 3)) conv=notrunc \
                oflag=direct status=none & done; wait";
    run("sh", &["-c", each, name]);
    assert_eq!(marked(&disk), (0..100).map(|at| at * 3..at * 3 + 1).collect::<Vec<_>>());
    clear(&disk);
    let mut copy = Copy::of(&device.path);
    let mix = ["--name=odd", "--rw=randwrite", "--bsrange=512-4m", "--ioengine=io_uring", "--iodepth=64", "--direct=1"];
    let (file, rest) = (format!("--filename={name}"), ["--size=200m", "--bs_unaligned=0", "--randrepeat=0"]);
    run("fio", &[&mix[..], &[&file], &rest].concat());
    copy.follow(&disk, pass(1));
    assert_eq!(copy.stale(&device.path), [0; 0]);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
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
    assert_eq!(copy.stale(&device.path), [0; 0]);
    assert_eq!(tracker.check(disk.number(), &disk.stamp()).unwrap(), Ok(()));
}
