//! Free space judged by `xfs_db freesp`, which walks the same trees, and by the kernel: everything that is not
//! called used is overwritten, and nothing must be missing.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use backstay_env::volume::Volume;
use backstay_items::allocation::{Allocation, Ranges};
use backstay_items::xfs::{Xfs, allocated};

use crate::populate::everything;
use crate::support::{FileVolume, Image, Random, compare, run};

/// Free ranges by the word of `xfs_db`, for an image whose log is clean.
fn free_by_xfs_db(image: &Image) -> Ranges {
    let path = image.path.to_str().unwrap();
    let field = |name: &str| -> u64 {
        let out = run("xfs_db", &["-r", "-c", "sb 0", "-c", &format!("p {name}"), path]);
        out.rsplit('=').next().unwrap().trim().parse().unwrap()
    };
    let (block, group) = (field("blocksize"), field("agblocks"));
    let out = run("xfs_db", &["-r", "-c", "freesp -d", path]);
    let mut free = Vec::new();
    for line in out.lines() {
        let numbers: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        match numbers[..] {
            [ag, start, len] if line.split_whitespace().count() == 3 => {
                let start = (ag * group + start) * block;
                free.push(start..start + len * block);
            }
            _ if line.contains("from") => break,
            _ => {}
        }
    }
    Ranges::from_unsorted(free)
}

pub(crate) fn gaps(used: &Ranges, size: u64) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut out = Vec::new();
    for range in used.iter() {
        out.push(at..range.start);
        at = range.end;
    }
    out.push(at..size);
    out.retain(|r| !r.is_empty());
    out
}

pub(crate) fn believed(image: &Image) -> Allocation {
    let volume = FileVolume::open(&image.path);
    let found = allocated(&*volume);
    assert_eq!((found.kind, found.doubt.as_deref()), ("xfs", None));
    found
}

/// A copy whose unused ranges hold noise.
pub(crate) fn with_noise(image: &Image, used: &Ranges) -> Image {
    let copy = image.copy();
    let file = File::options().write(true).open(&copy.path).unwrap();
    let mut random = Random(3);
    let noise = random.bytes(1 << 20);
    for gap in gaps(used, file.metadata().unwrap().len()) {
        let mut at = gap.start;
        while at < gap.end {
            let len = (gap.end - at).min(noise.len() as u64);
            file.write_all_at(&noise[..len as usize], at).unwrap();
            at += len;
        }
    }
    copy
}

fn check(mib: u64, options: &[&str], reflink: bool) {
    let image = Image::make(mib, options);
    let mount = image.mount("rw");
    everything(&mount.at, 1_500, reflink);
    drop(mount);
    let found = believed(&image);
    let size = FileVolume::open(&image.path).size();
    let free = Ranges::from_unsorted(gaps(&found.used, size));
    assert_eq!(free, free_by_xfs_db(&image));
    assert!(free.total() > size / 3, "only {} free", free.total());
    let noisy = with_noise(&image, &found.used);
    run("xfs_repair", &["-n", noisy.path.to_str().unwrap()]);
    let mount = image.mount("ro,norecovery");
    compare(&noisy.open(), &mount.at);
}

#[test]
fn as_debian_makes_it() {
    check(96, &[], true);
}

#[test]
fn small_blocks_and_many_groups() {
    check(96, &["-b", "size=1024", "-d", "agcount=5", "-m", "rmapbt=1"], true);
}

#[test]
fn version_4() {
    let image = Image::make(64, &["-m", "crc=0"]);
    let found = believed(&image);
    let free = Ranges::from_unsorted(gaps(&found.used, 64 << 20));
    assert_eq!(free, free_by_xfs_db(&image));
}

#[test]
fn trees_of_several_levels() {
    let image = Image::make(128, &["-b", "size=1024", "-d", "agcount=1"]);
    let mount = image.mount("rw");
    crate::clean::fragment_free_space(&mount.at);
    drop(mount);
    let levels = run("xfs_db", &["-r", "-c", "agf 0", "-c", "p bnolevel", image.path.to_str().unwrap()]);
    assert_ne!(levels.trim(), "bnolevel = 1");
    let free = Ranges::from_unsorted(gaps(&believed(&image).used, 128 << 20));
    assert_eq!(free, free_by_xfs_db(&image));
    assert!(free.iter().len() > 2_000);
}

#[test]
fn what_cannot_be_vouched_for_is_all_used() {
    let image = Image::make(32, &["-d", "agcount=2"]);
    let whole = 32 << 20;
    let doubt_after = |offset: u64, bytes: &[u8]| {
        let copy = image.copy();
        let file = File::options().write(true).open(&copy.path).unwrap();
        file.write_all_at(bytes, offset).unwrap();
        let found = allocated(&*FileVolume::open(&copy.path));
        assert_eq!(found.used.total(), whole);
        found.doubt.unwrap()
    };
    assert!(doubt_after(200, &[0xff; 4]).contains("checksum")); // the superblock
    assert!(doubt_after(512 + 52, &[0, 0, 0, 1]).contains("checksum")); // a free-space header
    assert!(doubt_after(3 * 512 + 40, &[9]).contains("checksum")); // a list of spare blocks
    let half = 16 << 20;
    assert!(doubt_after(half + 4096 + 70, &[1]).contains("checksum")); // a tree of the second group
    let copy = image.copy();
    File::options().write(true).open(&copy.path).unwrap().set_len(whole - 4096).unwrap();
    let found = allocated(&*FileVolume::open(&copy.path));
    assert_eq!(found.used.total(), whole - 4096);
    assert!(found.doubt.unwrap().contains("bytes"));
}

#[test]
fn a_damaged_version_4_without_checksums_is_found_by_its_sums() {
    let image = Image::make(32, &["-m", "crc=0", "-d", "agcount=1"]);
    let set = |command: &str| {
        let copy = image.copy();
        let path = copy.path.to_str().unwrap();
        let (place, write) = command.split_once('/').unwrap();
        run("xfs_db", &["-x", "-c", place, "-c", &format!("write {write}"), path]);
        let found = allocated(&*FileVolume::open(&copy.path));
        assert_eq!(found.used.total(), 32 << 20, "{command}");
        assert!(found.doubt.is_some(), "{command}");
    };
    for command in [
        "agf 0/freeblks 77",
        "agf 0/longest 3",
        "agf 0/length 17",
        "agf 0/flfirst 2",
        "agf 0/bnolevel 2",
        "agf 0/bnoroot 3",
        "sb 0/rblocks 100",
    ] {
        set(command);
    }
}

#[test]
fn other_devices_are_doubted_and_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    File::create(&other).unwrap().set_len(64 << 20).unwrap();
    let log = format!("logdev={},size=32m", other.display());
    let image = Image::make(64, &["-l", &log]);
    let refused = Xfs::open(FileVolume::open(&image.path)).err().unwrap();
    assert!(refused.to_string().contains("another device"), "{refused}");
    let found = allocated(&*FileVolume::open(&image.path));
    assert_eq!(found.used.total(), 64 << 20);
    assert!(found.doubt.unwrap().contains("another device"));

    let realtime = format!("rtdev={}", other.display());
    let image = Image::make(64, &["-r", &realtime]);
    let found = allocated(&*FileVolume::open(&image.path));
    assert_eq!(found.used.total(), 64 << 20);
    assert!(found.doubt.unwrap().contains("realtime"));
}
