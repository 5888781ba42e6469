//! File trees of file systems that were unmounted, judged by a kernel's mount.

use super::compare::compare;
use super::machine::{Image, shell};
use super::populate::everything;
use backstay_items::btrfs::{Btrfs, detect};
use backstay_items::tree::{FileTree, NodeKind, TreeError};
use std::ffi::OsStr;

fn filled(mib: u64, mkfs: &str, mount: &str) -> Image {
    let image = Image::make(mib, mkfs);
    let mounted = image.mount(mount);
    everything(mounted.path(), 1);
    image
}

fn judge(image: &Image) {
    assert!(detect(&*image.volume()));
    let tree = Btrfs::open(image.volume()).unwrap();
    let mounted = image.mount("ro,noatime");
    let compared = compare(&tree, mounted.path());
    assert!(compared.files > 500 && compared.directories > 10);
    assert!(compared.bytes > 10_000_000);
}

#[test]
fn defaults() {
    judge(&filled(256, "-L 'a label'", "noatime"));
}

#[test]
fn mixed_groups() {
    judge(&filled(200, "--mixed", "noatime"));
}

#[test]
fn single_small_nodes_and_xxhash() {
    judge(&filled(256, "-m single -n 4096 --csum xxhash", "noatime"));
}

#[test]
fn dup_data_large_nodes_and_sha256() {
    judge(&filled(400, "-d dup -n 65536 --csum sha256", "noatime"));
}

#[test]
fn blake2_and_old_features() {
    let old = "--csum blake2 -O ^no-holes,^skinny-metadata,^extref -R ^free-space-tree";
    let image = Image::make(256, old);
    let mounted = image.mount("noatime,space_cache=v1");
    shell(mounted.path(), "mkdir d; truncate -s 1M d/hole; echo x >> d/hole; seq 9999 > d/seq");
    drop(mounted);
    let tree = Btrfs::open(image.volume()).unwrap();
    let mounted = image.mount("ro,noatime");
    assert_eq!(compare(&tree, mounted.path()).files, 2);
}

#[test]
fn striped_over_one_device() {
    judge(&filled(256, "-d raid0 -m dup", "noatime"));
}

/// Sectors larger than a page of this machine: the kernel does not mount them, so the folder that mkfs.btrfs filled
/// the image from is the judge.
#[test]
fn large_sectors() {
    let source = tempfile::tempdir().unwrap();
    let dir = source.path();
    shell(dir, "seq 100000 > seq; mkdir d; echo small > d/small; head -c 70001 /dev/urandom > d/random");
    let image = Image::make(200, &format!("-s 16384 -n 16384 --rootdir '{}'", dir.display()));
    let tree = Btrfs::open(image.volume()).unwrap();
    assert_eq!(backstay_items::btrfs::allocated(&*image.volume()).doubt, None);
    let d = tree.lookup(tree.root(), OsStr::new("d")).unwrap();
    for (parent, folder, name) in [(tree.root(), "", "seq"), (d, "d", "small"), (d, "d", "random")] {
        let expected = std::fs::read(dir.join(folder).join(name)).unwrap();
        let file = tree.lookup(parent, OsStr::new(name)).unwrap();
        let mut bytes = vec![0; expected.len() + 1];
        let n = tree.read(file, 0, &mut bytes).unwrap();
        assert!(bytes[..n] == expected, "{name}");
    }
}

#[test]
fn compressed_zlib() {
    judge(&filled(256, "", "noatime,compress-force=zlib"));
}

#[test]
fn compressed_lzo() {
    judge(&filled(256, "", "noatime,compress-force=lzo"));
}

#[test]
fn compressed_zstd() {
    judge(&filled(256, "", "noatime,compress-force=zstd:9"));
}

#[test]
fn mixed_and_compressed() {
    judge(&filled(200, "--mixed", "noatime,compress=lzo,max_inline=2000"));
}

#[test]
fn twenty_thousand_entries() {
    let image = Image::make(256, "");
    let mounted = image.mount("noatime");
    let script = "mkdir d; cd d; seq -f 'entry-%g' 20000 | xargs touch; seq 1 7 20000 | sed s/^/entry-/ | xargs rm";
    shell(mounted.path(), script);
    drop(mounted);
    let tree = Btrfs::open(image.volume()).unwrap();
    let mounted = image.mount("ro,noatime");
    assert_eq!(compare(&tree, mounted.path()).files, 20_000 - 2858);
}

#[test]
fn another_default_subvolume() {
    let image = Image::make(128, "");
    let mounted = image.mount("noatime");
    shell(mounted.path(), "echo top > top; btrfs -q subvolume create s; echo in > s/in; btrfs subvolume set-default s");
    drop(mounted);
    let tree = Btrfs::open(image.volume()).unwrap();
    let default = image.mount("ro,noatime");
    assert_eq!(compare(&tree, default.path()).files, 1);
    drop(default);
    let top = image.mount("ro,noatime,subvolid=5");
    let tree = tree.at_top_level().unwrap();
    assert_eq!(compare(&tree, top.path()).files, 2);
}

#[test]
fn the_wrong_questions() {
    let image = Image::make(128, "-L label");
    let mounted = image.mount("noatime");
    shell(mounted.path(), "echo x > file; mkdir dir; ln -s file link");
    drop(mounted);
    let tree = Btrfs::open(image.volume()).unwrap();
    assert_eq!((tree.kind(), tree.label().as_str()), ("btrfs", "label"));
    let find = |name: &str| tree.lookup(tree.root(), OsStr::new(name));
    let (file, dir) = (find("file").unwrap(), find("dir").unwrap());
    assert!(matches!(find("none"), Err(TreeError::NotFound)));
    assert!(matches!(tree.lookup(file, OsStr::new("x")), Err(TreeError::WrongKind("directory"))));
    assert!(matches!(tree.entries(file), Err(TreeError::WrongKind("directory"))));
    assert!(matches!(tree.read(dir, 0, &mut [0]), Err(TreeError::WrongKind("file"))));
    assert!(matches!(tree.link_target(file), Err(TreeError::WrongKind("symbolic link"))));
    let link = find("link").unwrap();
    assert_eq!(tree.metadata(link).unwrap().kind, NodeKind::Symlink);
    assert!(matches!(tree.read(link, 0, &mut [0]), Err(TreeError::WrongKind("file"))));
}

#[test]
fn several_devices_are_refused_in_words() {
    let second = Image::empty(128 << 20);
    let image = Image::make(128, &format!("-d single -m raid1 '{}'", second.path.display()));
    let Err(error) = Btrfs::open(image.volume()) else {
        panic!("half of a file system was opened");
    };
    assert!(error.to_string().contains("several devices"), "{error}");
    let allocation = backstay_items::btrfs::allocated(&*image.volume());
    assert_eq!(allocation.used.total(), 128 << 20);
    assert!(allocation.doubt.unwrap().contains("several devices"));
}
