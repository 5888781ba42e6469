//! FAT by mkfs.vfat; filled and judged by mtools and fsck.vfat, for not every kernel can mount it.

use crate::tools::{Image, Numbers, run, text};
use backstay_items::tree::{FileTree, NodeId, NodeKind};
use backstay_items::vfat;
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;

fn originals() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut numbers = Numbers(5);
    for name in ["short.txt", "UPPER.TXT", "a long name with spaces.config", "ümläut €.txt"] {
        let len = numbers.below(60_000) as usize;
        fs::write(folder.path().join(name), numbers.bytes(len)).expect("room");
    }
    let deep = folder.path().join("EFI/Debian folder/x/y");
    fs::create_dir_all(&deep).expect("folders");
    for i in 0..200 {
        let name = format!("file number {i} with a name of more than one entry");
        let len = numbers.below(5000) as usize;
        fs::write(deep.join(name), numbers.bytes(len)).expect("room");
    }
    fs::write(deep.join("empty"), b"").expect("room");
    folder
}

fn compare(tree: &dyn FileTree, node: NodeId, path: &Path) {
    let entries = tree.entries(node).expect("entries");
    assert_eq!(entries.len(), fs::read_dir(path).expect("it").count(), "{path:?}");
    for entry in entries {
        let place = path.join(&entry.name);
        assert_eq!(tree.lookup(node, &entry.name).expect("it"), entry.node);
        let ours = tree.metadata(entry.node).expect("metadata");
        assert_eq!(ours.kind, entry.kind);
        if entry.kind == NodeKind::Directory {
            compare(tree, entry.node, &place);
            continue;
        }
        let original = fs::read(&place).unwrap_or_else(|e| panic!("{place:?}: {e}"));
        assert_eq!(ours.size, original.len() as u64, "{place:?}");
        let mut bytes = vec![0; original.len() + 10];
        assert_eq!(tree.read(entry.node, 0, &mut bytes).expect("content"), original.len());
        assert!(bytes[..original.len()] == original, "{place:?}");
        if original.len() > 2000 {
            let n = tree.read(entry.node, 1999, &mut bytes).expect("content");
            assert!(bytes[..n] == original[1999..], "{place:?}");
        }
    }
}

fn whole_round(size: u64, args: &[&str]) {
    let image = Image::new(size);
    let path = image.path();
    run("mkfs.vfat", &[args, &["-n", "BOOT", text(&path)]].concat());
    let folder = originals();
    for entry in fs::read_dir(folder.path()).expect("it") {
        let entry = entry.expect("an entry").path();
        run("mcopy", &["-i", text(&path), "-s", "-m", text(&entry), "::"]);
    }
    let tree = vfat::open(image.volume()).expect("a tree");
    assert_eq!(tree.label(), "BOOT");
    compare(&*tree, tree.root(), folder.path());
    let found = vfat::allocated(&*image.volume());
    assert_eq!((found.doubt, found.kind), (None, "vfat"));
    assert!(found.used.total() < size / 2, "free space was found");
    let copy = image.copy();
    copy.scribble_outside(&found.used);
    let said = |image: &Image| {
        let path = image.path();
        run("fsck.vfat", &["-n", "-v", text(&path)]).replace(text(&path), "")
    };
    assert_eq!(said(&copy), said(&image));
    let tree = vfat::open(copy.volume()).expect("a tree");
    compare(&*tree, tree.root(), folder.path());
}

#[test]
fn fat12() {
    whole_round(8 * MIB, &["-F", "12"]);
}

#[test]
fn fat16() {
    whole_round(64 * MIB, &["-F", "16"]);
}

#[test]
fn fat32() {
    whole_round(96 * MIB, &["-F", "32"]);
}
