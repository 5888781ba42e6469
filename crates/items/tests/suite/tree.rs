//! Making trees of files, and comparing what a reader shows with the originals.

use crate::tools::{Numbers, run, text};
use backstay_items::tree::{FileTree, NodeId, NodeKind, TreeError};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, symlink};
use std::path::Path;

/// What a file system can keep.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    /// Owners, permissions, devices, pipes.
    pub(crate) unix: bool,
}

/// Fills `root` with files of every shape: many, deep, long-named, sparse, linked, fragmented.
pub(crate) fn fill(root: &Path, seed: u64, abilities: Abilities) {
    let mut numbers = Numbers(seed);
    many(&root.join("many"), &mut numbers);
    deep(root);
    sparse(&root.join("sparse"), &mut numbers);
    fragmented(root, &mut numbers);
    links(root);
    fs::write(root.join("n".repeat(255)), b"long name").unwrap();
    fs::write(root.join("äöü € 名前 🦀"), b"not ASCII").unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::create_dir(root.join("empty folder")).unwrap();
    if abilities.unix {
        specials(root);
    }
}

fn many(folder: &Path, numbers: &mut Numbers) {
    fs::create_dir(folder).unwrap();
    for i in 0..1200 {
        let len = numbers.below(9000) as usize;
        let name = folder.join(format!("file-{i}-{}", "x".repeat(i % 90)));
        fs::write(name, numbers.bytes(len)).unwrap();
    }
}

