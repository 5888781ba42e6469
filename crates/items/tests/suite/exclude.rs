//! What files have to themselves: exactly where their bytes lie, by the bytes.

use crate::tools::{Image, Numbers, run, text};
use backstay_items::disk::allocated;
use backstay_items::exclude::{Choice, Excluded, Pattern, Tally, excluded};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
const SECTOR: usize = 512;

fn resolve(image: &Image, patterns: &[&str]) -> Excluded {
    let patterns: Vec<Pattern> = patterns.iter().map(|p| Pattern::parse(p).expect("a pattern")).collect();
    let choices: Vec<_> = patterns.iter().map(|pattern| Choice { partition: None, pattern }).collect();
    let volume = image.volume();
    let found = allocated(&*volume);
    excluded(&volume, &found.parts, &choices, &|| false)
}

/// Sectors that hold something; those of a file are all different.
fn sectors(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let chunks = bytes.chunks(SECTOR).map(|c| [c, &vec![0; SECTOR - c.len()]].concat());
    chunks.filter(|c| c.iter().any(|b| *b != 0)).collect()
}

/// Files of which some are to be left out: `left/..` and `*.tmp`.
fn originals(folder: &Path) {
    let mut numbers = Numbers(31);
    fs::create_dir_all(folder.join("left/below")).expect("folders");
    fs::create_dir_all(folder.join("kept")).expect("folders");
    for (name, len) in [
        ("left/long", 700_000),
        ("left/below/odd", 12_345),
        ("left/below/tiny", 100),
        ("kept/a.tmp", 40_000),
        ("kept/other", 300_000),
        ("kept/tiny", 90),
    ] {
        fs::write(folder.join(name), numbers.bytes(len)).expect("room");
    }
}

/// What is left out is the content of the files that are named, all of it, and nothing else.
fn check(image: &Image, folder: &Path, kind: &str) {
    let found = resolve(image, &["/left", "*.tmp", "/none"]);
    assert_eq!(found.doubts, Vec::<String>::new(), "{kind}");
    assert_eq!(found.tallies.iter().map(|t| t.files).collect::<Vec<_>>(), [3, 1, 0], "{kind}");
    let total: u64 = found.tallies.iter().map(|t: &Tally| t.bytes).sum();
    assert_eq!(found.ranges.total(), total, "{kind}");
    let disk = image.bytes();
    let left_out: BTreeSet<_> =
        found.ranges.iter().flat_map(|r| sectors(&disk[r.start as usize..r.end as usize])).collect();
    let read = |name: &str| sectors(&fs::read(folder.join(name)).expect("the original"));
    let named: BTreeSet<_> = ["left/long", "left/below/odd", "kept/a.tmp"].into_iter().flat_map(read).collect();
    let tiny = read("left/below/tiny");
    assert!(named.is_subset(&left_out), "{kind}: all of it");
    // A tiny file may lie inside metadata, and then it stays.
    assert!(left_out.difference(&named).all(|sector| tiny.contains(sector)), "{kind}: nothing else");
    let used = allocated(&*image.volume()).used;
    assert!(found.ranges.iter().all(|r| used.covers(&r)), "{kind}: only what is in use");
}

fn on_ext(args: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    originals(folder.path());
    let image = Image::new(32 * MIB);
    run("mkfs.ext4", &[args, &["-q", "-d", text(folder.path()), text(&image.path())]].concat());
    check(&image, folder.path(), &args.join(" "));
}

#[test]
fn ext_with_extents_block_numbers_and_inline_data() {
    on_ext(&["-b", "4096"]);
    on_ext(&["-b", "1024"]);
    on_ext(&["-b", "1024", "-O", "^extent,^64bit,^has_journal"]);
    on_ext(&["-O", "inline_data", "-I", "256"]);
    on_ext(&["-O", "bigalloc", "-C", "65536"]);
}

#[test]
fn fat_of_all_sizes() {
    for (size, bits) in [(4, "12"), (32, "16"), (64, "32")] {
        let folder = tempfile::tempdir().expect("a folder");
        originals(folder.path());
        let image = Image::new(size * MIB);
        let path = image.path();
        run("mkfs.vfat", &["-F", bits, text(&path)]);
        for name in ["left", "kept"] {
            run("mcopy", &["-i", text(&path), "-s", text(&folder.path().join(name)), "::"]);
        }
        check(&image, folder.path(), bits);
        // Letters are the same, small or capital.
        assert_eq!(resolve(&image, &["/LEFT/Below"]).tallies[0].files, 2);
    }
}

#[test]
fn ntfs_in_records_and_runs() {
    let image = Image::new(64 * MIB);
    run("mkntfs", &["-Q", "-F", "-q", text(&image.path())]);
    let folder = tempfile::tempdir().expect("a folder");
    originals(folder.path());
    let mount = image.mount_ntfs("rw");
    run("cp", &["-r", &format!("{}/.", text(folder.path())), text(mount.path())]);
    drop(mount);
    check(&image, folder.path(), "ntfs");
    // The volume's own files are nobody's to leave out.
    assert_eq!(resolve(&image, &["$*"]).tallies[0], Tally::default());
}

#[test]
fn a_file_system_that_is_doubted_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    originals(folder.path());
    let image = Image::new(32 * MIB);
    run("mkfs.ext4", &["-q", "-d", text(folder.path()), text(&image.path())]);
    run("debugfs", &["-w", "-R", "set_super_value state 2", text(&image.path())]);
    let found = resolve(&image, &["/left"]);
    assert_eq!((found.ranges.total(), found.doubts.len()), (0, 1), "{:?}", found.doubts);
}
