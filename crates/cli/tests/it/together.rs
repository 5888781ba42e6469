//! Several at once, one that goes on, and one that is stopped and started again.

use std::time::Duration;

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

#[test]
fn two_at_once_on_one_store() {
    let world = World::new();
    let images: Vec<_> = (0..2).map(|n| world.path(&format!("disk-{n}.img"))).collect();
    // Half of it is the same in both.
    for (n, image) in images.iter().enumerate() {
        sparse(image, 16 * MIB);
        poke(image, 0, &Numbers(1).bytes(6 << 20));
        poke(image, 8 * MIB, &Numbers(10 + n as u64).bytes(6 << 20));
    }
    for round in 0..3 {
        let machines = ["a", "b"];
        let mut running: Vec<_> = images
            .iter()
            .zip(machines)
            .map(|(image, machine)| world.start(&["protect", text(image), "--machine", machine, "--once"]))
            .collect();
        running.iter_mut().for_each(|r| assert_eq!(r.end(), Some(0), "{}", r.log()));
        for (image, machine) in images.iter().zip(machines) {
            let out = world.path(&format!("out-{machine}"));
            world.ok(&["restore", machine, "--to", text(&out), "--yes"]);
            assert_same(&out, image);
            poke(image, 12 * MIB + round * 100_000, &Numbers(round).bytes(50_000));
        }
    }
    world.assert_clean();
    // And two of one machine: both make a point, one after the other.
    let protect = ["protect", text(&images[0]), "--machine", "a", "--once"];
    let mut running = [world.start(&protect), world.start(&protect)];
    running.iter_mut().for_each(|r| assert_eq!(r.end(), Some(0), "{}", r.log()));
    assert_eq!(world.json(&["points", "a"]).as_array().unwrap().len(), 5);
    world.assert_clean();
}

#[test]
fn protect_goes_on_until_it_is_stopped() {
    let world = World::new();
    let (image, kept) = (world.path("web.img"), world.path("kept.img"));
    noisy_image(&image, 8 * MIB, 1);
    copy(&image, &kept);
    let mut running = world.start(&["protect", text(&image), "--machine", "m", "--every", "1s"]);
    running.wait_for("point 1 of");
    // A change, and then a point that began after it.
    poke(&image, MIB, &Numbers(2).bytes(100_000));
    let seen = world.points().len();
    running.wait_for(&format!("point {} of", seen + 2));
    assert_eq!(running.interrupt(), Some(0), "{}", running.log());
    assert!(running.log().contains("the next protect goes on"), "{}", running.log());
    let points = world.points();
    assert!(points.len() >= 3);
    world.assert_restores(&points[0].1, &kept);
    world.assert_restores("latest", &image);

    // What cannot be now may be later: the source comes back.
    let away = world.path("away.img");
    let mut running = world.start(&["protect", text(&image), "--machine", "m", "--every", "1s"]);
    running.wait_for("point ");
    std::fs::rename(&image, &away).unwrap();
    running.wait_for("no point this time: ");
    std::fs::rename(&away, &image).unwrap();
    let seen = world.points().len();
    running.wait_for(&format!("point {} of", seen + 1));
    running.signal("TERM");
    assert_eq!(running.end(), Some(0), "{}", running.log());
    world.assert_clean();
}

#[test]
fn an_interrupted_protect_goes_on_where_it_was() {
    let world = World::new();
    let image = world.path("web.img");
    sparse(&image, 300 * MIB);
    for n in 0..60 {
        poke(&image, n * 5 * MIB, &Numbers(n).bytes(4 << 20));
    }
    let protect = ["protect", text(&image), "--machine", "m", "--once"];
    let mut running = world.start(&protect);
    // Once some of it is committed.
    assert!(patiently(|| world.packed() > 64 * MIB), "{}", running.log());
    running.signal("INT");
    let status = running.end();
    assert_eq!(status, Some(1), "{}", running.log());
    assert!(running.log().contains("interrupted: no point was made"), "{}", running.log());
    assert_eq!(world.json(&["machines"]).as_array().unwrap().len(), 0);
    let before = world.packed();
    let made = world.json(&protect);
    let stored = made["stored_bytes"].as_u64().unwrap();
    assert!(stored < 200 * MIB, "{stored} stored again, with {before} there");
    // What was on its way when it stopped may lie there twice.
    assert!(world.packed() < 320 * MIB, "{} for 240 MiB of noise", world.packed());
    world.assert_restores("latest", &image);
    std::thread::sleep(Duration::from_millis(10));
    world.assert_clean();
}

#[test]
fn of_many_stores_made_in_one_folder_exactly_one_comes_to_be() {
    for same in [true, false] {
        let world = World::without_store();
        let passphrases: Vec<_> =
            (0..3).map(|n| world.path(&format!("passphrase-{}", if same { 0 } else { n }))).collect();
        for (n, path) in passphrases.iter().enumerate() {
            std::fs::write(path, format!("secret {}\n", if same { 0 } else { n })).unwrap();
        }
        let init =
            |path: &std::path::PathBuf| world.start(&["init", text(&world.store), "--passphrase-file", text(path)]);
        let mut running: Vec<_> = passphrases.iter().map(init).collect();
        let ends: Vec<_> = running.iter_mut().map(Running::end).collect();
        let won: Vec<_> = (0..3).filter(|n| ends[*n] == Some(0)).collect();
        assert_eq!(won.len(), 1, "{ends:?}");
        for lost in (0..3).filter(|n| !won.contains(n)) {
            let log = running[lost].log();
            assert!(ends[lost] == Some(4) && log.contains("already") && log.lines().count() == 1, "{log}");
        }
        std::fs::copy(&passphrases[won[0]], world.path("passphrase")).unwrap();
        let image = world.path("disk.img");
        noisy_image(&image, MIB, 3);
        world.protect(text(&image));
        world.assert_restores("latest", &image);
    }
}

#[test]
fn an_interrupted_init_is_finished_by_the_next() {
    let whole = World::new();
    for removed in [&["vault"][..], &["vault/main/keytable"]] {
        let world = World::without_store();
        run("cp", ["-a", text(&whole.store), text(&world.store)]);
        for path in removed {
            std::fs::remove_dir_all(world.store.join(path)).unwrap();
        }
        let sentence = world.refused(1, &["machines"]);
        assert!(sentence.contains("backstay init"), "{sentence}");
        world.ok(&["init", text(&world.store)]);
        assert_eq!(world.json(&["machines"]).as_array().unwrap().len(), 0);
        let sentence = world.refused(4, &["init", text(&world.store)]);
        assert!(sentence.contains("is a store already"), "{sentence}");
    }
}
