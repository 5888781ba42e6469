//! Images with bytes changed at random: whatever they say, no reader panics, and none goes on for ever.

use crate::tools::{Image, Numbers, run, text};
use backstay_env::volume::{Volume, check_range};
use backstay_items::detect::open;
use backstay_items::disk::allocated;
use backstay_items::tree::{FileTree, NodeId, NodeKind};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;

/// An image with some bytes changed, which counts what is read of it.
struct Damaged {
    bytes: Arc<Vec<u8>>,
    changes: Vec<(usize, u8)>,
    read: AtomicU64,
}

impl Volume for Damaged {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size(), offset, buf.len() as u64)?;
        let read = self.read.fetch_add(buf.len() as u64 + 64, Ordering::Relaxed);
        assert!(read < 200 * self.size(), "reading without an end");
        let start = offset as usize;
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        for &(at, value) in &self.changes {
            if let Some(place) = at.checked_sub(start).and_then(|i| buf.get_mut(i)) {
                *place = value;
            }
        }
        Ok(())
    }
}

/// Walks a tree as far as it goes, a bounded number of steps.
fn walk(tree: &dyn FileTree, node: NodeId, depth: u32, steps: &mut u32) {
    let Ok(entries) = tree.entries(node) else {
        return;
    };
    let mut buf = vec![0; 20_000];
    for entry in entries {
        *steps += 1;
        if *steps > 300 {
            return;
        }
        let metadata = tree.metadata(entry.node);
        let _ = tree.lookup(node, &entry.name);
        let _ = tree.link_target(entry.node);
        let _ = tree.own_content(entry.node);
        let size = metadata.map_or(0, |m| m.size);
        for at in [0, 5000, size.saturating_sub(7), u64::MAX] {
            let n = tree.read(entry.node, at, &mut buf).unwrap_or(0);
            assert!(n <= buf.len());
        }
        if entry.kind == NodeKind::Directory && depth < 8 {
            walk(tree, entry.node, depth + 1, steps);
        }
    }
}

/// Places where the image has anything but zeros: changes elsewhere hit nothing.
fn interesting(bytes: &[u8]) -> Vec<usize> {
    let pieces = bytes.chunks(64).enumerate();
    let full = pieces.filter(|(_, piece)| piece.iter().any(|&b| b != 0));
    full.map(|(i, _)| i * 64).collect()
}

fn assault(image: &Image, rounds: u64, open_as: fn(Arc<dyn Volume>)) {
    let bytes = Arc::new(image.bytes());
    let places = interesting(&bytes);
    for round in 0..rounds {
        let mut numbers = Numbers(round);
        let count = 1 + numbers.below(6);
        let change = |_| {
            // Half of the changes near the start, where the volume describes itself.
            let near = (places.len() as u64 / 20).max(1);
            let end = [near, places.len() as u64][numbers.below(2) as usize];
            let at = places[numbers.below(end) as usize] + numbers.below(64) as usize;
            let values = [0, 0xFF, 0x80, numbers.next() as u8, bytes[at.min(bytes.len() - 1)] ^ 1];
            (at.min(bytes.len() - 1), values[numbers.below(5) as usize])
        };
        let volume: Arc<dyn Volume> = Arc::new(Damaged {
            changes: (0..count).map(change).collect(),
            bytes: bytes.clone(),
            read: AtomicU64::new(0),
        });
        let found = allocated(&*volume);
        assert!(found.used.total() <= volume.size());
        open_as(volume);
    }
}

fn any(volume: Arc<dyn Volume>) {
    if let Ok(tree) = open(volume) {
        tree.label();
        walk(&*tree, tree.root(), 0, &mut 0);
    }
}

fn fill(folder: &std::path::Path) {
    let mut numbers = Numbers(1);
    for i in 0..60 {
        let len = numbers.below(3000) as usize;
        std::fs::write(folder.join(format!("file {i}")), numbers.bytes(len)).expect("room");
    }
    std::fs::create_dir_all(folder.join("a/b/c")).expect("folders");
    std::fs::write(folder.join("a/b/c/bottom"), numbers.bytes(90_000)).expect("room");
    std::os::unix::fs::symlink("x".repeat(100), folder.join("a/link")).expect("a link");
}

/// An ext4 image as it is while mounted, so that its journal is read too.
fn live_ext4(args: &[&str]) -> Image {
    let image = Image::new(8 * MIB);
    run("mke2fs", &[&["-q", "-F"], args, &[text(&image.path())]].concat());
    let mount = image.mount("rw");
    fill(mount.path());
    run("sync", &["-f", text(mount.path())]);
    image.copy()
}

#[test]
fn ext4_without_checksums() {
    let args = ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,inline_data", "-I", "256"];
    assault(&live_ext4(&args), 3000, any);
}

#[test]
fn ext4_with_checksums() {
    assault(&live_ext4(&["-t", "ext4", "-b", "1024"]), 1500, any);
}

#[test]
fn ext2_with_block_numbers() {
    let image = Image::new(4 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext2", "-b", "1024", text(&image.path())]);
    fill(image.mount("rw").path());
    assault(&image, 3000, any);
}

#[test]
fn ntfs() {
    let image = Image::new(4 * MIB);
    run("mkntfs", &["-q", "-F", "-f", "-c", "512", text(&image.path())]);
    fill(image.mount_ntfs("rw").path());
    assault(&image, 3000, any);
}

#[test]
fn vfat() {
    let image = Image::new(2 * MIB);
    run("mkfs.vfat", &[text(&image.path())]);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a rather long name"), Numbers(2).bytes(9000)).expect("room");
    run("mcopy", &["-i", text(&image.path()), "-s", text(folder.path()), "::folder"]);
    assault(&image, 3000, any);
}

#[test]
fn partition_tables() {
    for label in ["gpt", "dos"] {
        let image = Image::new(4 * MIB);
        let last = if label == "dos" { ",,E\n,100K\n,200K" } else { ",,L" };
        let script = format!("printf 'label: {label}\\n,1M\\n{last}\\n' | sfdisk -q {}", text(&image.path()));
        run("sh", &["-c", &script]);
        assault(&image, 2000, any);
    }
}
