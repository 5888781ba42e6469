//! How fast disks may be read, and what becomes of those that change faster.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::live::{Following, StopOnDrop, command};
use crate::tools::{Loop, Mount, Numbers, patiently, run, sparse, text};
use crate::world::World;

#[test]
fn reading_keeps_to_its_rate() {
    let world = World::new();
    let image = world.path("disk.img");
    fs::write(&image, Numbers(1).bytes(12 << 20)).unwrap();
    let begun = Instant::now();
    let args = ["protect", text(&image), "--machine", "m", "--once", "--threads", "1", "--max-rate", "4MiB/s"];
    world.ok(&args);
    // Three segments: the last is not read before the others have had their time.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    let newest = world.points()[0].1.clone();
    world.assert_restores(&newest, &image);
    for (option, value) in [("--max-rate", "fast"), ("--max-rate", "1KiB/s"), ("--threads", "0"), ("--threads", "many")]
    {
        assert!(world.refused(2, &["protect", text(&image), option, value]).contains(option));
    }
}

/// Overwrites a file until told to stop.
fn overwrite(file: &Path, stop: &AtomicBool) {
    let mut content = Numbers(3).bytes(96 << 20);
    while !stop.load(Ordering::Relaxed) {
        content.rotate_left(1);
        let mut file = fs::File::options().write(true).create(true).truncate(false).open(file).unwrap();
        file.write_all(&content).unwrap();
        file.sync_all().unwrap();
    }
}

#[test]
fn what_changes_faster_than_it_is_read_is_said_and_caught_up_with() {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 512 << 20);
    let device = Loop::new(&image, 512);
    run("mkfs.ext4", ["-q", device.path()]);
    let mount = Mount::new(&["-o", "rw"], device.path(), &folder);
    let following = Following::new(&world, device.path());
    let args = ["protect", device.path(), "--machine", "m", "--every", "1s", "--max-rate", "16MiB/s", "--json"];
    let mut running = world.start_as(command(&world, &args));
    assert!(patiently(|| world.points_or_none().len() >= 2), "{}", running.log());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = StopOnDrop(&stop);
        scope.spawn(|| overwrite(&folder.join("busy"), stop.0));
        running.wait_for("the disks change faster than they can be read");
    });
    let points = world.points().len();
    assert!(running.log().contains("\"why\": \"busy\""), "{}", running.log());
    assert!(patiently(|| world.points().len() > points), "{}", running.log());
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert_eq!(running.log().matches("compared").count(), 1, "at the beginning only: {}", running.log());
    let all = world.json(&["points", "m"]);
    let gaps = all.as_array().unwrap().iter().flat_map(|p| p["gaps_before"].as_array().unwrap().clone());
    let busy = gaps.filter(|gap| gap["causes"][0]["why"] == "busy").count();
    assert_eq!(busy, 1, "{all}");
    let got = world.path("got");
    world.ok(&["files", "get", "m", "/busy", "--to", text(&got)]);
    assert!(fs::read(&got).unwrap() == fs::read(folder.join("busy")).unwrap());
    drop((following, mount));
}
