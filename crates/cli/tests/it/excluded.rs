//! What is left out by choice: not in the store, named by the point, and everything else comes back as it was.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

/// Makes an image with a file system of a kind: 11 MiB to be left out, 2 MiB to be kept.
fn image_of(world: &World, kind: &str) -> PathBuf {
    let (image, size) = (world.path(&format!("{kind}.img")), if kind == "xfs" { 320 } else { 128 });
    sparse(&image, size * MIB);
    let path = text(&image);
    match kind {
        "ext4" => run("mkfs.ext4", ["-q", "-b", "4096", path]),
        "xfs" => run("mkfs.xfs", ["-q", path]),
        "btrfs" => run("mkfs.btrfs", ["-q", path]),
        _ => run("mkntfs", ["-Q", "-F", "-q", path]),
    };
    with(world, kind, |folder| {
        let numbers = &mut Numbers(7);
        fs::create_dir_all(folder.join("cache/deep/er")).unwrap();
        fs::create_dir_all(folder.join("keep")).unwrap();
        fs::write(folder.join("cache/a"), numbers.bytes(4 << 20)).unwrap();
        fs::write(folder.join("cache/deep/er/b"), numbers.bytes(4 << 20)).unwrap();
        fs::write(folder.join("keep/disc.iso"), numbers.bytes(3 << 20)).unwrap();
        fs::write(folder.join("keep/data"), numbers.bytes(2 << 20)).unwrap();
        fs::write(folder.join("keep/note"), "kept\n").unwrap();
    });
    image
}

/// Does something to the files of an image.
fn with(world: &World, kind: &str, work: impl FnOnce(&Path)) {
    let (image, folder) = (world.path(&format!("{kind}.img")), world.path("made"));
    let mount = match kind {
        "ntfs" => Mount::ntfs(&image, &folder),
        _ => Mount::new(&["-o", "loop"], text(&image), &folder),
    };
    work(&folder);
    drop(mount);
}

/// Mounts an image to be looked at.
fn shown(world: &World, kind: &str, image: &Path, folder: &str) -> (Mount, PathBuf) {
    let folder = world.path(folder);
    let mount = match kind {
        "ntfs" => Mount::ntfs(image, &folder),
        // The same file system twice at a time: XFS would mind.
        "xfs" => Mount::new(&["-o", "loop,ro,nouuid"], text(image), &folder),
        _ => Mount::new(&["-o", "loop,ro"], text(image), &folder),
    };
    (mount, folder)
}

/// Its own program finds nothing wrong with a file system.
fn assert_sound(kind: &str, image: &Path) {
    match kind {
        "ext4" => run("e2fsck", ["-f", "-n", text(image)]),
        "xfs" => run("xfs_repair", ["-n", text(image)]),
        "btrfs" => run("btrfs", ["check", text(image)]),
        _ => run("ntfsfix", ["-n", text(image)]),
    };
}

fn protect(world: &World, image: &Path, rules: &[&str]) -> Value {
    let rules = rules.iter().flat_map(|rule| ["--exclude", rule]);
    let args: Vec<&str> = ["protect", text(image), "--machine", "m", "--once"].into_iter().chain(rules).collect();
    world.json(&args)
}

/// Zeros, or an error: never what was left out, and never anything else.
fn assert_no_content(path: &Path, len: u64) {
    assert_eq!(fs::metadata(path).unwrap().len(), len, "its name and size are kept");
    let mut bytes = Vec::new();
    if fs::File::open(path).unwrap().read_to_end(&mut bytes).is_ok() {
        assert!(bytes.iter().all(|byte| *byte == 0), "{}", path.display());
    }
}

fn all_but_the_choice_comes_back(kind: &str) {
    let world = World::new();
    let image = image_of(&world, kind);
    let made = protect(&world, &image, &["/cache", "*.iso"]);
    assert_eq!(made["excluded_pages"], 11 * 256, "{made}");
    assert!(world.packed() < 4 * MIB, "{} bytes in packs", world.packed());

    let point = world.json(&["show", "m"]);
    let rules = serde_json::json!([{ "rule": "/cache", "bytes": 8 * MIB }, { "rule": "*.iso", "bytes": 3 * MIB }]);
    assert_eq!(point["disks"][0]["excluded"], rules);
    let words = world.ok(&["show", "m"]);
    assert!(words.contains("8.0 MiB by /cache") && words.contains("3.0 MiB by *.iso"), "{words}");

    let restored = world.path("restored.img");
    world.ok(&["restore", "m", "--to", text(&restored)]);
    assert_sound(kind, &restored);
    {
        let (_was, original) = shown(&world, kind, &image, "was");
        let (_is, folder) = shown(&world, kind, &restored, "is");
        for (path, len) in [("cache/a", 4 * MIB), ("cache/deep/er/b", 4 * MIB), ("keep/disc.iso", 3 * MIB)] {
            assert_no_content(&folder.join(path), len);
        }
        run("diff", ["-r", "-x", "*.iso", text(&original.join("keep")), text(&folder.join("keep"))]);
    }
    files_are_refused(&world);

    // A file that moved out of the folder is kept from then on, and so is everything once nothing is left out.
    with(&world, kind, |folder| fs::rename(folder.join("cache/a"), folder.join("keep/moved")).unwrap());
    let made = protect(&world, &image, &["/cache", "*.iso"]);
    assert_eq!(made["excluded_pages"], 7 * 256, "{made}");
    world.ok(&["files", "get", "m", "/keep/moved", "--to", "moved"]);
    assert_eq!(fs::read(world.path("moved")).unwrap(), Numbers(7).bytes(4 << 20));
    let made = protect(&world, &image, &[]);
    assert_eq!(made["excluded_pages"], 0, "{made}");
    world.ok(&["files", "get", "m", "/keep/disc.iso", "--to", "disc.iso"]);
    world.assert_clean();
}

