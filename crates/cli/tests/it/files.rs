//! Files of every file system, out of the store and compared with the originals.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

/// Files and folders of every size, with odd names.
fn populate(folder: &Path) {
    let numbers = &mut Numbers(5);
    fs::create_dir_all(folder.join("letters/2026/märz & april")).unwrap();
    fs::write(folder.join("letters/contract.txt"), "We agree.\n").unwrap();
    fs::write(folder.join("letters/2026/märz & april/ein brief.txt"), "Grüße\n").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("big"), numbers.bytes(3 << 20)).unwrap();
    for n in 0..200 {
        let len = numbers.below(3000) as usize;
        fs::write(folder.join(format!("letters/2026/note-{n:03}")), numbers.bytes(len)).unwrap();
    }
    // A hole in the middle.
    sparse(&folder.join("holes"), 2 * MIB);
    poke(&folder.join("holes"), MIB, b"an island");
}

/// Makes an image with a populated file system of a kind.
fn image_of(world: &World, kind: &str) -> PathBuf {
    let (image, size) = (world.path(&format!("{kind}.img")), if kind == "xfs" { 320 } else { 128 });
    sparse(&image, size * MIB);
    let path = text(&image);
    match kind {
        "ext4" => run("mkfs.ext4", ["-q", path]),
        "xfs" => run("mkfs.xfs", ["-q", path]),
        "btrfs" => run("mkfs.btrfs", ["-q", path]),
        _ => run("mkntfs", ["-Q", "-F", "-q", path]),
    };
    let folder = world.path("made");
    let mount = match kind {
        "ntfs" => Mount::ntfs(&image, &folder),
        _ => Mount::new(&["-o", "loop"], path, &folder),
    };
    populate(&folder);
    if kind != "ntfs" {
        std::os::unix::fs::symlink("letters/contract.txt", folder.join("a link")).unwrap();
    }
    drop(mount);
    image
}

fn files_come_back(kind: &str) {
    let world = World::new();
    let image = image_of(&world, kind);
    world.protect(text(&image));

    let names = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect()
    };
    let root = names(&world.json(&["files", "ls", "m"]));
    for name in ["big", "empty", "holes", "letters"] {
        assert!(root.iter().any(|n| n == name), "{name} in {root:?}");
    }
    assert_eq!(names(&world.json(&["files", "ls", "m", "/letters/2026"])).len(), 201);
    let one = world.json(&["files", "ls", "m", "/big"]);
    assert_eq!((&one[0]["kind"], &one[0]["bytes"]), (&"file".into(), &(3 * MIB).into()));
    assert!(world.ok(&["files", "ls", "m", "/letters"]).contains("contract.txt"));

    let found = world.ok(&["files", "find", "m", "note-00?"]);
    assert_eq!(found.lines().count(), 10, "{found}");
    assert_eq!(world.json(&["files", "find", "m", "brief"])[0], "/letters/2026/märz & april/ein brief.txt");

    if kind != "ntfs" {
        let sentence = world.refused(1, &["files", "ls", "m", "/a link/more"]);
        assert!(sentence.contains("a symbolic link to letters/contract.txt"), "{sentence}");
    }
    let sentence = world.refused(1, &["files", "ls", "m", "/big/more"]);
    assert!(sentence.contains("/big/more leads through something that is not a folder"), "{sentence}");

    // One file, then everything, beside the originals.
    world.ok(&["files", "get", "m", "/letters/contract.txt", "--to", "contract"]);
    assert_eq!(fs::read_to_string(world.path("contract")).unwrap(), "We agree.\n");
    let got = world.json(&["files", "get", "m", "/", "--to", "everything"]);
    assert!(got["files"].as_u64().unwrap() >= 205, "{got}");
    let (folder, everything) = (world.path("originals"), world.path("everything"));
    let mount = match kind {
        "ntfs" => Mount::ntfs(&image, &folder),
        _ => Mount::new(&["-o", "loop,ro"], text(&image), &folder),
    };
    assert_same_tree(&folder, &everything);
    drop(mount);
    let holes = fs::metadata(everything.join("holes")).unwrap();
    assert!(std::os::unix::fs::MetadataExt::blocks(&holes) * 512 <= MIB + 65536, "holes stay holes");

    // What is there already is not overwritten.
    let sentence = world.refused(4, &["files", "get", "m", "/big", "--to", "contract"]);
    assert!(sentence.contains("contract") && sentence.contains("there already"), "{sentence}");
    let sentence = world.refused(1, &["files", "get", "m", "/letters/nothing"]);
    assert!(sentence.contains("/letters/nothing") && sentence.contains("backstay files find"), "{sentence}");
}

