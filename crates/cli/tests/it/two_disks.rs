//! Two disks of one machine that are followed together: one with partitions, swap among them, one without.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::live::{Following, command};
use crate::tools::{Loop, Mount, Numbers, assert_same, copy, patiently, poke, run, run_with_input, sparse, text};
use crate::world::{Running, World};

const MIB: u64 = 1 << 20;
/// Where partitions begin and end, in MiB.
const PARTITIONS: [(u64, u64); 3] = [(1, 301), (301, 401), (401, 511)];

/// A disk with three partitions.
fn partitioned(image: &Path) {
    sparse(image, 512 * MIB);
    let lines = PARTITIONS.map(|(start, end)| format!("start={}MiB, size={}MiB\n", start, end - start));
    run_with_input("sfdisk", ["--quiet", text(image)], &format!("label: gpt\n{}", lines.concat()));
}

/// Writes a file, durably.
fn write(folder: &Path, name: &str, seed: u64) {
    let mut file = fs::File::create(folder.join(name)).unwrap();
    file.write_all(&Numbers(seed).bytes(2 << 20)).unwrap();
    file.sync_all().unwrap();
}

/// Waits for a point of everything that was written before.
fn wait_for_a_later_point(world: &World, running: &Running) {
    let before = world.points_or_none().len();
    // One that is under way may have been frozen already.
    assert!(patiently(|| world.points_or_none().len() >= before + 2), "no points: {}", running.log());
}

/// Restores a disk of machine `m` as it is at its newest point.
fn restored(world: &World, disk: &str) -> std::path::PathBuf {
    let target = world.path(&format!("restored-{disk}"));
    world.ok(&["restore", &format!("m:{disk}"), "--to", text(&target), "--yes"]);
    target
}

#[test]
fn two_disks_with_partitions_and_swap_come_back_as_they_were() {
    let world = World::new();
    let (first, second) = (world.path("first"), world.path("second"));
    partitioned(&first);
    sparse(&second, 256 * MIB);
    let (one, two) = (Loop::with_partitions(&first), Loop::new(&second, 4096));
    let swap = one.partition(2);
    run("mkfs.ext4", ["-q", &one.partition(1)]);
    run("mkswap", ["-L", "swap", &swap]);
    run("mkfs.btrfs", ["-q", &one.partition(3)]);
    run("mkfs.ext4", ["-q", two.path()]);
    let places = [(one.partition(1), "a"), (one.partition(3), "b"), (two.path().to_owned(), "c")];
    let folders = ["a", "b", "c"].map(|name| world.path(name));
    let mounts = places.map(|(device, name)| Mount::new(&["-o", "rw"], &device, &world.path(name)));
    let following = Following::new(&world, one.path());
    let args = ["protect", one.path(), two.path(), "--machine", "m", "--every", "1s", "--threads", "2", "--all-blocks"];
    let mut running = world.start_as(command(&world, &args));
    // With --all-blocks the comparison at the beginning reads swap, too: as it is before anything is written to it.
    wait_for_a_later_point(&world, &running);
    for round in 0..3 {
        for (seed, folder) in (0..).zip(&folders) {
            write(folder, &format!("file{}", round % 2), 10 * round + seed);
        }
        // Somebody swaps; nobody keeps it.
        poke(Path::new(&swap), 8 * MIB, &Numbers(round).bytes(16 << 20));
        wait_for_a_later_point(&world, &running);
    }
    drop(mounts);
    run("sync", [""; 0]);
    wait_for_a_later_point(&world, &running);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(running.log().contains("held still") && !running.log().contains("fuzzy"), "{}", running.log());

    let number = |loop_device: &Loop| Path::new(loop_device.path()).file_name().unwrap().to_str().unwrap().to_owned();
    let expected = world.path("expected");
    copy(Path::new(one.path()), &expected);
    let (start, end) = PARTITIONS[1];
    let without_swap = vec![0; ((end - start) * MIB - 4096) as usize];
    poke(&expected, start * MIB + 4096, &without_swap);
    assert_same(&restored(&world, &number(&one)), &expected);
    assert_same(&restored(&world, &number(&two)), Path::new(two.path()));
    assert!(
        run(
            "blkid",
            [
                "-p",
                "-o",
                "value",
                "-s",
                "LABEL",
                "--offset",
                &(start * MIB).to_string(),
                text(&world.path(&format!("restored-{}", number(&one))))
            ]
        )
        .contains("swap")
    );
    let swapped: u64 = 48 << 20;
    let changed = |p: &serde_json::Value| p["changed_pages"].as_u64().unwrap() * 4096;
    let points = world.json(&["points", "m"]);
    let sent: u64 = points.as_array().unwrap().iter().map(changed).sum();
    assert!(sent < swapped, "what was swapped was kept: {sent} bytes");
    drop(following);
}