/// Commands on files say what was left out, and leave nothing of it behind.
fn files_are_refused(world: &World) {
    let sentence = world.refused(4, &["files", "get", "m", "/cache/deep/er/b", "--to", "b"]);
    assert!(sentence.contains("/cache/deep/er/b was excluded"), "{sentence}");
    assert!(!world.path("b").exists());
    let said = world.run(&["files", "get", "m", "/", "--to", "all", "--json"]);
    assert_eq!(said.status, Some(4), "{said:?}");
    assert!(said.err.contains("the content of 3 files is not in the point"), "{said:?}");
    let got: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(got["excluded"].as_array().unwrap().len(), 3, "{got}");
    assert_eq!(fs::read_to_string(world.path("all/keep/note")).unwrap(), "kept\n");
    assert_eq!(fs::metadata(world.path("all/keep/data")).unwrap().len(), 2 * MIB);
    assert!(!world.path("all/keep/disc.iso").exists());
}

#[test]
fn ext4_without_a_folder_and_a_kind_of_file() {
    all_but_the_choice_comes_back("ext4");
}

#[test]
fn xfs_without_a_folder_and_a_kind_of_file() {
    all_but_the_choice_comes_back("xfs");
}

#[test]
fn btrfs_without_a_folder_and_a_kind_of_file() {
    all_but_the_choice_comes_back("btrfs");
}

#[test]
fn ntfs_without_a_folder_and_a_kind_of_file() {
    all_but_the_choice_comes_back("ntfs");
}

/// Content that something else uses too is kept: another name, a clone, a snapshot.
fn what_is_shared_is_kept(kind: &str) {
    let world = World::new();
    let image = image_of(&world, kind);
    with(&world, kind, |folder| {
        fs::hard_link(folder.join("cache/a"), folder.join("keep/other name")).unwrap();
        if kind != "ext4" {
            let (b, clone) = (folder.join("cache/deep/er/b"), folder.join("keep/clone"));
            run("cp", ["--reflink=always", text(&b), text(&clone)]);
            // The clone goes its own way in the middle.
            run("sync", ["-f", text(folder)]);
            poke(&clone, MIB, &[1; 8192]);
        }
    });
    let made = protect(&world, &image, &["/cache", "/keep/disc.iso"]);
    let alone = match kind {
        "ext4" => 7 * 256,
        // What the clone has no more is the file's own; btrfs counts whole extents.
        "xfs" => 3 * 256 + 2,
        _ => 3 * 256,
    };
    assert_eq!(made["excluded_pages"], alone, "{made}");
    let restored = world.path("restored.img");
    world.ok(&["restore", "m", "--to", text(&restored)]);
    assert_sound(kind, &restored);
    let (_was, original) = shown(&world, kind, &image, "was");
    let (_is, folder) = shown(&world, kind, &restored, "is");
    run("diff", ["-r", "-x", "*.iso", text(&original.join("keep")), text(&folder.join("keep"))]);
}

#[test]
fn ext4_keeps_what_has_another_name() {
    what_is_shared_is_kept("ext4");
}

#[test]
fn xfs_keeps_what_is_shared() {
    what_is_shared_is_kept("xfs");
}

#[test]
fn btrfs_keeps_what_is_shared() {
    what_is_shared_is_kept("btrfs");
}

