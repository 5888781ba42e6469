//! ext2, ext3 and ext4 by mke2fs and the kernel; judged by dumpe2fs, e2fsck and the kernel's own view.

use crate::tools::{Image, output, run, text};
use crate::tree::{Abilities, compare, fill};
use backstay_items::allocation::Ranges;
use backstay_items::ext4;
use std::os::unix::fs::FileExt;

const UNIX: Abilities = Abilities { unix: true };
const MIB: u64 = 1 << 20;

fn make(size: u64, args: &[&str]) -> Image {
    let image = Image::new(size);
    let path = image.path();
    let args = [&["-q", "-F"], args, &[text(&path)]].concat();
    run("mke2fs", &args);
    image
}

fn believed(image: &Image, kind: &str) -> Ranges {
    let found = ext4::allocated(&*image.volume());
    assert_eq!(found.doubt, None);
    assert_eq!(found.kind, kind);
    found.used
}

/// The blocks that dumpe2fs calls free, in bytes.
fn free_by_dumpe2fs(image: &Image) -> Ranges {
    let listing = run("dumpe2fs", &[text(&image.path())]);
    let value = |key: &str| {
        let line = listing.lines().find(|l| l.starts_with(key))?;
        line.split_whitespace().last()?.parse::<u64>().ok()
    };
    let bs = value("Block size:").unwrap();
    // Ends are printed as the first block of the last cluster.
    let unit = value("Cluster size:").unwrap_or(bs);
    let mut free = Vec::new();
    for line in listing.lines() {
        let Some(list) = line.strip_prefix("  Free blocks: ") else {
            continue;
        };
        for item in list.split(", ").filter(|i| !i.is_empty()) {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            free.push(first * bs..last * bs + unit);
        }
    }
    Ranges::from_unsorted(free)
}

/// Nothing that dumpe2fs calls used is free to us, and no more than `slack` bytes the other way round.
fn agree(image: &Image, used: &Ranges, slack: u64) {
    let free = free_by_dumpe2fs(image);
    let size = image.volume().size();
    let mut at = 0;
    for range in used.iter().chain(std::iter::once(size..size)) {
        assert!(free.covers(&(at..range.start)), "{at}..{} is used", range.start);
        at = range.end;
    }
    let ours = size - used.total();
    assert!(ours <= free.total() && free.total() - ours <= slack, "{ours} {}", free.total());
}

/// What e2fsck has to say, without the image's name.
fn e2fsck(image: &Image) -> String {
    let path = image.path();
    let args = ["-f", "-y", "-E", "no_optimize_extents", text(&path)];
    let checked = output("e2fsck", &args);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(matches!(checked.status.code(), Some(0 | 1)), "{said}");
    said.replace(text(&path), "image")
}

/// The file system is whole, and shows the same files, when all that is free was overwritten.
fn survives_scribbling(image: &Image, original: &std::path::Path) {
    let used = ext4::allocated(&*image.volume());
    assert_eq!(used.doubt, None);
    let (copy, untouched) = (image.copy(), image.copy());
    copy.scribble_outside(&used.used);
    assert_eq!(e2fsck(&copy), e2fsck(&untouched));
    let mount = copy.mount("ro");
    let out = run(
        "diff",
        &[
            "-r",
            "--no-dereference",
            "--exclude=pipe",
            "--exclude=char",
            "--exclude=block",
            crate::tools::text(original),
            crate::tools::text(mount.path()),
        ],
    );
    assert_eq!(out, "");
}

/// Fills, compares while unmounted, and judges the allocation.
fn whole_round(kind: &str, size: u64, args: &[&str], slack: u64) {
    let image = make(size, args);
    agree(&image, &believed(&image, kind), slack);
    {
        let mount = image.mount("rw");
        fill(mount.path(), size, UNIX);
    }
    agree(&image, &believed(&image, kind), slack);
    let tree = ext4::open(image.volume()).unwrap();
    let mount = image.mount("ro");
    compare(&*tree, mount.path(), UNIX);
    survives_scribbling(&image, mount.path());
}

#[test]
fn ext4_with_4k_blocks() {
    whole_round("ext4", 96 * MIB, &["-t", "ext4", "-b", "4096"], 0);
}

#[test]
fn ext4_with_1k_blocks_and_many_groups() {
    whole_round("ext4", 96 * MIB, &["-t", "ext4", "-b", "1024"], MIB);
}

#[test]
fn ext4_with_meta_bg() {
    let args = ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"];
    whole_round("ext4", 96 * MIB, &args, MIB);
}

#[test]
fn ext4_without_flex_bg_and_64bit() {
    let args = ["-t", "ext4", "-b", "1024", "-O", "^flex_bg,^64bit,uninit_bg,^metadata_csum"];
    whole_round("ext4", 96 * MIB, &args, MIB);
}

