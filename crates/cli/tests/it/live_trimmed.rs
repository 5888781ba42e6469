//! After a trim nearly all of a disk is marked: what nothing uses is not read for the next point, and what is written meanwhile is in it.

use std::fs;
use std::path::Path;

use crate::agent_excluded::Unfollow;
use crate::live::{BTRFS, EXT4, Following, Kind, XFS, command, restored};
use crate::server::Service;
use crate::tools::{Loop, Mount, Numbers, output, patiently, run, sparse, text};
use crate::world::World;

const FILE: usize = 4 << 20;
const DISK: u64 = 6 << 30;

fn write(folder: &Path, number: u64) {
    let path = folder.join(format!("file{number}"));
    fs::write(&path, Numbers(number).bytes(FILE)).unwrap();
}

/// Files there are, from the oldest on; each holds what was written to it, whole or, if it is newer than the point, in part.
fn hold(folder: &Path, whole: std::ops::Range<u64>) {
    for number in whole {
        let bytes = fs::read(folder.join(format!("file{number}"))).unwrap();
        assert!(bytes == Numbers(number).bytes(FILE), "file {number}");
    }
}

fn trimmed_while_written(kind: &Kind) {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, DISK);
    let device = Loop::new(&image, 512);
    run(kind.make[0], kind.make[1..].iter().copied().chain([device.path()]));
    let mount = Mount::new(&["-o", kind.mount], device.path(), &folder);
    (0..8).for_each(|number| write(&folder, number));
    let following = Following::new(&world, device.path());
    let args = ["protect", device.path(), "--machine", "m", "--every", "1s"];
    let mut running = world.start_as(command(&world, &args));
    let later = |points| {
        let before = world.points_or_none().len();
        assert!(patiently(|| world.points_or_none().len() >= before + points), "no points: {}", running.log());
        world.points_or_none().len()
    };
    let before = later(2);

    // What is deleted is free, and some of it used again, while the rest is trimmed.
    (0..4).for_each(|number| fs::remove_file(folder.join(format!("file{number}"))).unwrap());
    let trimmed = std::thread::scope(|scope| {
        let trim = scope.spawn(|| run("fstrim", ["-v", folder.to_str().unwrap()]));
        (8..24).for_each(|number| write(&folder, number));
        trim.join().unwrap()
    });
    let bytes = trimmed.split(['(', ' ']).filter_map(|word| word.parse::<u64>().ok()).max().unwrap();
    assert!(bytes > DISK / 2, "{trimmed}");
    later(2);
    (24..28).for_each(|number| write(&folder, number));
    run("sync", ["-f", folder.to_str().unwrap()]);
    later(2);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    drop((following, mount));
    assert_eq!(running.log().matches("compared").count(), 1, "{}", running.log());
    let told = world.json(&["points", "m"]);
    let told = told.as_array().unwrap();
    let read: u64 = told[before - 1..].iter().map(|point| point["read_bytes"].as_u64().unwrap()).sum();
    assert!(read < DISK / 6, "{read} bytes were read, but nearly nothing is used");
    for (_, time) in world.points().iter().skip(before - 1) {
        restored(&world, kind, time, |folder| hold(folder, 4..8));
    }
    let (_, newest) = world.points().last().unwrap().clone();
    restored(&world, kind, &newest, |folder| hold(folder, 4..28));
    world.assert_clean();
}

#[test]
fn ext4_is_trimmed_while_it_is_written() {
    trimmed_while_written(&EXT4);
}

#[test]
fn xfs_is_trimmed_while_it_is_written() {
    trimmed_while_written(&XFS);
}

#[test]
fn btrfs_is_trimmed_while_it_is_written() {
    trimmed_while_written(&BTRFS);
}

#[test]
fn an_agents_disk_is_trimmed() {
    let world = World::new();
    let service = Service::new(&world);
    let dir = service.enrolled("trim");
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, DISK);
    let device = Loop::new(&image, 512);
    run(EXT4.make[0], EXT4.make[1..].iter().copied().chain([device.path()]));
    let mount = Mount::new(&["-o", EXT4.mount], device.path(), &folder);
    (0..8).for_each(|number| write(&folder, number));
    let args = ["agent", device.path(), "--dir", text(&dir)];
    let unfollow = Unfollow(&world, args.map(str::to_owned));
    let mut command = command(&world, &[&args[..], &["--every", "1s"]].concat());
    command.env_remove("BACKSTAY_STORE").env_remove("BACKSTAY_PASSPHRASE_FILE");
    let mut running = world.start_as(command);
    let later = |running: &crate::world::Running| {
        let before = service.points("trim");
        assert!(patiently(|| service.points("trim") >= before + 2), "no points: {}", running.log());
        before
    };
    let before = later(&running);
    (0..4).for_each(|number| fs::remove_file(folder.join(format!("file{number}"))).unwrap());
    run("fstrim", [folder.to_str().unwrap()]);
    (8..12).for_each(|number| write(&folder, number));
    run("sync", ["-f", folder.to_str().unwrap()]);
    later(&running);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    drop((unfollow, mount));
    let told = service.store(&["points", "trim"]);
    let told = told.as_array().unwrap()[before..].iter().map(|point| point["read_bytes"].as_u64().unwrap());
    let read: u64 = told.sum();
    assert!(read < DISK / 6, "{read} bytes were read, but nearly nothing is used");
    let restored = service.restored("trim");
    assert!(output("e2fsck", ["-f", "-n", text(&restored)]).status.success());
    let again = Loop::new(&restored, 512);
    let _shown = Mount::new(&["-o", "ro"], again.path(), &folder);
    hold(&folder, 4..12);
}
