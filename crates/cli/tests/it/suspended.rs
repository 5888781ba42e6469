//! Suspensions and gaps: nothing is made or touched meanwhile, it ends by itself, and only the difference is sent after it.

use std::fs;
use std::io::Write as _;

use serde_json::Value;

use crate::live::{Following, command};
use crate::tools::{Loop, Mount, Numbers, patiently, run, sparse, text};
use crate::world::{Running, World};

/// Waits until machine `m` has more points than so many.
fn wait_for_points(world: &World, more_than: usize, running: &Running) {
    assert!(patiently(|| world.points_or_none().len() > more_than), "no points: {}", running.log());
}

/// All gaps of machine `m` that ended: why.
fn gaps(world: &World) -> Vec<Vec<String>> {
    let points = world.json(&["points", "m"]);
    let before = points.as_array().unwrap().iter().flat_map(|p| p["gaps_before"].as_array().unwrap().clone());
    before.map(|gap| whys(&gap)).collect()
}

fn whys(gap: &Value) -> Vec<String> {
    gap["causes"].as_array().unwrap().iter().map(|c| c["why"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_is_made_while_suspended_and_only_the_difference_after() {
    let world = World::new();
    let (image, folder) = (world.path("disk"), world.path("mounted"));
    sparse(&image, 512 << 20);
    let device = Loop::new(&image, 512);
    run("mkfs.ext4", ["-q", device.path()]);
    let mount = Mount::new(&["-o", "rw"], device.path(), &folder);
    let following = Following::new(&world, device.path());
    let hooks = world.path("hooks");
    let before = format!("echo told >> {}", text(&hooks));
    let args = ["protect", device.path(), "--machine", "m", "--every", "1s", "--before", &before];
    let mut running = world.start_as(command(&world, &args));
    wait_for_points(&world, 1, &running);

    world.ok(&["suspend", "m", "--reason", "tape run", "--max", "1h"]);
    running.wait_for("m is suspended until");
    let (points, told) = (world.points(), fs::read(&hooks).unwrap());
    let changed = Numbers(5).bytes(3 << 20);
    let mut file = fs::File::create(folder.join("meanwhile")).unwrap();
    file.write_all(&changed).unwrap();
    file.sync_all().unwrap();
    drop(file);
    let machine = &world.json(&["machines"])[0];
    assert_eq!(machine["suspended"]["reason"], "tape run");
    // Long enough for a point that should not be made; the gap shows before it ends.
    assert!(patiently(|| world.json(&["machines"])[0]["gap"]["causes"][0]["why"] == "suspended"));
    assert_eq!(whys(&world.json(&["points", "m"])[points.len() - 1]["gap_after"]), ["suspended"]);
    assert!(world.ok(&["points", "m"]).contains("suspended: tape run"));
    assert!(world.ok(&["machines"]).contains("suspended until"));
    assert_eq!((world.points(), fs::read(&hooks).unwrap()), (points.clone(), told));
    // Another process that makes one point skips it, too.
    let skipped = world.ok(&["protect", text(&image), "--machine", "m", "--once"]);
    assert_eq!(skipped, "");

    world.ok(&["resume", "m"]);
    running.wait_for("m is not suspended any more");
    wait_for_points(&world, points.len(), &running);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert_eq!(running.log().matches("compared").count(), 1, "at the beginning only: {}", running.log());
    assert_eq!(gaps(&world), [["suspended"]]);
    let after = &world.json(&["points", "m"])[points.len()];
    let pages = after["changed_pages"].as_u64().unwrap();
    assert!((768..2000).contains(&pages), "3 MiB and what names them, but no more: {pages} pages");
    assert!(world.ok(&["resume", "m"]).contains("was not suspended"));
    let got = world.path("got");
    world.ok(&["files", "get", "m", "/meanwhile", "--to", text(&got)]);
    assert!(fs::read(&got).unwrap() == changed);
    drop((following, mount));
}

#[test]
fn a_suspension_ends_by_itself() {
    let world = World::new();
    let image = world.path("disk.img");
    fs::write(&image, Numbers(1).bytes(1 << 20)).unwrap();
    world.protect(text(&image));
    world.ok(&["suspend", "m", "--reason", "a while", "--max", "3s"]);
    let mut running = world.start(&["protect", text(&image), "--machine", "m", "--every", "1s"]);
    running.wait_for("is suspended until");
    assert_eq!(world.points().len(), 1);
    running.wait_for("is not suspended any more");
    wait_for_points(&world, 1, &running);
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert_eq!(gaps(&world)[0], ["suspended"], "nothing was promised, but it was suspended");
    assert!(world.ok(&["show", "m"]).contains("point"));
    world.assert_clean();
}

#[test]
fn a_time_when_nothing_ran_is_a_gap() {
    let world = World::new();
    let image = world.path("disk");
    sparse(&image, 64 << 20);
    let mut running = world.start(&["protect", text(&image), "--machine", "m", "--every", "1s"]);
    wait_for_points(&world, 1, &running);
    assert_eq!(running.interrupt(), Some(0));
    assert!(patiently(|| world.ok(&["points", "m"]).contains("perhaps nothing was running")));
    let points = world.points().len();
    let mut running = world.start(&["protect", text(&image), "--machine", "m", "--every", "1s"]);
    wait_for_points(&world, points, &running);
    assert_eq!(running.interrupt(), Some(0));
    let told = gaps(&world);
    assert_eq!(told.last().unwrap(), &["unknown"], "{told:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new();
    let image = world.path("disk.img");
    fs::write(&image, vec![1; 8192]).unwrap();
    let refused = |args: &[&str]| world.refused(2, &[&["suspend", "m"], args].concat());
    assert!(refused(&["--reason", "x", "--max", "0s"]).contains("--max"));
    assert!(refused(&["--reason", "x", "--max", "soon"]).contains("length of time"));
    assert!(refused(&["--reason", "  "]).contains("--reason"));
    assert!(refused(&["--reason", "two\nlines"]).contains("--reason"));
    assert!(refused(&[]).contains("--reason"));
    assert!(world.refused(1, &["suspend", "m", "--reason", "x"]).contains("no machine"));
    assert!(world.refused(1, &["resume", "m"]).contains("no machine"));
    world.protect(text(&image));
    let suspended = world.json(&["suspend", "m", "--reason", "x"]);
    assert_eq!(suspended["suspended"]["reason"], "x");
    let skipped = world.json(&["protect", text(&image), "--machine", "m", "--once"]);
    assert_eq!(skipped["suspended"]["reason"], "x");
    assert_eq!(world.json(&["resume", "m"])["was_suspended"]["reason"], "x");
    assert!(world.json(&["resume", "m"])["was_suspended"].is_null());
    assert_eq!(world.protect(text(&image)), 2);
}