#[test]
fn ext4_with_bigalloc() {
    let args = ["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "65536"];
    whole_round("ext4", 192 * MIB, &args, 4 * MIB);
}

#[test]
fn ext4_with_inline_data_and_sparse_super2() {
    let args = ["-t", "ext4", "-O", "inline_data,sparse_super2", "-I", "512"];
    whole_round("ext4", 96 * MIB, &args, MIB);
}

#[test]
fn ext4_with_a_checksum_seed() {
    let args = ["-t", "ext4", "-O", "metadata_csum_seed,large_dir"];
    whole_round("ext4", 96 * MIB, &args, MIB);
}

#[test]
fn ext3() {
    whole_round("ext3", 96 * MIB, &["-t", "ext3", "-b", "1024", "-I", "256"], 0);
}

#[test]
fn ext2() {
    whole_round("ext2", 96 * MIB, &["-t", "ext2", "-b", "4096", "-I", "256"], 0);
}

/// What is only in the journal counts: an image copied while mounted, after a sync.
fn live_round(args: &[&str], options: &str) {
    let image = make(128 * MIB, args);
    let mount = image.mount(options);
    fill(mount.path(), 7, UNIX);
    run("sync", &["-f", text(mount.path())]);
    let copy = image.copy();
    let state = run("dumpe2fs", &["-h", text(&copy.path())]);
    assert!(state.contains("needs_recovery"), "{state}");
    let tree = ext4::open(copy.volume()).unwrap();
    compare(&*tree, mount.path(), UNIX);
    survives_scribbling(&copy, mount.path());
    // What was deleted since must be seen as deleted, and blocks that changed hands under their new owner.
    std::fs::remove_dir_all(mount.path().join("many")).unwrap();
    std::fs::create_dir(mount.path().join("again")).unwrap();
    fill(&mount.path().join("again"), 8, UNIX);
    run("sync", &["-f", text(mount.path())]);
    let copy = image.copy();
    let tree = ext4::open(copy.volume()).unwrap();
    compare(&*tree, mount.path(), UNIX);
    survives_scribbling(&copy, mount.path());
}

#[test]
fn a_live_ext4() {
    live_round(&["-t", "ext4"], "rw");
}

#[test]
fn a_live_ext4_with_1k_blocks() {
    live_round(&["-t", "ext4", "-b", "1024"], "rw");
}

#[test]
fn a_live_ext4_that_journals_data() {
    live_round(&["-t", "ext4", "-b", "1024"], "rw,data=journal");
}

#[test]
fn a_live_ext3_without_checksums() {
    live_round(&["-t", "ext3", "-I", "256"], "rw");
}

/// Fast commits are not replayed: an image that has some must be refused, one that has none must be right.
#[test]
fn a_live_ext4_with_fast_commits() {
    let image = make(128 * MIB, &["-t", "ext4", "-O", "fast_commit"]);
    let mount = image.mount("rw");
    fill(mount.path(), 7, UNIX);
    run("sync", &["-f", text(mount.path())]);
    let settled = image.copy();
    let file = std::fs::File::create(mount.path().join("fast")).expect("a file");
    std::io::Write::write_all(&mut &file, &[1; 50_000]).expect("room");
    file.sync_all().expect("a fast commit");
    let fast = image.copy();
    std::fs::remove_file(mount.path().join("fast")).expect("it");
    let state = run("dumpe2fs", &["-h", text(&fast.path())]);
    assert!(state.contains("needs_recovery") && state.contains("fast_commit"));
    let refused = |image: &Image| {
        let found = ext4::allocated(&*image.volume());
        let said = found.doubt.unwrap_or_default();
        assert_eq!(ext4::open(image.volume()).is_err(), !said.is_empty());
        said
    };
    let said = refused(&fast);
    assert!(said.contains("fast commits"), "{said:?}");
    // An `fsync` in `fill` may have left some too; then the copy is refused, and nothing else is claimed of it.
    if refused(&settled).is_empty() {
        survives_scribbling(&settled, mount.path());
    }
}

/// Damage in the middle of the log must not be taken for its end.
#[test]
fn a_damaged_journal_is_not_believed() {
    let image = make(128 * MIB, &["-t", "ext4", "-b", "4096"]);
    let mount = image.mount("rw");
    for i in 0..4 {
        std::fs::write(mount.path().join(format!("{i}")), vec![i; 100_000]).expect("room");
        run("sync", &["-f", text(mount.path())]);
    }
    let copy = image.copy();
    drop(mount);
    assert_eq!(ext4::allocated(&*copy.volume()).doubt, None);
    let bytes = copy.bytes();
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
    let places = (0..bytes.len()).step_by(4096);
    let blocks: Vec<_> = places.filter(|&at| word(at) == 0xC03B_3998).collect();
    let of = |kind| move |&at: &usize| word(at + 4) == kind;
    let superblock = *blocks.iter().find(|at| of(4)(at)).expect("the journal's superblock");
    let first = word(superblock + 0x18);
    let file = std::fs::File::options().write(true).open(copy.path()).expect("image");
    let mut flipped = 0;
    for kind in [1, 2] {
        for &at in blocks.iter().filter(|at| of(kind)(at) && word(**at + 8) == first) {
            for inside in [20, 40, 4000] {
                let place = at + inside;
                file.write_all_at(&[bytes[place] ^ 4], place as u64).expect("room");
                let found = ext4::allocated(&*copy.volume());
                assert!(found.doubt.is_some(), "kind {kind}, byte {inside}");
                file.write_all_at(&[bytes[place]], place as u64).expect("room");
                flipped += 1;
            }
        }
    }
    assert_eq!(flipped, 6);
}
