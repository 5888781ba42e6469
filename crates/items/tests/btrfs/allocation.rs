//! Used ranges, judged by restoring nothing but them.

use super::compare::compare;
use super::machine::{Image, shell};
use super::populate::everything;
use backstay_env::volume::Volume;
use backstay_items::btrfs::{Btrfs, allocated};
use std::os::unix::fs::FileExt;

/// A new image with nothing but the used ranges of another. The file system must have been believed.
pub(crate) fn restored(image: &Image) -> Image {
    let volume = image.volume();
    let allocation = allocated(&*volume);
    assert_eq!((allocation.kind, allocation.doubt), ("btrfs", None));
    let copy = Image::empty(volume.size());
    let file = copy.file();
    for range in allocation.used.iter() {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        volume.read_at(range.start, &mut bytes).unwrap();
        file.write_all_at(&bytes, range.start).unwrap();
    }
    copy
}

fn judge(mib: u64, mkfs: &str, mount: &str) {
    let image = Image::make(mib, mkfs);
    let mounted = image.mount(mount);
    everything(mounted.path(), 2);
    shell(mounted.path(), "mkdir gone; cp random-1500001 text-1500001 gone; sync; rm -r gone; sync");
    drop(mounted);
    restored_is_whole(&image);
}

fn restored_is_whole(image: &Image) {
    let copy = restored(image);
    copy.check();
    let tree = Btrfs::open(image.volume()).unwrap();
    let mounted = copy.mount("ro,noatime");
    assert!(compare(&tree, mounted.path()).files > 0);
    drop(mounted);
    // Scrubbing reads every copy of everything.
    let mounted = copy.mount("noatime");
    shell(mounted.path(), "btrfs scrub start -B . > /dev/null");
    let scrub = shell(mounted.path(), "btrfs scrub status -R .");
    for line in scrub.lines().filter(|l| l.contains("errors")) {
        assert!(line.trim().ends_with(": 0"), "{scrub}");
    }
}

/// Bytes on the device that the file system itself counts as used, over all profiles.
fn counted(image: &Image) -> u64 {
    let mounted = image.mount("ro");
    let lines = shell(mounted.path(), "btrfs filesystem df --raw .");
    let used = |line: &str| {
        let copies = if line.contains("DUP") { 2 } else { 1 };
        let n: u64 = line.rsplit("used=").next().unwrap().parse().unwrap();
        if line.starts_with("GlobalReserve") { 0 } else { n * copies }
    };
    lines.lines().map(used).sum()
}

#[test]
fn defaults() {
    judge(256, "", "noatime");
}

#[test]
fn mixed_groups() {
    judge(200, "--mixed", "noatime,compress=zlib");
}

#[test]
fn single_small_nodes() {
    judge(256, "-m single -n 4096 --csum xxhash", "noatime");
}

#[test]
fn dup_data() {
    judge(400, "-d dup --csum blake2", "noatime,compress=zstd");
}

#[test]
fn old_features() {
    let old = "-O ^no-holes,^skinny-metadata,^extref -R ^free-space-tree";
    let image = Image::make(256, old);
    let mounted = image.mount("noatime,space_cache=v1");
    shell(mounted.path(), "mkdir d; cd d; for i in $(seq 500); do seq $i > $i; done; seq 99999 > seq; sync");
    drop(mounted);
    restored_is_whole(&image);
}

/// As many bytes as the file system counts, and the fixed areas: no more.
#[test]
fn nothing_unused_is_claimed() {
    for mkfs in ["", "-m single", "--mixed", "-d dup"] {
        let image = Image::make(300, mkfs);
        let mounted = image.mount("noatime");
        shell(mounted.path(), "seq 1000000 > seq; cp seq b; sync; rm b; sync");
        drop(mounted);
        let counted = counted(&image);
        let used = allocated(&*image.volume()).used.total();
        let fixed = (1 << 20) + 4096;
        assert!(used >= counted && used <= counted + fixed, "{mkfs}: {used} of {counted}");
    }
}

#[test]
fn a_file_system_cut_short_is_doubted() {
    let image = Image::make(256, "");
    image.file().set_len(200 << 20).unwrap();
    let allocation = allocated(&*image.volume());
    assert_eq!(allocation.used.total(), 200 << 20);
    assert!(allocation.doubt.unwrap().contains("smaller"));
}

/// An image made by btrfs-progs 6.14 and kernel 6.18, for features that Debian 12's mkfs.btrfs does not have:
/// `mkfs.btrfs -O FEATURE`, a few files, two subvolumes, `sync`, then a file fsynced, and a copy of the backing
/// file (which so has a log) through `zstd -19 --long=27`.
fn fixture(packed: &[u8]) -> Image {
    let image = Image::empty(128 << 20);
    let mut decoder = zstd::stream::read::Decoder::new(packed).unwrap();
    std::io::copy(&mut decoder, &mut image.file()).unwrap();
    image
}

#[test]
fn block_group_tree() {
    let image = fixture(include_bytes!("block-group-tree.img.zst"));
    assert!(image.dump(&["dump-super"]).contains("BLOCK_GROUP_TREE"));
    restored(&image).check();
    super::log::judge(&image);
}

#[test]
fn simple_quota() {
    let image = fixture(include_bytes!("simple-quota.img.zst"));
    let restored = restored(&image);
    // Debian 12's `btrfs check` does not know the feature: the kernel alone judges.
    super::log::judge_by_mount(&image, &restored);
}
