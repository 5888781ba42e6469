//! Files of every kind that XFS keeps differently.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::{Random, run};

/// Fills a mounted file system; `entries` names go into one directory.
pub(crate) fn everything(at: &Path, entries: usize, reflink: bool) {
    directories(at, entries);
    files(at);
    odd_nodes(at);
    if reflink {
        clones(at);
    }
}

fn directories(at: &Path, entries: usize) {
    fs::create_dir(at.join("empty")).unwrap();
    for (name, count) in [("short", 3), ("block", 40), ("leaf", 400), ("large", entries)] {
        let dir = at.join(name);
        fs::create_dir(&dir).unwrap();
        for i in 0..count {
            File::create(dir.join(format!("entry number {i} of {name}"))).unwrap();
        }
        for i in (0..count).step_by(3).take(count / 2) {
            fs::remove_file(dir.join(format!("entry number {i} of {name}"))).unwrap();
        }
        fs::create_dir(dir.join("directory")).unwrap();
        symlink("entry number 1", dir.join("link")).unwrap();
    }
    let odd = at.join("odd names");
    fs::create_dir(&odd).unwrap();
    for name in ["a".repeat(255).as_str(), "ä ö ü", "new\nline", "...", "a\u{1}b", "-rf"] {
        fs::write(odd.join(name), name).unwrap();
    }
    let mut deep = at.to_path_buf();
    for i in 0..30 {
        deep.push(format!("level {i}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "down here").unwrap();
}

fn files(at: &Path) {
    let mut random = Random(7);
    let dir = at.join("files");
    fs::create_dir(&dir).unwrap();
    for len in [0, 1, 511, 512, 4095, 4096, 4097, 70_000, 3_000_001] {
        fs::write(dir.join(format!("of {len}")), random.bytes(len)).unwrap();
    }
    let sparse = File::create(dir.join("sparse")).unwrap();
    for at in [0, 5_000, 1 << 20, 3 << 30, (1 << 31) + 77] {
        sparse.write_all_at(&random.bytes(9_000), at).unwrap();
        sparse.sync_data().unwrap();
    }
    sparse.set_len(3 << 20).unwrap();
    sparse.set_len(9 << 20).unwrap();
    fragmented(&dir.join("fragmented"), 900, &mut random);
    fragmented(&dir.join("less fragmented"), 12, &mut random);
    preallocated(&dir, &mut random);
    fs::write(dir.join("attributed"), "with attributes").unwrap();
    let attributed = dir.join("attributed");
    run("setfattr", &["-n", "user.comment", "-v", &"x".repeat(60), attributed.to_str().unwrap()]);
    fs::hard_link(dir.join("of 4097"), at.join("second name")).unwrap();
}

/// A file whose every second block of 4 KiB is a hole.
fn fragmented(path: &Path, holes: u64, random: &mut Random) {
    fs::write(path, random.bytes(holes as usize * 8192 + 5)).unwrap();
    let mut args = Vec::new();
    for i in 0..holes {
        args.extend(["-c".to_string(), format!("fpunch {} 4096", i * 8192)]);
    }
    args.push(path.to_str().unwrap().into());
    run("xfs_io", &args.iter().map(String::as_str).collect::<Vec<_>>());
}

fn preallocated(dir: &Path, random: &mut Random) {
    let path = dir.join("preallocated");
    run("fallocate", &["-l", "1M", path.to_str().unwrap()]);
    let file = File::options().write(true).open(&path).unwrap();
    for at in [0, 40_000, 200_001, (1 << 20) - 10] {
        file.write_all_at(&random.bytes(10), at).unwrap();
    }
    let beyond = dir.join("preallocated past its end");
    fs::write(&beyond, random.bytes(6000)).unwrap();
    run("fallocate", &["-n", "-o", "6000", "-l", "300000", beyond.to_str().unwrap()]);
}

fn odd_nodes(at: &Path) {
    let dir = at.join("nodes");
    fs::create_dir(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_string();
    run("mknod", &[&path("char"), "c", "4", "64"]);
    run("mknod", &[&path("block"), "b", "259", "70000"]);
    run("mknod", &[&path("fifo"), "p"]);
    UnixListener::bind(path("socket")).unwrap();
    for len in [1, 100, 300, 600, 1023] {
        symlink("t".repeat(len), path(&format!("link of {len}"))).unwrap();
    }
    fs::write(path("owned"), "owned").unwrap();
    chown(path("owned"), Some(70_000), Some(1_000_000)).unwrap();
    fs::set_permissions(path("owned"), fs::Permissions::from_mode(0o6751)).unwrap();
    for (name, date) in [("old", "1931-02-03 04:05:06.789 UTC"), ("young", "2037-12-31 23:59:59.999999999 UTC")] {
        fs::write(path(name), name).unwrap();
        run("touch", &["-d", date, &path(name)]);
    }
}

fn clones(at: &Path) {
    let from = at.join("files/fragmented");
    let clone = at.join("clone");
    run("cp", &["--reflink=always", from.to_str().unwrap(), clone.to_str().unwrap()]);
    let file = File::options().write(true).open(&clone).unwrap();
    for i in 0..40 {
        file.write_all_at(b"changed after cloning", i * 50_000).unwrap();
    }
    file.sync_all().unwrap();
}
