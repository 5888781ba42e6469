//! Images that were unmounted cleanly, compared with the kernel's own reading.

use std::fs;

use crate::populate::everything;
use crate::support::{Image, compare, content, run};
use backstay_items::tree::{FileTree, NodeKind, TreeError};

fn check(mib: u64, options: &[&str], entries: usize, reflink: bool) {
    let image = Image::make(mib, options);
    let mount = image.mount("rw");
    everything(&mount.at, entries, reflink);
    drop(mount);
    let mount = image.mount("ro,norecovery");
    let tree = image.open();
    let nodes = compare(&tree, &mount.at);
    assert!(nodes > entries / 2, "only {nodes} compared");
}

#[test]
fn as_debian_makes_it() {
    check(320, &["-L", "twelve bytes"], 20_000, true);
}

#[test]
fn small_blocks() {
    check(320, &["-b", "size=1024"], 5_000, true);
}

#[test]
fn large_directory_blocks() {
    check(320, &["-n", "size=8192"], 5_000, true);
}

#[test]
fn largest_directory_blocks_on_small_blocks() {
    check(320, &["-b", "size=1024", "-n", "size=65536"], 5_000, true);
}

#[test]
fn without_the_newer_features() {
    let options = ["-m", "bigtime=0,reflink=0,finobt=0,inobtcount=0", "-i", "sparse=0"];
    check(320, &options, 2_000, false);
}

#[test]
fn with_every_feature() {
    check(320, &["-m", "rmapbt=1", "-i", "sparse=1,nrext64=1,size=2048", "-d", "agcount=7"], 5_000, true);
}

#[test]
fn large_sectors() {
    check(320, &["-s", "size=4096", "-d", "agcount=1"], 500, true);
}

#[test]
fn fragmented_directory_blocks() {
    let image = Image::make(64, &["-b", "size=1024", "-n", "size=16384", "-d", "agcount=1"]);
    let mount = image.mount("rw");
    fragment_free_space(&mount.at);
    links(&mount.at, 0..10_000);
    let map = run("xfs_bmap", &[mount.at.join("large").to_str().unwrap()]);
    assert!(map.lines().count() > 30, "the directory is not fragmented: {map}");
    drop(mount);
    let mount = image.mount("ro,norecovery");
    compare(&image.open(), &mount.at);
}

/// Leaves free space only in pieces too small for a directory block.
pub(crate) fn fragment_free_space(at: &std::path::Path) {
    let path = |name: &str| at.join(name).to_str().unwrap().to_string();
    run("xfs_io", &["-x", "-c", "resblks 100", at.to_str().unwrap()]);
    run("fallocate", &["-l", "24M", &path("filler")]);
    let rest = rustix::fs::statvfs(at).unwrap();
    let rest = (rest.f_bavail * rest.f_frsize).saturating_sub(1 << 20);
    run("fallocate", &["-l", &rest.to_string(), &path("rest")]);
    let punch = |i: u64| ["-c".to_string(), format!("fpunch {} 4096", i * 8192)];
    let mut args: Vec<String> = (0..3000).flat_map(punch).collect();
    args.push(path("filler"));
    run("xfs_io", &args.iter().map(String::as_str).collect::<Vec<_>>());
    run("fallocate", &["-l", "4M", &path("crumbs")]);
}

/// Names in a directory that cost no inodes.
pub(crate) fn links(at: &std::path::Path, numbers: std::ops::Range<usize>) {
    let dir = at.join("large");
    if !dir.exists() {
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), "one file").unwrap();
    }
    for i in numbers {
        fs::hard_link(dir.join("file"), dir.join(format!("another name of it, {i}"))).unwrap();
    }
}

#[test]
fn questions_that_do_not_fit_are_refused() {
    let image = Image::make(320, &["-L", "name"]);
    let mount = image.mount("rw");
    fs::write(mount.at.join("file"), "content").unwrap();
    std::os::unix::fs::symlink("file", mount.at.join("link")).unwrap();
    drop(mount);
    let tree = image.open();
    assert_eq!((tree.kind(), tree.label().as_str()), ("xfs", "name"));
    let file = tree.lookup(tree.root(), "file".as_ref()).unwrap();
    let link = tree.lookup(tree.root(), "link".as_ref()).unwrap();
    assert_eq!(content(&tree, file, 3), b"content");
    let wrong = |r: Result<(), TreeError>| assert!(matches!(r, Err(TreeError::WrongKind(_))), "{r:?}");
    wrong(tree.entries(file).map(drop));
    wrong(tree.lookup(link, "x".as_ref()).map(drop));
    wrong(tree.read(tree.root(), 0, &mut [0]).map(drop));
    wrong(tree.link_target(file).map(drop));
    assert_eq!(tree.metadata(link).unwrap().kind, NodeKind::Symlink);
    assert_eq!(tree.read(file, u64::MAX, &mut [0]).unwrap(), 0);
    for absent in [0, 1, file.0 + 1_000, u64::MAX] {
        let found = tree.metadata(backstay_items::tree::NodeId(absent));
        assert!(matches!(found, Err(TreeError::NotFound | TreeError::Damaged(_))), "{absent}: {found:?}");
    }
    for hidden in [".", ".."] {
        assert!(matches!(tree.lookup(tree.root(), hidden.as_ref()), Err(TreeError::NotFound)));
    }
}