fn deep(root: &Path) {
    let mut folder = root.join("deep");
    for i in 0..60 {
        folder.push(format!("level {i}"));
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bottom"), b"reached").unwrap();
}

/// Data with holes before, between and after.
fn sparse(path: &Path, numbers: &mut Numbers) {
    let file = File::create(path).unwrap();
    for i in 0..40 {
        let piece = numbers.bytes(3000);
        file.write_all_at(&piece, 12_345 + i * 100_000).unwrap();
    }
    file.set_len(30_000_000).unwrap();
}

/// Two files that grow in turn, a block at a time, each made durable, so that their blocks interleave.
fn fragmented(root: &Path, numbers: &mut Numbers) {
    let files = ["fragmented a", "fragmented b"].map(|n| File::create(root.join(n)).unwrap());
    for i in 0..200 {
        for file in &files {
            // Every second block first, so that the allocator cannot lay them out in a row.
            let at = if i < 100 { i * 2 } else { (i - 100) * 2 + 1 };
            file.write_all_at(&numbers.bytes(4096), at * 4096).unwrap();
        }
        if i % 10 == 0 {
            files[0].sync_all().unwrap();
        }
    }
}

fn links(root: &Path) {
    symlink("many/file-0-", root.join("short link")).unwrap();
    symlink(format!("/{}", "t".repeat(200)), root.join("long link")).unwrap();
    fs::write(root.join("one name"), b"two names").unwrap();
    fs::hard_link(root.join("one name"), root.join("another name")).unwrap();
}

fn specials(root: &Path) {
    let place = |name: &str| text(&root.join(name)).to_owned();
    run("mkfifo", &[&place("pipe")]);
    run("mknod", &[&place("char"), "c", "5", "1"]);
    run("mknod", &[&place("block"), "b", "259", "70000"]);
    fs::write(root.join("owned"), b"mine").unwrap();
    run("chown", &["70000:80000", &place("owned")]);
    run("chmod", &["4751", &place("owned")]);
    run("touch", &["-d", "2040-02-03 04:05:06.789", &place("owned")]);
    run("touch", &["-d", "1955-02-03 04:05:06.5", &place("empty")]);
    run("setfattr", &["-n", "user.note", "-v", "ignored", &place("owned")]);
}

/// Compares the whole of `tree` with the folder it is a view of.
pub(crate) fn compare(tree: &dyn FileTree, root: &Path, abilities: Abilities) {
    let count = compare_folder(tree, tree.root(), root, abilities);
    assert!(count > 1200, "only {count} files were compared");
}

fn compare_folder(tree: &dyn FileTree, node: NodeId, path: &Path, abilities: Abilities) -> usize {
    let entries = tree.entries(node).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let ours: BTreeSet<OsString> = entries.iter().map(|e| e.name.clone()).collect();
    assert_eq!(ours.len(), entries.len(), "{path:?}: a name twice");
    let originals = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(ours, originals.collect(), "{path:?}");
    let mut count = 0;
    for entry in entries {
        let place = path.join(&entry.name);
        assert_eq!(tree.lookup(node, &entry.name).unwrap(), entry.node);
        compare_node(tree, entry.node, entry.kind, &place, abilities);
        count += 1;
        if entry.kind == NodeKind::Directory {
            count += compare_folder(tree, entry.node, &place, abilities);
        }
    }
    let missing = tree.lookup(node, "no such name".as_ref());
    assert!(matches!(missing, Err(TreeError::NotFound)));
    count
}

fn compare_node(tree: &dyn FileTree, node: NodeId, kind: NodeKind, path: &Path, abilities: Abilities) {
    let original = fs::symlink_metadata(path).unwrap();
    let ours = tree.metadata(node).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    assert_eq!(ours.kind, kind, "{path:?}");
    assert_eq!(kind, kind_of(&original), "{path:?}");
    let modified = (ours.modified.seconds, i64::from(ours.modified.nanos));
    assert_eq!(modified, (original.mtime(), original.mtime_nsec()), "{path:?}");
    if abilities.unix {
        let changed = (ours.changed.seconds, i64::from(ours.changed.nanos));
        assert_eq!(changed, (original.ctime(), original.ctime_nsec()), "{path:?}");
        assert_eq!(u32::from(ours.permissions), original.mode() & 0o7777, "{path:?}");
        assert_eq!((ours.uid, ours.gid), (original.uid(), original.gid()), "{path:?}");
        assert_eq!(u64::from(ours.links), original.nlink(), "{path:?}");
        let device = u64::from(ours.device.0) << 32 | u64::from(ours.device.1);
        assert_eq!(device, device_of(&original), "{path:?}");
    }
    match kind {
        NodeKind::File => {
            assert_eq!(ours.size, original.len(), "{path:?}");
            compare_content(tree, node, path);
        }
        NodeKind::Symlink => {
            let target = fs::read_link(path).unwrap();
            assert_eq!(tree.link_target(node).unwrap(), target.as_os_str(), "{path:?}");
        }
        _ => {}
    }
}

fn device_of(original: &fs::Metadata) -> u64 {
    let kind = original.file_type();
    let device = match kind.is_char_device() || kind.is_block_device() {
        true => original.rdev(),
        false => 0,
    };
    let major = (device >> 8) & 0xFFF | (device >> 32) & 0xFFFF_F000;
    let minor = device & 0xFF | (device >> 12) & 0xFFFF_FF00;
    major << 32 | minor
}

fn kind_of(original: &fs::Metadata) -> NodeKind {
    let kind = original.file_type();
    match kind {
        _ if kind.is_dir() => NodeKind::Directory,
        _ if kind.is_symlink() => NodeKind::Symlink,
        _ if kind.is_fifo() => NodeKind::Fifo,
        _ if kind.is_char_device() => NodeKind::CharDevice,
        _ if kind.is_block_device() => NodeKind::BlockDevice,
        _ if kind.is_socket() => NodeKind::Socket,
        _ => NodeKind::File,
    }
}

fn compare_content(tree: &dyn FileTree, node: NodeId, path: &Path) {
    let original = fs::read(path).unwrap();
    let mut ours = Vec::new();
    let mut buf = vec![0; 100_001];
    loop {
        let n = tree.read(node, ours.len() as u64, &mut buf);
        match n.unwrap_or_else(|e| panic!("{path:?}: {e}")) {
            0 => break,
            n => ours.extend_from_slice(&buf[..n]),
        }
    }
    assert!(ours == original, "{path:?} differs");
    // Reads in the middle, and across the end.
    for at in [1, 4095, 12_000, original.len() / 2, original.len().saturating_sub(3)] {
        let mut piece = vec![0; 7000];
        let n = tree.read(node, at as u64, &mut piece).unwrap();
        let expected = original.get(at..).unwrap_or_default();
        assert_eq!(n, expected.len().min(7000), "{path:?} at {at}");
        assert!(piece[..n] == expected[..n], "{path:?} differs at {at}");
    }
}