#[test]
fn btrfs_keeps_what_a_snapshot_has() {
    let world = World::new();
    let image = image_of(&world, "btrfs");
    with(&world, "btrfs", |folder| {
        run("btrfs", ["subvolume", "snapshot", text(folder), text(&folder.join("keep/snapshot"))]);
        // Newer than the snapshot: the only content that the folder has to itself.
        fs::write(folder.join("cache/new"), Numbers(9).bytes(1 << 20)).unwrap();
    });
    let made = protect(&world, &image, &["/cache"]);
    let excluded = made["excluded_pages"].as_u64().unwrap();
    assert!(excluded <= 256, "{made}");
    world.ok(&["files", "get", "m", "/keep/snapshot/cache/a", "--to", "a"]);
    assert_eq!(fs::read(world.path("a")).unwrap(), Numbers(7).bytes(4 << 20));
}

#[test]
fn a_mounted_point_does_not_give_zeros_for_what_was_left_out() {
    let world = World::new();
    let image = image_of(&world, "ext4");
    protect(&world, &image, &["*.iso"]);
    let folder = world.path("point");
    fs::create_dir(&folder).unwrap();
    let mut mount = world.start(&["mount", "m", text(&folder)]);
    mount.wait_for("mounted on");
    let files = folder.join("ext4/files");
    let read = fs::read(files.join("keep/disc.iso"));
    let note = fs::read_to_string(files.join("keep/note"));
    assert_eq!(mount.interrupt(), Some(0));
    assert!(read.is_err(), "{} bytes", read.unwrap().len());
    assert_eq!(note.unwrap(), "kept\n");
}

#[test]
fn a_target_that_is_known_loses_what_the_point_leaves_out() {
    let world = World::new();
    let image = image_of(&world, "ext4");
    // Its times are to be believed.
    run("touch", ["-d", "2001-02-03 04:05:06.5 UTC", text(&image)]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    protect(&world, &image, &["/cache"]);
    let whole = world.path("whole.img");
    world.ok(&["restore", "m", "--to", text(&whole)]);
    world.ok(&["restore", "m", "--to", text(&image), "--delta", "--yes"]);
    let (one, other) = (fs::read(&whole).unwrap(), fs::read(&image).unwrap());
    let differ = one.chunks(4096).zip(other.chunks(4096)).filter(|(a, b)| a != b);
    // Only what no file uses may differ.
    let kept = differ.filter(|(a, _)| a.iter().any(|byte| *byte != 0)).count();
    assert_eq!(kept, 0);
    let (_mount, folder) = shown(&world, "ext4", &image, "is");
    assert_no_content(&folder.join("cache/a"), 4 * MIB);
}

#[test]
fn a_choice_is_about_the_place_that_it_names() {
    let world = World::new();
    let (disk, part) = (world.path("disk.img"), world.path("part.img"));
    sparse(&disk, 40 * MIB);
    run_with_input("sfdisk", ["--quiet", text(&disk)], "label: gpt\nstart=2048, size=32768\nstart=34816, size=32768\n");
    fs::create_dir_all(world.path("tree")).unwrap();
    fs::write(world.path("tree/big"), Numbers(3).bytes(1 << 20)).unwrap();
    for start in [MIB, 17 * MIB] {
        sparse(&part, 16 * MIB);
        run("mkfs.ext4", ["-q", "-b", "4096", "-d", text(&world.path("tree")), text(&part)]);
        implant(&part, &disk, start);
    }
    for (rule, pages) in
        [("/big", 512), ("disk:/big", 512), ("disk:2:/big", 256), ("disk:p1:b?g", 256), ("disk:3:/big", 0)]
    {
        let made = protect(&world, &disk, &[rule]);
        assert_eq!(made["excluded_pages"], pages, "{rule}: {made}");
    }
    protect(&world, &disk, &["disk:2:/big"]);
    let shown = world.json(&["show", "m:disk:2"]);
    assert_eq!(
        (shown["contents"][0]["parts"].as_array().unwrap().len(), &shown["contents"][0]["parts"][0]["partition"]),
        (1, &2.into())
    );
    let two = world.json(&["protect", text(&disk), text(&part), "--machine", "two", "--once"]);
    assert_eq!(two["excluded_pages"], 0);
    let sentence = world.refused(2, &["restore", "two", "--to", "x"]);
    assert!(sentence.contains("two has several disks; name one: two:disk, two:part"), "{sentence}");
    world.ok(&["files", "get", "m:disk:1", "/big", "--to", "big"]);
    world.refused(4, &["files", "get", "m:disk:2", "/big", "--to", "big2"]);
    let said = world.run(&["protect", text(&disk), "--machine", "m", "--once", "--exclude", "/nothing"]);
    assert!(said.status == Some(0) && said.err.contains("--exclude /nothing names no file now"), "{said:?}");
    let sentence = world.refused(2, &["protect", text(&disk), "--once", "--exclude", "sdb:/big"]);
    assert!(sentence.contains("there is no disk sdb here, only disk"), "{sentence}");
    let sentence = world.refused(2, &["protect", text(&disk), "--once", "--exclude", "/"]);
    assert!(sentence.contains("names no file or folder"), "{sentence}");
}