#[test]
fn files_of_ext4_come_back() {
    files_come_back("ext4");
}

#[test]
fn files_of_xfs_come_back() {
    files_come_back("xfs");
}

#[test]
fn files_of_btrfs_come_back() {
    files_come_back("btrfs");
}

#[test]
fn files_of_ntfs_come_back() {
    files_come_back("ntfs");
}

#[test]
fn permissions_owners_and_times_come_back() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
    let world = World::new();
    let image = world.path("disk.img");
    sparse(&image, 32 * MIB);
    run("mkfs.ext4", ["-q", text(&image)]);
    let folder = world.path("made");
    let mount = Mount::new(&["-o", "loop"], text(&image), &folder);
    let (secret, closed, link) = (folder.join("secret"), folder.join("closed"), folder.join("link"));
    fs::write(&secret, "hidden").unwrap();
    chown(&secret, Some(1234), Some(5678)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("inner"), "x").unwrap();
    symlink("secret", &link).unwrap();
    lchown(&link, Some(77), Some(88)).unwrap();
    run("mkfifo", [text(&folder.join("pipe"))]);
    run("touch", ["-d", "2001-02-03 04:05:06 UTC", text(&secret), text(&closed)]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    drop(mount);
    world.protect(text(&image));
    let said = world.run(&["files", "get", "m", "/", "--to", "out"]);
    assert_eq!(said.status, Some(0), "a pipe is no damage: {said:?}");
    assert!(said.err.contains("a fifo is not copied"), "{said:?}");
    let about = |name: &str| fs::symlink_metadata(world.path("out").join(name)).unwrap();
    let secret = about("secret");
    assert_eq!((secret.uid(), secret.gid(), secret.mode() & 0o7777), (1234, 5678, 0o600));
    assert_eq!((secret.mtime(), about("closed").mtime()), (981_173_106, 981_173_106));
    assert_eq!(about("closed").mode() & 0o7777, 0o500);
    assert_eq!((about("link").uid(), about("link").gid()), (77, 88));
}

#[test]
fn a_disk_with_several_file_systems_is_asked_which() {
    let world = World::new();
    let (disk, part) = (world.path("disk.img"), world.path("part.img"));
    sparse(&disk, 40 * MIB);
    run_with_input("sfdisk", ["--quiet", text(&disk)], "label: gpt\nstart=2048, size=32768\nstart=34816, size=32768\n");
    for (label, start) in [("first", MIB), ("second", 17 * MIB)] {
        fs::create_dir_all(world.path("tree")).unwrap();
        fs::write(world.path("tree/label"), label).unwrap();
        sparse(&part, 16 * MIB);
        run("mkfs.ext4", ["-q", "-d", text(&world.path("tree")), text(&part)]);
        implant(&part, &disk, start);
    }
    world.protect(text(&disk));
    let sentence = world.refused(2, &["files", "ls", "m"]);
    assert!(sentence.contains("m:disk:1") && sentence.contains("m:disk:2"), "{sentence}");
    world.ok(&["files", "get", "m:disk:2", "/label", "--to", "label"]);
    assert_eq!(fs::read_to_string(world.path("label")).unwrap(), "second");
}
