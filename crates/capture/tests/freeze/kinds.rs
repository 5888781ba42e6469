//! Each kind of file system, and several at one instant, under writers.

use std::path::Path;
use std::time::Duration;

use backstay_capture::freeze::facts::{gather, superblock_of};
use backstay_capture::freeze::mounts::{FileSystem, Place, Plan, plan};
use backstay_capture::freeze::{group::Group, group::Limits, mountinfo::parse};
use backstay_capture::number::DeviceNumber;

use crate::world::{Disk, Writer, content, group, long, output, run, still, unmount, watchdog};

/// Nothing reaches the disk while it is frozen, the copy is a sound file system, and the writer goes on.
fn holds_still(kind: &str, judge: impl Fn(&Path)) {
    let disk = Disk::new(kind);
    let mut watchdog = watchdog();
    let group = group(&[&disk]);
    assert_eq!(group.members().iter().map(FileSystem::name).collect::<Vec<_>>(), [disk.point()]);
    let writer = Writer::start(&disk);
    let copy = disk.beside("copy");
    for _ in 0..3 {
        let ((counts, contents), held) = still(&group, &mut watchdog, || {
            let (count, before) = (writer.count(), content(&disk));
            run("cp", ["--sparse=always".as_ref(), disk.image().as_os_str(), copy.as_os_str()]);
            ([count, writer.count()], [before, content(&disk)])
        });
        assert_eq!((held.frozen, held.unfrozen), (1, vec![]));
        assert_eq!(contents[0], contents[1], "{kind} changed while it was frozen");
        // What was written before the freeze may be counted after.
        assert!(counts[1] <= counts[0] + 1, "{kind}: the writer was not held");
        writer.goes_on();
        assert_ne!(content(&disk), contents[0], "the writer writes to this disk");
        judge(&copy);
    }
}

#[test]
fn ext4_holds_still() {
    holds_still("ext4", |copy| {
        // Files that were open and unlinked are let go first.
        let code = output("e2fsck", ["-f".as_ref(), "-p".as_ref(), copy.as_os_str()]).status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        run("e2fsck", ["-f".as_ref(), "-n".as_ref(), copy.as_os_str()]);
    });
}

#[test]
fn xfs_holds_still() {
    holds_still("xfs", |copy| {
        // A frozen XFS has a log to replay; the original's UUID is mounted.
        let point = tempfile::tempdir().expect("a folder");
        let options = ["-o".as_ref(), "loop,nouuid".as_ref(), copy.as_os_str(), point.path().as_os_str()];
        run("mount", options);
        unmount(point.path());
        run("xfs_repair", ["-n".as_ref(), copy.as_os_str()]);
    });
}

#[test]
fn btrfs_holds_still() {
    holds_still("btrfs", |copy| {
        run("btrfs", ["check".as_ref(), "--readonly".as_ref(), copy.as_os_str()]);
    });
}

#[test]
fn several_at_one_instant() {
    let disks = [Disk::new("ext4"), Disk::new("xfs")];
    let writers = disks.each_ref().map(Writer::start);
    let mut watchdog = watchdog();
    let group = group(&[&disks[0], &disks[1]]);
    let look = || (disks.each_ref().map(content), writers.each_ref().map(Writer::count));
    for _ in 0..5 {
        let ((before, after), held) = still(&group, &mut watchdog, || {
            let before = look();
            std::thread::sleep(Duration::from_millis(50));
            (before, look())
        });
        assert_eq!(held.frozen, 2);
        assert_eq!(before.0, after.0);
        assert!(before.1.iter().zip(after.1).all(|(before, after)| after <= before + 1));
        writers.iter().for_each(Writer::goes_on);
    }
}

#[test]
fn a_btrfs_on_two_disks_is_found_on_both() {
    let (first, second) = (Disk::new("btrfs"), Disk::new("ext4"));
    unmount(&second.point());
    let point = first.point();
    run("btrfs", ["device".as_ref(), "add".as_ref(), "-f".as_ref(), second.node().as_os_str(), point.as_os_str()]);
    for disk in [&first, &second] {
        assert_eq!(group(&[disk]).members().iter().map(FileSystem::name).collect::<Vec<_>>(), [first.point()]);
    }
}

#[test]
fn a_file_system_without_freeze_is_reported() {
    let disk = Disk::new("ext4");
    // Kernels of the test machines have no vfat; one in memory has no freeze either.
    let point = disk.point().join("memory");
    std::fs::create_dir(&point).expect("a folder");
    run("mount", ["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), point.as_os_str()]);
    let mounts = parse(&std::fs::read("/proc/self/mountinfo").expect("mounts")).expect("mounts");
    let mount = mounts.into_iter().find(|mount| mount.point == point).expect("the mount");
    let place = Place { process: None, mount: mount.id, path: mount.point };
    let memory = FileSystem { device: mount.device, kind: mount.kind, read_only: false, places: vec![place] };

    let mut plan = plan(&gather().expect("facts"), &[disk.device()]);
    plan.file_systems.insert(0, memory);
    let group = Group::prepare(plan).expect("a group");
    let mut watchdog = watchdog();
    let held = group.freeze(&mut watchdog, long()).expect("freezes").thaw().expect("nobody else thawed");
    assert_eq!((held.frozen, held.unfrozen), (1, vec![0]));
    drop(group);
    unmount(&point);
}

#[test]
fn no_file_systems_no_trouble() {
    let mut watchdog = watchdog();
    let group = Group::prepare(Plan::default()).expect("a group");
    let held = group.freeze(&mut watchdog, Limits::default()).expect("freezes").thaw().expect("intact");
    assert_eq!(held.frozen, 0);
}

#[test]
fn limits_are_kept_small() {
    assert!(Limits::new(Duration::from_millis(5001), Duration::ZERO).is_none());
    assert!(Limits::new(Duration::ZERO, Duration::ZERO).is_none());
    assert!(Limits::new(Duration::from_secs(5), Duration::ZERO).is_some());
}

#[test]
fn where_a_path_lies() {
    let disk = Disk::new("ext4");
    let facts = gather().expect("facts");
    assert_eq!(superblock_of(&facts, &disk.point().join("lost+found")).expect("found"), disk.device());
    assert_ne!(superblock_of(&facts, &disk.image()).expect("found"), disk.device());
    assert!(superblock_of(&facts, Path::new("/does/not/exist")).is_err());
    assert_eq!(DeviceNumber::parse("x"), None);
}
