//! Bad input: one sentence that names the thing and what to do, the right exit status, and nothing changed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;
const NOISE: u64 = 11;

/// A store with one point of a small image, and the image.
fn with_a_point() -> (World, std::path::PathBuf) {
    let world = World::new();
    let image = world.path("web.img");
    noisy_image(&image, 3 * MIB, NOISE);
    world.protect(text(&image));
    (world, image)
}

/// Every one of these is a command that fails with a status, and words of its sentence.
fn check(world: &World, cases: &[(i32, &[&str], &[&str])]) {
    for (status, args, words) in cases {
        let sentence = world.refused(*status, args);
        words.iter().for_each(|w| assert!(sentence.contains(w), "{args:?}: no {w:?} in {sentence:?}"));
    }
}

/// A command line with one option more.
fn with<'a>(args: &[&'a str], option: &'a str, value: &'a Path) -> Vec<&'a str> {
    [args, &[option, text(value)]].concat()
}

#[test]
fn a_command_line_that_makes_no_sense() {
    let (world, image) = with_a_point();
    let image = text(&image);
    check(
        &world,
        &[
            (2, &["bogus"], &["bogus", "--help"]),
            (2, &["protect"], &["<SOURCE>", "--help"]),
            (2, &["protect", image, "--once", "--every", "5s"], &["--once", "--every"]),
            (2, &["protect", image, "--every", "soon"], &["soon", "10s"]),
            (2, &["protect", image, "--every", "0s"], &["0s", "1s"]),
            (2, &["protect", image, "--every=-5s"], &["-5s"]),
            (2, &["protect", image, "--machine", "a/b", "--once"], &["a/b", "no /"]),
            (2, &["protect", image, "--machine", "a:b", "--once"], &["a:b", "no :"]),
            (2, &["protect", image, "--machine", "", "--once"], &["name"]),
            (2, &["restore", "m", "--at", "yesterdayish", "--to", "x"], &["yesterdayish", "5 minutes ago"]),
            (2, &["show", "m:web:x"], &["m:web:x", "MACHINE:DISK:PARTITION"]),
            (2, &["show", "m", "--vault", "A b"], &["A b", "a-z"]),
            (2, &["forget", "m"], &["--keep-all", "--point"]),
            (2, &["forget", "m", "--point", "7"], &["7", "backstay points"]),
            (2, &["forget", "m", "--point", "1", "--keep-all", "1h"], &["--point", "--keep-all"]),
            (2, &["serve", "m", "--listen", "nonsense"], &["nonsense", "HOST:PORT"]),
            (2, &["key", "remove", "x"], &["'x'", "not a number"]),
            (2, &["key", "remove", "9"], &["9", "backstay key list"]),
            (2, &["machines", "--store", "https://example.org/x"], &["https://example.org/x", "s3://"]),
            (2, &["init", "ftp://example.org/x"], &["ftp://example.org/x", "s3://"]),
            (2, &["init", ""], &["folder"]),
            (2, &["machines", "--store", ""], &["--store", "BACKSTAY_STORE"]),
        ],
    );
    let bare = world.run(&[]);
    assert_eq!(bare.status, Some(2));
    assert!(bare.err.contains("Usage: backstay") && bare.out.is_empty(), "{bare:?}");
}

#[test]
fn what_is_not_there() {
    let (world, _) = with_a_point();
    check(
        &world,
        &[
            (1, &["protect", "nowhere.img", "--once"], &["nowhere.img"]),
            (1, &["protect", text(world.dir.path()), "--once"], &["folder", "block device or an image file"]),
            (1, &["protect", "/dev/null", "--once"], &["/dev/null", "image file"]),
            (1, &["points", "other"], &["other", "backstay machines"]),
            (1, &["points", "m:web"], &["m:web", "backstay machines"]),
            (1, &["show", "other"], &["other", "backstay machines"]),
            (1, &["show", "m", "--at", "2001-01-01T00:00:00Z"], &["m", "backstay points"]),
            (1, &["show", "m", "--at", "2001-01-01 00:00:00"], &["m", "backstay points"]),
            (1, &["restore", "m", "--at", "1000 hours ago", "--to", "x"], &["m", "backstay points"]),
            (1, &["restore", "m:sdz", "--to", "x"], &["sdz", "it has m:web"]),
            (2, &["show", "m:web:1"], &["no partition 1", "no partition table"]),
            (2, &["restore", "m:web:3", "--to", "x"], &["3", "backstay show"]),
            (1, &["restore", "m", "--to", "no/such/folder/x.img"], &["no/such/folder/x.img", "folder"]),
            (2, &["restore", "m", "--to", "new.img", "--delta"], &["new.img", "--delta"]),
            (1, &["files", "ls", "m"], &["m", "backstay show"]),
            (1, &["mount", "m", "no/such/folder"], &["no/such/folder", "make it first"]),
            (1, &["machines", "--vault", "other"], &["other", "--vault"]),
            (1, &["serve", "m", "--listen", "unix:no/such/folder/s"], &["no/such/folder/s"]),
            (4, &["serve", "m", "--listen", "0.0.0.0:0"], &["0.0.0.0", "encryption", "--allow-plain"]),
        ],
    );
    assert!(!world.path("x").exists() && !world.path("new.img").exists());
    // An error is an error with --json too, and standard output stays empty.
    let said = world.run(&["show", "other", "--json"]);
    assert_eq!(said.out, "");
    assert!(sentence(1, &said).contains("other"));
}

