//! Stores on a full disk, and sources that change, shrink or go away while they are read.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

/// Writes into a file until there is no room.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    let mut piece = vec![0xA5; 1 << 20];
    while !piece.is_empty() {
        match file.write(&piece) {
            Ok(0) => panic!("nothing was written, and no error"),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
            Err(e) => panic!("{e}"),
        }
    }
}

/// What a store on a full file system, mounted with these arguments, must do.
fn a_full_disk(args: &[&str], source: impl FnOnce(&World) -> String) {
    let outer = World::without_store();
    let place = outer.path("small");
    let mount = Mount::new(args, &source(&outer), &place);
    let world = World::with_store_in(&place);
    let (image, kept) = (world.path("web.img"), world.path("kept.img"));
    sparse(&image, 40 * MIB);
    poke(&image, MIB, &Numbers(1).bytes(4 << 20));
    world.protect(text(&image));
    copy(&image, &kept);
    let (_, first) = world.points()[0].clone();

    // More than there is room for: no point, one sentence, and what was there is there.
    poke(&image, 6 * MIB, &Numbers(2).bytes(30 << 20));
    let protect = ["protect", text(&image), "--machine", "m", "--once"];
    let sentence = sentence(1, &world.run(&protect));
    assert!(sentence.contains("no space left") && sentence.contains("free some space"), "{sentence}");
    assert_eq!(world.points().len(), 1);
    world.assert_restores(&first, &kept);

    // Not a byte left at all.
    let ballast = place.join("ballast");
    fill(&ballast);
    assert_eq!(world.run(&protect).status, Some(1));
    assert_eq!(world.points().len(), 1);
    world.assert_restores(&first, &kept);
    world.assert_clean();

    // Room again, for a smaller change.
    fs::remove_file(&ballast).unwrap();
    copy(&kept, &image);
    poke(&image, 20 * MIB, &Numbers(3).bytes(1 << 20));
    world.ok(&["reclaim", "--yes"]);
    assert_eq!(world.protect(text(&image)), 2);
    world.assert_restores("latest", &image);
    world.assert_restores(&first, &kept);
    world.assert_clean();
    drop(world);
    drop(mount);
}

#[test]
fn a_full_ext4() {
    a_full_disk(&["-o", "loop"], |outer| {
        let image = outer.path("small.img");
        sparse(&image, 24 * MIB);
        run("mkfs.ext4", ["-q", "-m", "0", text(&image)]);
        text(&image).to_owned()
    });
}

#[test]
fn a_full_tmpfs() {
    a_full_disk(&["-t", "tmpfs", "-o", "size=20m"], |_| "none".to_owned());
}

#[test]
fn a_source_that_shrinks_while_it_is_read() {
    let world = World::new();
    let image = world.path("web.img");
    noisy_image(&image, 24 * MIB, 1);
    world.protect(text(&image));
    let kept = world.path("kept.img");
    copy(&image, &kept);
    let (_, first) = world.points()[0].clone();
    // A file that is being cut and grown again all the time is met while it is short sooner or later.
    let stop = AtomicBool::new(false);
    let said: Vec<Said> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::File::options().write(true).open(&image).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.set_len(MIB).unwrap();
                std::thread::sleep(Duration::from_millis(3));
                file.set_len(24 * MIB).unwrap();
                poke(&image, 8 * MIB, &[1; 4096]);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let mut said = Vec::new();
        while said.len() < 200 && said.last().is_none_or(|s: &Said| s.status == Some(0)) {
            said.push(world.run(&["protect", text(&image), "--machine", "m", "--once", "--json"]));
        }
        stop.store(true, Ordering::Relaxed);
        said
    });
    let (last, others) = said.split_last().unwrap();
    let sentence = sentence(1, last);
    assert!(sentence.contains("web") && sentence.contains("shrank"), "{sentence}");
    for said in others {
        let made: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        // Who was quicker than the file changed says so of one of its two sizes.
        if made["consistent"] == true {
            let time = made["time"].as_str().unwrap();
            let shown = world.json(&["show", "m", "--at", time]);
            let size = shown["disks"][0]["bytes"].as_u64().unwrap();
            assert!([MIB, 24 * MIB].contains(&size), "somebody wrote while it was read: {said:?}");
        }
    }
    world.assert_restores(&first, &kept);
    world.assert_clean();
    copy(&kept, &image);
    world.protect(text(&image));
    world.assert_restores("latest", &kept);
}

