//! Folders, disks and differences of points, judged by Debian's tar and curl; damaged data; restores into the server's own folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use backstay_env::real::disk::FileVolume;
use backstay_env::volume::Volume as _;
use backstay_format::rows::Consistency;
use backstay_server::Running;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Progress, Source, Verdict};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, logged_in, server, somebody};

/// A server with a machine `web` whose one disk is an image, and a token that reads it.
struct World {
    dir: tempfile::TempDir,
    running: Running,
    rita: Client,
    token: String,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let running = server(&dir.path().join("data"));
        let rita = somebody(&running, "rita", "restore-operator", "machine:web");
        let token = json!({ "name": "curl", "role": "restore-operator", "scope": "machine:web", "days": 1 });
        let (status, made) = rita.post("/api/v1/me/tokens", &token);
        assert_eq!(status, 201, "{made}");
        let token = made["token"].as_str().unwrap().to_owned();
        World { dir, running, rita, token }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the server anew: nothing that was read is in memory any more.
    fn restarted(self) -> World {
        let World { dir, running, token, .. } = self;
        drop(running);
        let running = Running::for_tests(&dir.path().join("data"));
        let rita = logged_in(&running, "rita");
        World { dir, running, rita, token }
    }

    fn protect(&self, image: &Path) {
        let volume = FileVolume::open(image).unwrap();
        let source = Source {
            name: "disk0".into(),
            origin: "image".into(),
            used: vec![0..volume.size()],
            volume: &volume,
            excluded: Vec::new(),
            exclusions: Vec::new(),
        };
        let capture = Capture {
            machine: "web",
            sources: vec![source],
            note: String::new(),
            verdict: &|| Verdict { consistency: Consistency::Still, stamps: vec![Vec::new()] },
            cancel: &AtomicBool::new(false),
            progress: &Progress::default(),
            promise: Promise::default(),
        };
        self.running.server().vault.protect(&capture).unwrap();
    }

    /// What curl gets.
    fn curl(&self, args: &[&str], path: &str) -> Output {
        let authority = self.path("data/ca/certificate.pem");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--cacert"]).arg(authority);
        curl.args(["--header", &format!("authorization: Bearer {}", self.token)]).args(args);
        let url = format!("https://localhost:{}/api/v1/machines/web/{path}", self.running.address().port());
        curl.arg(url).output().unwrap()
    }