#[test]
fn a_store_that_is_not_one() {
    let (world, image) = with_a_point();
    let (image, empty, full) = (text(&image), world.path("empty"), world.path("full"));
    let nowhere = world.path("nowhere");
    fs::create_dir(&empty).unwrap();
    // Somebody's folder, which happens to have a `.tmp` as a store has.
    fs::create_dir_all(full.join(".tmp")).unwrap();
    let precious = full.join(".tmp/0123456789abcdef0123456789abcdef");
    fs::write(&precious, "precious").unwrap();
    fs::write(full.join("letter"), "precious").unwrap();
    let odd = world.path("odd");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("backstay.store"), Numbers(1).bytes(8192)).unwrap();
    for args in [&["machines"][..], &["check"], &["restore", "m", "--to", "x"], &["protect", image, "--once"]] {
        let with = |store| with(args, "--store", store);
        let sentence = world.refused(1, &with(&nowhere));
        assert!(sentence.contains("nowhere") && sentence.contains("backstay init"), "{sentence}");
        for folder in [&empty, &full] {
            let sentence = world.refused(1, &with(folder));
            assert!(sentence.contains(text(folder)) && sentence.contains("backstay init"), "{sentence}");
        }
        let sentence = world.refused(1, &with(Path::new(image)));
        assert!(sentence.contains("not a folder") && sentence.contains("--store"), "{sentence}");
        let sentence = world.refused(1, &with(&odd));
        assert!(sentence.contains("not a store") && sentence.contains(text(&odd)), "{sentence}");
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "nothing was made");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert!(!world.path("nowhere").exists() && !world.path("x").exists());

    // Places where no store can be made.
    let store = text(&world.store);
    let folder = text(&full);
    let missing = world.path("passphrase-that-is-not-there");
    check(
        &world,
        &[
            (4, &["init", store], &[store, "already"]),
            (4, &["init", folder], &[folder, "not empty"]),
            (1, &["init", image], &[image, "not a folder", "new one"]),
            (2, &["init", "new", "--vault", "no/name"], &["no/name", "a-z"]),
            (1, &["init", "new", "--passphrase-file", text(&missing)], &[text(&missing)]),
        ],
    );
    assert!(!world.path("new").exists());
}

/// The header as a newer Backstay would write it: with a right digest of its own.
#[test]
fn a_store_of_a_newer_version() {
    let (world, image) = with_a_point();
    let header = world.store.join("backstay.store");
    let mut bytes = fs::read(&header).unwrap();
    let half = bytes.len().div_ceil(2).next_multiple_of(4096);
    for start in [0, half] {
        let len = u64::from_le_bytes(bytes[start + 32..start + 40].try_into().unwrap()) as usize;
        bytes[start + 8..start + 12].copy_from_slice(&2u32.to_le_bytes());
        let (head, payload) = (&bytes[start..start + 40], &bytes[start + 72..start + 72 + len]);
        let digest = backstay_format::units::Digest::of(&[head, payload]);
        bytes[start + 40..start + 72].copy_from_slice(&digest.0);
    }
    fs::write(&header, bytes).unwrap();
    for args in [&["machines"][..], &["check"], &["protect", text(&image), "--once"], &["key", "list"]] {
        let sentence = world.refused(1, args);
        assert!(sentence.contains("version 2") && sentence.contains("newer Backstay"), "{sentence}");
        assert!(!sentence.contains("damage"), "{sentence}");
    }
}

