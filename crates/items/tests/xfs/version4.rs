//! Version 4 images, which the kernel may no longer mount: filled by `mkfs.xfs` from a list of files.

use std::fs;
use std::path::Path;

use backstay_items::tree::{FileTree, NodeId, NodeKind};

use crate::support::{Image, Random, content, run};

/// A source tree and the list that tells `mkfs.xfs` of it.
pub(crate) fn source(dir: &Path, names: usize) -> String {
    let mut random = Random(11);
    let files = [("small", 10), ("block", 4096), ("large", 900_000)];
    let mut list = String::from("/nothing\n0 0\nd--755 0 0\n");
    for (name, len) in files {
        fs::write(dir.join(name), random.bytes(len)).unwrap();
        list += &format!("{name} -u-640 7 70000 {}\n", dir.join(name).display());
    }
    list += "device b--600 0 0 8 17\ntty c--620 0 5 4 64\npipe p--644 0 0\n";
    list += &format!("short l--777 0 0 target\nlong l--777 0 0 {}\n", "t".repeat(700));
    list += "many d--711 3 4\n";
    for i in 0..names {
        list += &format!("name_{i} ---644 0 0 {}\n", dir.join("small").display());
    }
    list += "$\nempty d--700 0 0\n$\n$\n";
    list
}

fn check(options: &[&str], names: usize) {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    fs::write(&list, source(dir.path(), names)).unwrap();
    let mut all = vec!["-p", list.to_str().unwrap()];
    all.extend(options);
    let image = Image::make(400, &all);
    run("xfs_repair", &["-n", image.path.to_str().unwrap()]);
    let tree = image.open();
    let find = |name: &str| tree.lookup(tree.root(), name.as_ref()).unwrap();
    for name in ["small", "block", "large"] {
        let same = content(&tree, find(name), 5000) == fs::read(dir.path().join(name)).unwrap();
        assert!(same, "{name}");
    }
    let small = tree.metadata(find("small")).unwrap();
    assert_eq!((small.permissions, small.uid, small.gid, small.links), (0o4640, 7, 70_000, 1));
    let device = tree.metadata(find("device")).unwrap();
    assert_eq!((device.kind, device.device), (NodeKind::BlockDevice, (8, 17)));
    assert_eq!(tree.metadata(find("tty")).unwrap().device, (4, 64));
    assert_eq!(tree.metadata(find("pipe")).unwrap().kind, NodeKind::Fifo);
    assert_eq!(tree.link_target(find("short")).unwrap(), "target");
    assert_eq!(tree.link_target(find("long")).unwrap(), "t".repeat(700).as_str());
    assert!(tree.entries(find("empty")).unwrap().is_empty());
    check_many(&tree, find("many"), names);
}

fn check_many(tree: &dyn FileTree, many: NodeId, names: usize) {
    let mut found: Vec<String> = Vec::new();
    for entry in tree.entries(many).unwrap() {
        assert_eq!(entry.kind, NodeKind::File);
        assert_eq!(tree.lookup(many, &entry.name).unwrap(), entry.node);
        found.push(entry.name.into_string().unwrap());
    }
    let mut expected: Vec<String> = (0..names).map(|i| format!("name_{i}")).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn as_made_today() {
    for names in [0, 3, 60, 300, 3_000] {
        check(&["-m", "crc=0"], names);
    }
}

#[test]
fn with_the_oldest_features() {
    let options = ["-m", "crc=0", "-i", "attr=1,projid32bit=0", "-n", "ftype=0", "-l", "version=1"];
    check(&options, 300);
}

#[test]
fn small_and_large_blocks() {
    check(&["-m", "crc=0", "-b", "size=512"], 2_000);
    check(&["-m", "crc=0", "-b", "size=65536"], 2_000);
    check(&["-m", "crc=0", "-b", "size=1024", "-n", "size=32768"], 3_000);
}