    fn got(&self, args: &[&str], path: &str) -> Vec<u8> {
        let out = self.curl(args, path);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// An ext4 image of a folder.
fn image_of(tree: &Path, image: &Path) {
    let _ = fs::remove_file(image);
    run("mke2fs", &["-q", "-t", "ext4", "-d", text(tree), text(image), "48M"]);
}

/// A tree with everything that makes archives hard.
fn hard_tree(tree: &Path) {
    let folder = tree.join("home/a folder/ünïcode");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(tree.join("home/empty")).unwrap();
    for size in [0, 1, 511, 512, 513, 3 << 20] {
        fs::write(folder.join(format!("{size} bytes")), noise(size, size as u64)).unwrap();
    }
    let long = "a name that is long ".repeat(12);
    fs::create_dir_all(folder.join(&long)).unwrap();
    fs::write(folder.join(&long).join(&long), "deep").unwrap();
    symlink("../nowhere", folder.join("link")).unwrap();
    symlink("x/".repeat(150), folder.join("far")).unwrap();
    fs::hard_link(folder.join("513 bytes"), tree.join("home/the same")).unwrap();
    run("mkfifo", &[text(&tree.join("home/pipe"))]);
    run("mknod", &[text(&tree.join("home/null")), "c", "1", "3"]);
    run("chmod", &["4751", text(&folder.join("1 bytes"))]);
    run("chown", &["12345:3000000000", text(&folder.join("512 bytes"))]);
    run("touch", &["-d", "2001-02-03T04:05:06Z", text(&folder.join("512 bytes"))]);
    run("touch", &["-d", "1965-01-01T00:00:00Z", text(&folder.join("0 bytes"))]);
    fs::write(tree.join("home").join(std::ffi::OsString::from("plain")), "x").unwrap();
}

/// Every name below a folder with all that an archive keeps.
fn described(folder: &Path) -> String {
    let format = "%P|%y|%m|%U:%G|%n|%l|%Ts\\n";
    let listed = Command::new("find").arg(folder).args(["-mindepth", "1", "-printf", format]).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn folders_come_as_archives_that_tar_reads() {
    let world = World::new();
    let (tree, image, out) = (world.path("tree"), world.path("image"), world.path("out"));
    hard_tree(&tree);
    image_of(&tree, &image);
    world.protect(&image);
    let archive = world.path("home.tar");
    let head = world.path("head");
    let saved = ["--output", text(&archive), "--dump-header", text(&head)];
    world.got(&saved, "points/1/archive?path=/home");
    let head = fs::read_to_string(&head).unwrap().to_lowercase();
    assert!(head.contains("content-type: application/x-tar") && head.contains("utf-8''home.tar"), "{head}");
    fs::create_dir(&out).unwrap();
    run("tar", &["--extract", "--preserve-permissions", "--numeric-owner", "-f", text(&archive), "-C", text(&out)]);
    assert_eq!(described(&out.join("home")), described(&tree.join("home")));
    let specials = ["--exclude=pipe", "--exclude=null"];
    let both = [text(&out.join("home")).to_owned(), text(&tree.join("home")).to_owned()];
    run("diff", &[&["-r", "--no-dereference"], &specials[..], &[&both[0], &both[1]]].concat());
    // One file, and the top.
    world.got(&["--output", text(&archive)], "points/1/archive?path=/home/the%20same");
    assert_eq!(run("tar", &["-tf", text(&archive)]), "the same\n");
    world.got(&["--output", text(&archive)], "points/1/archive");
    let listed = run("tar", &["-tf", text(&archive)]);
    assert!(listed.contains("home/empty/\n") && listed.contains("lost+found/\n"), "{listed}");
    assert_eq!(world.rita.get("/api/v1/machines/web/points/1/archive?path=/nothing").0, 404);
    assert_eq!(world.rita.get("/api/v1/machines/web/points/1/archive?path=/home/pipe").0, 400);
}

#[test]
fn disks_come_whole_and_by_ranges() {
    let world = World::new();
    let (tree, image) = (world.path("tree"), world.path("image"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("data"), noise(5 << 20, 3)).unwrap();
    image_of(&tree, &image);
    world.protect(&image);
    let bytes = fs::read(&image).unwrap();
    let disk = "points/1/disk/disk0";
    assert!(world.got(&[], disk) == bytes);
    for (range, expected) in [
        ("0-0", 0..1),
        ("1000-", 1000..bytes.len()),
        ("-4097", bytes.len() - 4097..bytes.len()),
        ("1048575-9437184", 1_048_575..9_437_185),
        ("4096-999999999999", 4096..bytes.len()),
    ] {
        assert!(world.got(&["--range", range], disk) == bytes[expected], "{range}");
    }
    // Interrupted and gone on with, as people do.
    let part = world.path("part");
    fs::write(&part, &bytes[..7_000_001]).unwrap();
    world.got(&["--continue-at", "-", "--output", text(&part)], disk);
    assert!(fs::read(&part).unwrap() == bytes);
    let ask = |name: &'static str, value: &str| {
        let request = world.rita.request(Method::GET, &format!("/api/v1/machines/web/{disk}")).header(name, value);
        request.header("range", "bytes=0-9").send().unwrap()
    };
    let some = ask("x-other", "1");
    assert_eq!((some.status().as_u16(), some.headers()["accept-ranges"].to_str().unwrap()), (206, "bytes"));
    assert_eq!(some.headers()["content-range"], format!("bytes 0-9/{}", bytes.len()));
    let tag = some.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(ask("if-range", &tag).status(), 206);
    assert_eq!(ask("if-range", "\"another\"").status(), 200);
    let beyond = world.rita.request(Method::GET, &format!("/api/v1/machines/web/{disk}"));
    let beyond = beyond.header("range", format!("bytes={}-", bytes.len())).send().unwrap();
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", bytes.len()));
    let (_, map) = world.rita.get(&format!("/api/v1/machines/web/{disk}/map"));
    assert_eq!((&map["bytes"], &map["until"]), (&json!(bytes.len()), &json!(bytes.len())));
    let mut rest = bytes;
    for range in map["data"].as_array().unwrap() {
        let at = |name: &str| range[name].as_u64().unwrap() as usize;
        rest[at("offset")..at("offset") + at("bytes")].fill(0);
    }
    assert!(rest.iter().all(|byte| *byte == 0), "what the map leaves out is zeros");
    assert_eq!(world.rita.get("/api/v1/machines/web/points/1/disk/nothing").0, 404);
}

#[test]
fn two_points_are_compared_and_names_found() {
    let world = World::new();
    let (tree, image) = (world.path("tree"), world.path("image"));
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::create_dir_all(tree.join("goes")).unwrap();
    for name in ["a/same", "a/b/longer", "a/b/touched", "goes/with it"] {
        fs::write(tree.join(name), "one").unwrap();
    }
    symlink("one", tree.join("a/link")).unwrap();
    image_of(&tree, &image);
    world.protect(&image);
    // In the image itself, so that what stays the same stays the same in all that is kept of it.
    let requests = world.path("requests");
    fs::write(tree.join("new"), "longer than it was").unwrap();
    let words = [
        "rm \"/goes/with it\"".to_owned(),
        "rmdir /goes".to_owned(),
        format!("write {} /a/new", text(&tree.join("new"))),
        "rm /a/b/longer".to_owned(),
        format!("write {} /a/b/longer", text(&tree.join("new"))),
        "set_inode_field /a/b/touched mtime 20200101".to_owned(),
        "rm /a/link".to_owned(),
        "symlink /a/link two".to_owned(),
    ];
    fs::write(&requests, words.join("\n")).unwrap();
    run("debugfs", &["-w", "-f", text(&requests), text(&image)]);
    world.protect(&image);
    let (status, found) = world.rita.get("/api/v1/machines/web/compare?from=1&to=2");
    assert_eq!((status, &found["cut"], &found["unreadable"]), (200, &json!(false), &json!([])), "{found}");
    let mut changes: Vec<(&str, &str)> = found["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["path"].as_str().unwrap(), change["kind"].as_str().unwrap()))
        .collect();
    changes.sort_unstable();
    let expected = [
        ("/a/b/longer", "changed"),
        ("/a/b/touched", "changed"),
        ("/a/link", "changed"),
        ("/a/new", "added"),
        ("/goes", "removed"),
    ];
    assert_eq!(changes, expected, "{found}");
    let longer = found["changes"].as_array().unwrap().iter().find(|change| change["path"] == "/a/b/longer").unwrap();
    assert_eq!((&longer["before"]["bytes"], &longer["after"]["bytes"]), (&json!(3), &json!(18)));
    let (_, back) = world.rita.get("/api/v1/machines/web/compare?from=2&to=1&path=/a/b");
    assert_eq!(back["changes"].as_array().unwrap().len(), 2, "{back}");
    assert_eq!(world.rita.get("/api/v1/machines/web/compare?from=1&to=1").1["changes"], json!([]));
    assert_eq!(world.rita.get("/api/v1/machines/web/compare?from=1&to=9").0, 404);
    let (_, names) = world.rita.get("/api/v1/machines/web/points/2/find?path=/a&pattern=l*");
    assert_eq!(names, json!({ "paths": ["/a/b/longer", "/a/link"], "unreadable": [], "cut": false }));
}

/// Flips bits all over the largest pack, but for both of its ends.
fn spoil(store: &Path) {
    let listed = run("find", &[text(store), "-path", "*/pack/*", "-type", "f", "-printf", "%s %p\\n"]);
    let largest =
        listed.lines().filter_map(|line| line.split_once(' ')).max_by_key(|(size, _)| size.parse::<u64>().ok());
    let (size, path) = largest.unwrap();
    let mut bytes = fs::read(path).unwrap();
    let size: usize = size.parse().unwrap();
    (size / 3..size / 2).step_by(100_000).for_each(|at| bytes[at] ^= 1);
    fs::write(path, bytes).unwrap();
}

#[test]
fn of_damaged_data_comes_what_is_whole_and_then_nothing() {
    let world = World::new();
    let (tree, image) = (world.path("tree"), world.path("image"));
    fs::create_dir(&tree).unwrap();
    // Each is read whole before its header is written: one that is damaged is left out, and those behind it come.
    for name in 0..30 {
        fs::write(tree.join(format!("file{name:02}")), noise(600_000, 2 * name + 1)).unwrap();
    }
    image_of(&tree, &image);
    world.protect(&image);
    let world = world.restarted();
    spoil(&world.path("data/store"));
    let archive = world.path("some.tar");
    let out = world.curl(&["--output", text(&archive)], "points/1/archive");
    assert!(!out.status.success(), "an archive that lacks something must not seem whole");
    let dir = world.path("out");
    fs::create_dir(&dir).unwrap();
    // It is cut off only where its end would be.
    drop(Command::new("tar").args(["-xf", text(&archive), "-C", text(&dir)]).output().unwrap());
    let same = |name: &String| fs::read(dir.join(name)).is_ok_and(|bytes| bytes == fs::read(tree.join(name)).unwrap());
    let whole = (0..30).map(|n| format!("file{n:02}")).filter(same).count();
    assert!((15..30).contains(&whole), "{whole}");
    assert!(fs::read_to_string(dir.join("NOT-IN-THIS-ARCHIVE.txt")).unwrap().starts_with("file"));
    let disk = world.path("disk");
    let out = world.curl(&["--output", text(&disk)], "points/1/disk/disk0");
    let (got, bytes) = (fs::read(&disk).unwrap(), fs::read(&image).unwrap());
    assert!(!out.status.success() && got.len() < bytes.len() && bytes.starts_with(&got));
    let comes = |n: &u32| {
        let file = format!("points/1/file?path=/file{n:02}");
        world.curl(&["--output", "/dev/null", "--fail"], &file).status.success()
    };
    assert_eq!((0..30).filter(comes).count(), whole);
    let admin = logged_in(&world.running, "admin");
    let (_, alerts) = admin.get("/api/v1/alerts");
    let alert = alerts.as_array().unwrap().iter().find(|alert| alert["kind"] == "damaged").unwrap();
    assert_eq!(alert["subject"], "web");
    assert!(alert["text"].as_str().unwrap().starts_with("point 1: "), "{alert}");
}

#[test]
fn who_takes_nothing_holds_only_a_seat() {
    let world = World::new();
    let (tree, image) = (world.path("tree"), world.path("image"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("data"), noise(20 << 20, 3)).unwrap();
    image_of(&tree, &image);
    world.protect(&image);
    let slow = || world.rita.request(Method::GET, "/api/v1/machines/web/points/1/archive").send().unwrap();
    let held: Vec<_> = (0..32).map(|_| slow()).collect();
    assert!(held.iter().all(|answer| answer.status() == 200));
    assert_eq!(slow().status(), 429, "there are so many seats and no more");
    assert_eq!(world.rita.get("/api/v1/machines/web/points").0, 200);
    drop(held);
    let patience = Instant::now() + Duration::from_secs(60);
    while slow().status() != 200 {
        assert!(Instant::now() < patience, "seats come free when those who had them go");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn disks_are_restored_to_the_folder_of_the_server() {
    let world = World::new();
    let (tree, image) = (world.path("tree"), world.path("image"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("data"), noise(5 << 20, 3)).unwrap();
    image_of(&tree, &image);
    world.protect(&image);
    let olga = somebody(&world.running, "olga", "operator", "all");
    let ask = |to: &str, delta: bool| json!({ "machine": "web", "point": 1, "to": to, "delta": delta });
    let restore = |to: &str, delta: bool| -> Value {
        let (status, started) = world.rita.post("/api/v1/restores", &ask(to, delta));
        assert_eq!(status, 202, "{started}");
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, job) = olga.get(&format!("/api/v1/jobs/{}", started["id"]));
            if job["state"] != "running" {
                return job;
            }
            assert!(Instant::now() < patience, "{job}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let job = restore("web.img", false);
    assert_eq!((&job["state"], &job["work"]["kind"], &job["by"]), (&json!("done"), &json!("restore"), &json!("rita")));
    let restored = world.path("data/restores/web.img");
    assert!(fs::read(&restored).unwrap() == fs::read(&image).unwrap());
    let mut changed = fs::read(&restored).unwrap();
    changed[3 << 20] ^= 1;
    fs::write(&restored, changed).unwrap();
    let job = restore("web.img", true);
    let bytes = |what: &str| job["result"][what].as_u64().unwrap();
    assert_eq!(bytes("written_bytes") + bytes("zeroed_bytes"), 4096, "{job}");
    assert!(fs::read(&restored).unwrap() == fs::read(&image).unwrap());
    let refused = |body: &Value| world.rita.post("/api/v1/restores", body).0;
    assert_eq!(
        (refused(&ask("web.img", false)), refused(&ask("../x", false)), refused(&ask("none", true))),
        (409, 400, 400)
    );
    let mut other = ask("x", false);
    other["machine"] = json!("mail");
    assert_eq!(refused(&other), 403, "a machine that is not in the scope");
    assert_eq!(olga.post("/api/v1/restores", &ask("x", false)).0, 403, "operators read nothing");
    let mut work = ask("x", false);
    work["kind"] = json!("restore");
    assert_eq!(olga.post("/api/v1/jobs", &work).0, 400, "nor by a way around");
    let due = json!({ "work": work, "every_seconds": 3600 });
    assert_eq!(
        logged_in(&world.running, "admin").request(Method::PUT, "/api/v1/calendar").json(&due).send().unwrap().status(),
        400
    );
}