#[test]
fn a_source_that_grows_and_shrinks_between_points() {
    let world = World::new();
    let image = world.path("web.img");
    let mut kept = Vec::new();
    for (n, size) in [5 * MIB + 100, 9 * MIB + 700, 2 * MIB, 0, 3 * MIB + 1].into_iter().enumerate() {
        fs::File::options().create(true).truncate(false).write(true).open(&image).unwrap().set_len(size).unwrap();
        if size > 0 {
            poke(&image, size - 50, &Numbers(n as u64).bytes(50));
            poke(&image, size / 2, &Numbers(n as u64).bytes(10_000));
        }
        world.protect(text(&image));
        kept.push(world.path(&format!("kept-{n}")));
        copy(&image, kept.last().unwrap());
    }
    let points = world.points();
    for ((_, time), kept) in points.iter().zip(&kept) {
        world.assert_restores(time, kept);
    }
    // In place, from each to another, whatever is known of the file.
    for (from, to) in [(4, 1), (1, 0), (0, 2), (2, 1), (1, 3), (3, 4)] {
        assert_same(&image, &kept[from]);
        world.ok(&["restore", "m", "--at", &points[to].1, "--to", text(&image), "--delta", "--yes"]);
        assert_same(&image, &kept[to]);
    }
}

/// A disk with places that cannot be read: the image of a damaged point, mounted.
#[test]
fn a_source_with_read_errors() {
    let (bad, world) = (World::new(), World::new());
    let (image, folder) = (bad.path("web.img"), bad.path("mounted"));
    noisy_image(&image, 12 * MIB, 1);
    bad.protect(text(&image));
    bad.damage();
    fs::create_dir(&folder).unwrap();
    let mut mount = bad.start(&["mount", "m", text(&folder)]);
    mount.wait_for("mounted on");
    let source = folder.join("web.img");
    let said = world.run(&["protect", text(&source), "--machine", "m", "--once"]);
    assert!(said.status == Some(0) && said.err.contains("could not be read"), "{said:?}");
    assert_eq!(mount.interrupt(), Some(0), "{}", mount.log());

    let points = world.json(&["points", "m"]);
    let unreadable = points[0]["disks"][0]["unreadable_pages"].as_u64().unwrap();
    // One frame: it ends with the chunk that brings it to 32 pages or more, and a chunk has 64 at most.
    assert!((1..=31 + 64).contains(&unreadable), "{points}");
    assert!(world.ok(&["points", "m"]).contains("unreadable"));
    // What could not be read is named, and everything else is there.
    let out = world.path("out.img");
    let said = world.run(&["restore", "m", "--to", text(&out), "--json"]);
    assert_eq!(said.status, Some(3), "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let named = report["unreadable"].as_array().unwrap().iter();
    let named: Vec<_> = named.map(|r| r["from"].as_u64().unwrap()..r["to"].as_u64().unwrap()).collect();
    assert_eq!(named.iter().map(|r| r.end - r.start).sum::<u64>(), unreadable * 4096, "{report}");
    let (expected, got) = (fs::read(&image).unwrap(), fs::read(&out).unwrap());
    assert_eq!(expected.len(), got.len());
    let pages = expected.chunks(4096).zip(got.chunks(4096)).enumerate();
    let wrong = pages.filter(|(_, (one, other))| one != other).map(|(page, _)| page as u64 * 4096);
    wrong.for_each(|at| assert!(named.iter().any(|r| r.contains(&at)), "byte {at} is wrong and not named"));
}
