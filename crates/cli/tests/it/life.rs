//! From the first store to a disk brought back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

/// A GPT disk with ext4, swap and NTFS, for sectors of this size. Its partitions' offsets and sizes.
fn partitioned(world: &World, disk: &Path, sector: u32) -> Vec<(u64, u64)> {
    sparse(disk, 48 * MIB);
    let parts = vec![(MIB, 20 * MIB), (21 * MIB, 8 * MIB), (29 * MIB, 12 * MIB)];
    let types = ["linux", "swap", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"];
    let unit = u64::from(sector);
    let line = |((start, len), kind): (&(u64, u64), &str)| {
        format!("start={}, size={}, type={kind}\n", start / unit, len / unit)
    };
    let table: String = parts.iter().zip(types).map(line).collect();
    let device = Loop::new(disk, sector);
    run_with_input(
        "sfdisk",
        ["--no-reread", "--no-tell-kernel", "--quiet", device.path()],
        &format!("label: gpt\n{table}"),
    );
    drop(device);
    let part = world.path("part.img");
    let numbers = &mut Numbers(7);
    for ((start, len), maker) in parts.iter().zip(["ext4", "swap", "ntfs"]) {
        sparse(&part, *len);
        match maker {
            "ext4" => {
                let tree = world.path("tree");
                fs::create_dir_all(tree.join("etc")).unwrap();
                fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
                fs::write(tree.join("noise"), numbers.bytes(3 << 20)).unwrap();
                run("mkfs.ext4", ["-q", "-b", "4096", "-d", text(&tree), text(&part)]);
            }
            "swap" => drop(run("mkswap", [text(&part)])),
            _ => drop(run("mkntfs", ["-Q", "-F", "-q", "-s", &sector.to_string(), text(&part)])),
        }
        implant(&part, disk, *start);
    }
    fs::remove_file(part).unwrap();
    parts
}

#[test]
fn an_image_through_its_whole_life() {
    let world = World::without_store();
    let (image, first, out) = (world.path("web.img"), world.path("first"), world.path("out.img"));
    noisy_image(&image, 33 * MIB + 700, 1);
    copy(&image, &first);

    let made = world.json(&["init", text(&world.store)]);
    assert_eq!(made["vault"], "main");
    assert_eq!(world.json(&["machines"]).as_array().unwrap().len(), 0);
    assert!(world.ok(&["machines"]).contains("backstay protect"));

    assert_eq!(world.protect(text(&image)), 1);
    let whole = world.packed();
    poke(&image, 5 * MIB + 123, b"a small change");
    poke(&image, 33 * MIB + 690, b"at the end");
    std::thread::sleep(Duration::from_secs(3)); // so that a moment between the two can be named
    let said = world.run(&["protect", text(&image), "--machine", "m", "--once", "--note", "after work"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.out.starts_with("m: point 2 of "), "{said:?}");
    assert!(world.packed() - whole < 64 << 10, "a small change stored {} bytes", world.packed() - whole);

    let machines = world.json(&["machines"]);
    assert_eq!((&machines[0]["machine"], &machines[0]["points"]), (&"m".into(), &2.into()));
    assert_eq!(machines[0]["disk_bytes"], 33 * MIB + 700);
    assert!(world.ok(&["machines"]).lines().nth(1).unwrap().starts_with("m "));
    let points = world.json(&["points", "m"]);
    assert_eq!(points[1]["note"], "after work");
    assert_eq!(points[1]["disks"][0]["disk"], "web");
    assert!(points[1]["stored_bytes"].as_u64().unwrap() < 64 << 10);
    assert!(world.ok(&["points", "m"]).contains("after work"));
    let shown = world.json(&["show", "m:web", "--at", "latest"]);
    assert_eq!((&shown["machine"], &shown["point"]), (&"m".into(), &2.into()));
    assert!(world.ok(&["show", "m"]).contains("33.0 MiB"));

    // To a new file, to one that is there, and back in time in place.
    world.ok(&["restore", "m", "--to", text(&out), "--verify"]);
    assert_same(&out, &image);
    fs::write(&out, "something else").unwrap();
    world.ok(&["restore", "m:web", "--to", text(&out), "--yes"]);
    assert_same(&out, &image);
    let (_, time) = world.points()[0].clone();
    let done = world.json(&["restore", "m", "--at", &time, "--to", text(&out), "--delta", "--yes", "--verify"]);
    assert_same(&out, &first);
    assert!(done["written_bytes"].as_u64().unwrap() <= 2 * 4096, "{done}");
    assert_eq!(done["complete"], true);

    // A moment between the two points, as people say it.
    let first_time: jiff::Timestamp = time.parse().unwrap();
    let ago = jiff::Timestamp::now().as_millisecond() - first_time.as_millisecond() - 1000;
    let said = world.run(&["restore", "m", "--at", &format!("{ago}ms ago"), "--to", "ago.img"]);
    assert!(said.status == Some(0) && said.err.contains("(point 1)"), "{said:?}");
    assert_same(&world.path("ago.img"), &first);
    world.assert_clean();
}

fn a_disk_with_sectors_of(sector: u32) {
    let world = World::new();
    let disk = world.path("disk.img");
    let parts = partitioned(&world, &disk, sector);
    let device = Loop::new(&disk, sector);
    assert_eq!(world.protect(device.path()), 1);

    let shown = world.json(&["show", "m"]);
    let found = shown["contents"][0]["parts"].as_array().unwrap();
    let kind = |n: u64| found.iter().find(|p| p["partition"] == n).map(|p| p["kind"].as_str().unwrap().to_owned());
    assert_eq!([kind(1), kind(2), kind(3)].map(Option::unwrap), ["ext4", "swap", "ntfs"], "{shown}");
    assert_eq!(shown["disks"][0]["sector_bytes"], sector);

    // Onto another device of that kind: what no file system uses may differ, so partitions are judged by their tools.
    let target = world.path("target.img");
    fs::write(&target, Numbers(3).bytes(48 << 20)).unwrap();
    let to = Loop::new(&target, sector);
    world.ok(&["restore", "m", "--to", to.path(), "--yes", "--verify"]);
    let table = |device: &Loop| run("sfdisk", ["--dump", device.path()]).replace(device.path(), "");
    assert_eq!(table(&to), table(&device));

    let part = world.path("part.img");
    world.ok(&["restore", "m:*:p1".replace('*', name_of(&device)).as_str(), "--to", text(&part)]);
    run("e2fsck", ["-f", "-n", text(&part)]);
    assert_eq!(fs::metadata(&part).unwrap().len(), parts[0].1);
    world.ok(&["restore", &format!("m:{}:3", name_of(&device)), "--to", text(&part), "--yes"]);
    run("ntfsinfo", ["-m", "-f", text(&part)]);

    // A change on the device, undone in place.
    poke(Path::new(device.path()), parts[0].0 + 8 * 4096, &[7; 4096]);
    run("sync", ["--file-system", device.path()]);
    assert_eq!(world.protect(device.path()), 2);
    let (_, time) = world.points()[0].clone();
    let done = world.json(&["restore", "m", "--at", &time, "--to", to.path(), "--delta", "--yes"]);
    assert_eq!(done["written_bytes"], 0, "the target holds the first point already: {done}");
    let done = world.json(&["restore", "m", "--to", to.path(), "--delta", "--yes"]);
    assert!((1..=2 * 4096).contains(&done["written_bytes"].as_u64().unwrap()), "{done}");
    world.assert_clean();
}

/// The name that a device's disk has.
fn name_of(device: &Loop) -> &str {
    device.path().rsplit('/').next().unwrap()
}

#[test]
fn a_disk_with_sectors_of_512_bytes() {
    a_disk_with_sectors_of(512);
}

#[test]
fn a_disk_with_sectors_of_4096_bytes() {
    a_disk_with_sectors_of(4096);
}

#[test]
fn every_block_is_captured_when_asked() {
    let world = World::new();
    let image = world.path("disk.img");
    partitioned(&world, &image, 512);
    // Free space that holds something.
    let scribble = Numbers(9).bytes(MIB as usize);
    poke(&image, 15 * MIB, &scribble);
    world.ok(&["protect", text(&image), "--machine", "m", "--once", "--all-blocks"]);
    world.assert_restores("latest", &image);
}