#[test]
fn a_passphrase_that_does_not_open_it() {
    let (world, image) = with_a_point();
    let (wrong, empty, nowhere) = (world.path("wrong"), world.path("empty"), world.path("nowhere"));
    fs::write(&wrong, "correct hors\n").unwrap();
    fs::write(&empty, "\ncorrect horse\n").unwrap();
    for args in [&["machines"][..], &["protect", text(&image), "--once"], &["forget", "m", "--point", "1", "--yes"]] {
        let with = |file| with(args, "--passphrase-file", file);
        let sentence = world.refused(4, &with(&wrong));
        assert!(sentence.contains("passphrase") && sentence.contains(text(&world.store)), "{sentence}");
        let sentence = world.refused(2, &with(&empty));
        assert!(sentence.contains(text(&empty)) && sentence.contains("empty"), "{sentence}");
        let sentence = world.refused(1, &with(&nowhere));
        assert!(sentence.contains("nowhere"), "{sentence}");
    }
    // Nobody to ask: no file, and no terminal.
    let mut command = std::process::Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_backstay"), "machines"]);
    command.env("BACKSTAY_STORE", &world.store).env_remove("BACKSTAY_PASSPHRASE_FILE").current_dir(world.dir.path());
    let sentence = world.refused_by(2, command.stdin(std::process::Stdio::null()));
    assert!(sentence.contains("--passphrase-file") && sentence.contains("BACKSTAY_PASSPHRASE_FILE"), "{sentence}");
}

#[test]
fn a_store_that_cannot_be_written() {
    let (mut world, image) = with_a_point();
    let out = world.path("out.img");
    // Mounted read-only: even root cannot write it.
    let bound = world.path("bound");
    let _mount = Mount::new(&["--bind"], text(&world.store), &bound);
    run("mount", ["-o", "remount,bind,ro", text(&bound)]);
    world.store = bound;
    check(
        &world,
        &[
            (4, &["protect", text(&image), "--machine", "n", "--once"], &["not permitted", "rights", "read-only"]),
            (4, &["forget", "m", "--point", "1", "--yes"], &["not permitted", "rights"]),
            (4, &["key", "add", "--new-passphrase-file", "passphrase"], &["not permitted", "rights"]),
        ],
    );
    // What needs no writing works.
    assert_eq!(world.points().len(), 1);
    world.ok(&["restore", "m", "--to", text(&out)]);
    assert_same(&out, &image);
    world.assert_clean();
}

