//! `--exclude` of disks that are in use: what is left out follows files as they move, and nothing else is ever left out.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::live::{BTRFS, EXT4, Following, Kind, StopOnDrop, XFS, command, restored};
use crate::tools::{Loop, Mount, Numbers, patiently, run, sparse, text};
use crate::world::{Running, World};

const FILES: u64 = 12;

/// Waits for a point of all that was written before.
fn wait_for_a_later_point(world: &World, running: &Running) {
    let before = world.points_or_none().len();
    assert!(patiently(|| world.points_or_none().len() >= before + 2), "no points: {}", running.log());
}

fn write(path: &Path, content: &[u8]) {
    let mut file = fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
}

/// What a file holds, in one of its lives; the first bytes say in which.
fn content(file: u64, life: u64) -> Vec<u8> {
    let len = 200_000 + file as usize * 7000;
    [&life.to_le_bytes()[..], &Numbers(file * 1000 + life).bytes(len)].concat()
}

/// Moves files in and out of the folder that is left out; there most are rewritten in place, or made anew.
fn move_about(folder: &Path, stop: &AtomicBool) {
    let mut numbers = Numbers(9);
    let path = |place: &str, file: u64| folder.join(place).join(format!("file{file}"));
    for life in 1.. {
        let file = numbers.below(FILES);
        let (kept, cached) = (path("kept", file), path("cache", file));
        if kept.exists() {
            fs::rename(&kept, &cached).unwrap();
        } else {
            let fate = numbers.below(4);
            match fate {
                0 => fs::remove_file(&cached).unwrap(),
                1 => drop(fs::write(folder.join(format!("kept/other{}", life % 5)), vec![7; 90_000])),
                _ => {}
            }
            if fate < 3 {
                write(&cached, &content(file, life));
            }
            fs::rename(&cached, &kept).unwrap();
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
}

/// Each file that is kept holds what it held in one of its lives, whole.
fn all_kept_are_whole(folder: &Path) {
    for file in 0..FILES {
        let bytes = match fs::read(folder.join(format!("kept/file{file}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            bytes => bytes.unwrap(),
        };
        let life = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(bytes == content(file, life), "file {file} of life {life}");
    }
}

fn files_that_move_are_kept_or_left_out(kind: &Kind) {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 1 << 30);
    let device = Loop::new(&image, 512);
    run(kind.make[0], kind.make[1..].iter().copied().chain([device.path()]));
    let mount = Mount::new(&["-o", kind.mount], device.path(), &folder);
    ["kept", "cache"].iter().for_each(|place| fs::create_dir(folder.join(place)).unwrap());
    (0..FILES).for_each(|file| write(&folder.join(format!("kept/file{file}")), &content(file, 0)));
    let following = Following::new(&world, device.path());
    let args = ["protect", device.path(), "--machine", "m", "--every", "1s", "--exclude", "/cache"];
    let mut running = world.start_as(command(&world, &args));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = StopOnDrop(&stop);
        scope.spawn(|| move_about(&folder, stop.0));
        for _ in 0..4 {
            wait_for_a_later_point(&world, &running);
        }
        running.signal("KILL");
        running.end();
        running = world.start_as(command(&world, &args));
        wait_for_a_later_point(&world, &running);
    });
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(!running.log().contains("compared"), "after a kill nothing is compared: {}", running.log());
    drop((following, mount));
    let told = world.json(&["points", "m"]);
    let left_out = told.as_array().unwrap().iter().any(|p| p["disks"][0]["excluded_pages"].as_u64() > Some(0));
    assert!(left_out, "nothing was ever left out: {}", running.log());
    let points = world.points();
    for (_, time) in points.iter().step_by(2) {
        restored(&world, kind, time, all_kept_are_whole);
    }
    world.assert_clean();
}

#[test]
fn files_of_ext4_move() {
    files_that_move_are_kept_or_left_out(&EXT4);
}

#[test]
fn files_of_xfs_move() {
    files_that_move_are_kept_or_left_out(&XFS);
}

#[test]
fn files_of_btrfs_move() {
    files_that_move_are_kept_or_left_out(&BTRFS);
}

#[test]
fn what_is_left_out_is_told_and_not_sent() {
    const BIG: usize = 8 << 20;
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 512 << 20);
    let device = Loop::new(&image, 512);
    run("mkfs.ext4", ["-q", device.path()]);
    let mount = Mount::new(&["-o", "rw"], device.path(), &folder);
    fs::create_dir(folder.join("cache")).unwrap();
    write(&folder.join("cache/big"), &Numbers(1).bytes(BIG));
    write(&folder.join("cd.iso"), &Numbers(2).bytes(BIG));
    write(&folder.join("kept"), &Numbers(3).bytes(BIG / 8));
    let following = Following::new(&world, device.path());
    let rules = ["--exclude", "/cache", "--exclude", "*.iso", "--exclude", "/nothing"];
    let args = ["protect", device.path(), "--machine", "m", "--every", "1s"];
    let mut running = world.start_as(command(&world, &[&args[..], &rules].concat()));
    wait_for_a_later_point(&world, &running);
    let newest = || world.json(&["show", "m"]);
    let disk = newest()["disks"][0].clone();
    assert_eq!(disk["excluded_pages"], 2 * BIG / 4096, "{disk}");
    assert_eq!(disk["excluded"][0]["rule"], "/cache");
    assert!(world.packed() < BIG as u64, "what is left out was stored");
    running.wait_for("--exclude /nothing names no file now");
    let get = |path: &str| world.run(&["files", "get", "m", path, "--to", text(&world.path("got"))]).status;
    assert_ne!(get("/cache/big"), Some(0));

    // It changes, and nothing of it is sent.
    let before = world.packed();
    write(&folder.join("cache/big"), &Numbers(4).bytes(BIG));
    wait_for_a_later_point(&world, &running);
    assert!(world.packed() - before < BIG as u64 / 4);
    // It moves out, and is read though it does not change. Something else moves in.
    fs::rename(folder.join("cache/big"), folder.join("big")).unwrap();
    fs::rename(folder.join("kept"), folder.join("kept.iso")).unwrap();
    wait_for_a_later_point(&world, &running);
    assert_eq!(newest()["disks"][0]["excluded_pages"], (BIG + BIG / 8) / 4096);
    assert_eq!(get("/big"), Some(0));
    assert!(fs::read(world.path("got")).unwrap() == Numbers(4).bytes(BIG));
    assert_ne!(get("/kept.iso"), Some(0));
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());

    // Without the choices everything is kept again.
    let mut running = world.start_as(command(&world, &args));
    wait_for_a_later_point(&world, &running);
    let disk = newest()["disks"][0].clone();
    assert!(disk["excluded_pages"] == 0 && disk["excluded"].as_array().unwrap().is_empty(), "{disk}");
    fs::remove_file(world.path("got")).unwrap();
    assert_eq!(get("/cd.iso"), Some(0));
    assert!(fs::read(world.path("got")).unwrap() == Numbers(2).bytes(BIG));
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    drop((following, mount));
}