#[test]
fn a_store_that_is_not_ours_to_read() {
    let (world, image) = with_a_point();
    fs::set_permissions(world.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path("passphrase"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    // Somebody else, who may neither read the store nor write the folder.
    let binary = world.path("backstay");
    // By another process: were it open for writing here, a program that another test starts meanwhile would keep it busy.
    run("cp", [env!("CARGO_BIN_EXE_backstay"), text(&binary)]);
    let as_nobody = |args: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command.args(args).uid(65534).gid(65534).env("BACKSTAY_STORE", &world.store);
        command.env("BACKSTAY_PASSPHRASE_FILE", world.path("passphrase")).current_dir(world.dir.path());
        command.stdin(std::process::Stdio::null());
        command
    };
    let sentence = world.refused_by(4, &mut as_nobody(&["machines"]));
    assert!(sentence.contains("not permitted") && sentence.contains(text(&world.store)), "{sentence}");
    let mine = world.path("mine");
    let sentence = world.refused_by(4, &mut as_nobody(&["init", text(&mine)]));
    assert!(sentence.contains("not permitted") && sentence.contains(text(&mine)), "{sentence}");
    fs::set_permissions(&image, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let sentence = world.refused_by(4, &mut as_nobody(&["protect", text(&image), "--once"]));
    assert!(sentence.contains("not permitted") && sentence.contains(text(&image)), "{sentence}");
}

#[test]
fn a_source_that_holds_the_store() {
    let outer = World::without_store();
    let disk = outer.path("disk.img");
    sparse(&disk, 64 * MIB);
    run("mkfs.ext4", ["-q", text(&disk)]);
    let device = Loop::new(&disk, 512);
    let mount = Mount::new(&[], device.path(), &outer.path("mounted"));
    let world = World::with_store_in(&outer.path("mounted"));
    let image = world.path("web.img");
    noisy_image(&image, 3 * MIB, NOISE);
    world.protect(text(&image));
    let device_path = device.path();
    check(
        &world,
        &[
            (4, &["protect", device_path, "--once"], &[device_path, "holds the store", "another disk"]),
            (4, &["protect", text(&disk), "--once"], &[text(&disk), "holds the store"]),
            (4, &["restore", "m", "--to", device_path, "--yes"], &[device_path, "holds the store", "another target"]),
            (4, &["restore", "m", "--to", text(&disk), "--yes"], &[text(&disk), "holds the store"]),
        ],
    );
    world.assert_restores("latest", &image);
    drop(world);
    drop(mount);
}

#[test]
fn a_target_that_must_not_be_written() {
    let (world, image) = with_a_point();
    let small = world.path("small.img");
    sparse(&small, 2 * MIB);
    let device = Loop::new(&small, 512);
    let sentence = world.refused(4, &["restore", "m", "--to", device.path(), "--yes"]);
    assert!(
        sentence.contains(device.path()) && sentence.contains("3.0 MiB") && sentence.contains("larger"),
        "{sentence}"
    );
    assert_eq!(sum(&small), sum_of_zeros(&world, 2 * MIB), "nothing was written");

    // A file system in use.
    let disk = world.path("disk.img");
    sparse(&disk, 16 * MIB);
    run("mkfs.ext4", ["-q", text(&disk)]);
    let held = Loop::new(&disk, 512);
    let mount = Mount::new(&[], held.path(), &world.path("mounted"));
    run("sync", [] as [&str; 0]);
    let before = sum(&disk);
    let inside = world.store.join("vault/new.img");
    let a_pack_or_so = content(&world.store).into_keys().find(|name| name.contains("/pack/")).unwrap();
    check(
        &world,
        &[
            (4, &["restore", "m", "--to", held.path(), "--yes"], &[held.path(), "mounted", "unmount"]),
            (4, &["restore", "m", "--to", text(&disk), "--yes"], &[text(&disk), "mounted", "unmount"]),
            (4, &["restore", "m", "--to", text(&inside), "--yes"], &["inside the store", "another target"]),
            (4, &["restore", "m", "--to", &a_pack_or_so, "--yes"], &["inside the store", "another target"]),
            (4, &["restore", "m", "--to", text(&image)], &[text(&image), "overwritten", "--yes"]),
            (1, &["restore", "m", "--to", text(world.dir.path()), "--yes"], &["folder"]),
            (1, &["restore", "m", "--to", "/dev/null", "--yes"], &["/dev/null"]),
        ],
    );
    assert_eq!(sum(&disk), before, "nothing was written");
    drop(mount);

    // The source itself is a target like others: back in place, when that is what was asked for.
    poke(&image, 5000, b"to be undone");
    world.ok(&["restore", "m", "--to", text(&image), "--yes", "--delta"]);
    let kept = world.path("kept.img");
    noisy_image(&kept, 3 * MIB, NOISE);
    assert_same(&image, &kept);
}

#[test]
fn a_place_where_the_kernel_does_not_tell_what_lies_on_what() {
    let (world, image) = with_a_point();
    let before = sum(&image);
    // In a mount namespace of its own, with nothing below /proc or /sys, as in a bare chroot.
    let without = |place: &str, args: &[&str]| {
        let inner = world.command(args);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount -t tmpfs none \"$0\" && exec \"$@\"", place]);
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        world.refused_by(1, command.stdin(Stdio::null()))
    };
    for place in ["/proc", "/sys"] {
        for args in [&["protect", text(&image), "--once"][..], &["restore", "m", "--to", text(&image), "--yes"]] {
            let sentence = without(place, args);
            assert!(sentence.contains(&format!("mount {place}")), "{args:?}: {sentence}");
            assert!(!sentence.contains(text(&world.store)), "what is there is not said to be missing: {sentence}");
        }
    }
    assert_eq!(sum(&image), before, "nothing was written");
}

fn sum_of_zeros(world: &World, size: u64) -> u64 {
    let zeros = world.path("zeros");
    sparse(&zeros, size);
    sum(&zeros)
}

#[test]
fn two_sources_of_one_name() {
    let (world, image) = with_a_point();
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    copy(&image, &other.join("web.raw"));
    let sources = [text(&image), text(&other.join("web.raw"))].map(str::to_owned);
    let sentence = world.refused(2, &["protect", &sources[0], &sources[1], "--machine", "m", "--once"]);
    assert!(sentence.contains("web") && sentence.contains("another name"), "{sentence}");
}
