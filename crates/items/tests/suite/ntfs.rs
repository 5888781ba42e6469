//! NTFS by mkntfs and ntfs-3g (over FUSE); judged by ntfsinfo, ntfscluster, ntfsfix and ntfs-3g's own view.

use crate::tools::{Image, Numbers, output, run, text};
use crate::tree::{Abilities, compare, fill};
use backstay_items::allocation::Ranges;
use backstay_items::ntfs;
use backstay_items::tree::{NodeKind, TreeError};
use std::os::unix::fs::FileExt;
use std::path::Path;

const WINDOWS: Abilities = Abilities { unix: false };
const MIB: u64 = 1 << 20;

fn make(size: u64, args: &[&str]) -> Image {
    let image = Image::new(size);
    let path = image.path();
    let args = [&["-q", "-F", "-f", "-L", "A label"], args, &[text(&path)]].concat();
    run("mkntfs", &args);
    image
}

fn believed(image: &Image) -> Ranges {
    let found = ntfs::allocated(&*image.volume());
    assert_eq!((found.doubt, found.kind), (None, "ntfs"));
    found.used
}

/// ntfscluster counts the bytes that the bitmap calls free.
fn agree(image: &Image, used: &Ranges) {
    let info = run("ntfscluster", &["-i", text(&image.path())]);
    let line = info.lines().find(|l| l.starts_with("bytes of free space"));
    let free = line.and_then(|l| l.split(':').nth(1)).expect(&info);
    let free: u64 = free.trim().parse().expect(&info);
    assert_eq!(used.total(), image.volume().size() - free, "{info}");
}

fn survives_scribbling(image: &Image, original: &Path) {
    let used = believed(image);
    let copy = image.copy();
    copy.scribble_outside(&used);
    run("ntfsfix", &["-n", text(&copy.path())]);
    let mount = copy.mount_ntfs("ro");
    let out = run("diff", &["-r", "--no-dereference", text(original), text(mount.path())]);
    assert_eq!(out, "");
}

fn whole_round(size: u64, args: &[&str]) {
    let image = make(size, args);
    agree(&image, &believed(&image));
    {
        let mount = image.mount_ntfs("rw");
        fill(mount.path(), size, WINDOWS);
    }
    agree(&image, &believed(&image));
    let tree = ntfs::open(image.volume()).expect("a tree");
    assert_eq!(tree.label(), "A label");
    let mount = image.mount_ntfs("ro");
    compare(&*tree, mount.path(), WINDOWS);
    survives_scribbling(&image, mount.path());
}

#[test]
fn ntfs_with_4k_clusters() {
    whole_round(64 * MIB, &["-c", "4096"]);
}

#[test]
fn ntfs_with_512_byte_clusters() {
    whole_round(64 * MIB, &["-c", "512"]);
}

#[test]
fn ntfs_with_64k_clusters() {
    whole_round(160 * MIB, &["-c", "65536"]);
}

#[test]
fn ntfs_with_4k_sectors() {
    whole_round(96 * MIB, &["-s", "4096", "-c", "4096"]);
}

/// Tens of thousands of pieces: the run lists spill into records of their own.
#[test]
fn a_file_in_very_many_pieces() {
    let image = make(96 * MIB, &["-c", "512"]);
    {
        let mount = image.mount_ntfs("rw");
        let open = |name| std::fs::File::create(mount.path().join(name)).expect("a file");
        let (a, b) = (open("a"), open("b"));
        let mut numbers = Numbers(3);
        for i in 0..6000 {
            a.write_all_at(&numbers.bytes(512), i * 1024).expect("room");
            b.write_all_at(&numbers.bytes(512), i * 512).expect("room");
        }
    }
    let info = run("ntfsinfo", &["-f", "-F", "/a", text(&image.path())]);
    assert!(info.contains("ATTRIBUTE_LIST"), "{info}");
    let tree = ntfs::open(image.volume()).expect("a tree");
    let mount = image.mount_ntfs("ro");
    for name in ["a", "b"] {
        let node = tree.lookup(tree.root(), name.as_ref()).expect(name);
        let original = std::fs::read(mount.path().join(name)).expect(name);
        let mut ours = vec![0; original.len() + 1];
        assert_eq!(tree.read(node, 0, &mut ours).expect(name), original.len());
        assert!(ours[..original.len()] == original, "{name}");
    }
}

#[test]
fn compressed_files_expand() {
    let image = make(64 * MIB, &["-c", "4096"]);
    {
        let mount = image.mount_ntfs("rw,compression");
        let folder = mount.path().join("compressed");
        std::fs::create_dir(&folder).expect("a folder");
        // FILE_ATTRIBUTE_DIRECTORY and FILE_ATTRIBUTE_COMPRESSED, which new files take on.
        let set = ["-n", "system.ntfs_attrib_be", "-v", "0x00000810", text(&folder)];
        run("setfattr", &set);
        let words = include_bytes!("tree.rs").repeat(40);
        std::fs::write(folder.join("words"), &words).expect("room");
        let mut mixed = Numbers(9).bytes(300_000);
        mixed[70_000..200_000].fill(0);
        mixed.extend_from_slice(&words[..77_777]);
        std::fs::write(folder.join("mixed"), &mixed).expect("room");
    }
    let info = run("ntfsinfo", &["-F", "/compressed/words", text(&image.path())]);
    assert!(info.contains("COMPRESSED"), "{info}");
    let tree = ntfs::open(image.volume()).expect("a tree");
    let mount = image.mount_ntfs("ro");
    let folder = tree.lookup(tree.root(), "compressed".as_ref()).expect("it");
    for name in ["words", "mixed"] {
        let node = tree.lookup(folder, name.as_ref()).expect(name);
        let original = std::fs::read(mount.path().join("compressed").join(name)).expect(name);
        for at in [0, 1, 65_535, 65_536, 70_000, original.len() - 5] {
            let mut ours = vec![0xEE; 130_000.min(original.len() - at)];
            assert_eq!(tree.read(node, at as u64, &mut ours).expect(name), ours.len());
            assert!(ours == original[at..at + ours.len()], "{name} at {at}");
        }
    }
}

/// What was never written reads as zeros, whatever lies in the clusters. ntfs-3g writes zeros there itself, so the
/// count of written bytes is lowered in the file's record, and ntfs-3g asked how it understands that.
#[test]
fn bytes_behind_the_written_ones_are_zeros() {
    let image = make(32 * MIB, &["-c", "4096"]);
    {
        let mount = image.mount_ntfs("rw");
        std::fs::write(mount.path().join("new"), vec![0x77; 1 << 20]).expect("room");
    }
    let bytes = image.bytes();
    let name: Vec<u8> = "new".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let is = |r: &&[u8]| r.starts_with(b"FILE") && r.windows(6).any(|w| w == name);
    let record = bytes.chunks_exact(1024).position(|r| is(&r)).expect("its record") * 1024;
    let size = (1_u64 << 20).to_le_bytes();
    let sizes = [size, size, size].concat();
    let at = bytes[record..record + 1024].windows(24).position(|w| w == sizes);
    let at = (record + at.expect("three sizes") + 16) as u64;
    let file = std::fs::File::options().write(true).open(image.path()).expect("image");
    file.write_all_at(&5000_u64.to_le_bytes(), at).expect("room");

    let tree = ntfs::open(image.volume()).expect("a tree");
    let node = tree.lookup(tree.root(), "new".as_ref()).expect("it");
    let mut ours = vec![0xEE; 1 << 20];
    assert_eq!(tree.read(node, 0, &mut ours).expect("readable"), 1 << 20);
    assert!(ours[..5000].iter().all(|&b| b == 0x77));
    assert!(ours[5000..].iter().all(|&b| b == 0));
    let mount = image.mount_ntfs("ro");
    let judged = std::fs::read(mount.path().join("new")).expect("it");
    assert!(ours == judged);
}

#[test]
fn a_volume_not_left_in_order_is_not_believed() {
    let image = make(32 * MIB, &["-c", "4096"]);
    // ntfsfix marks the volume for a check by Windows.
    run("ntfsfix", &[text(&image.path())]);
    let found = ntfs::allocated(&*image.volume());
    assert!(found.doubt.is_some_and(|d| d.contains("not in order")));
    assert_eq!(found.used, Ranges::all(32 * MIB));
}

#[test]
fn links_of_windows_are_links() {
    let image = make(32 * MIB, &["-c", "4096"]);
    {
        let mount = image.mount_ntfs("rw");
        let place = mount.path().join("junction");
        std::fs::create_dir(&place).expect("a folder");
        // A mount point to \??\C:\some\place, shown as C:\some\place.
        let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let (system, people) = (wide("\\??\\C:\\some\\place"), wide("C:\\some\\place"));
        let lens = [0, system.len(), system.len() + 2, people.len()];
        let head: Vec<u8> = lens.iter().flat_map(|&n| (n as u16).to_le_bytes()).collect();
        let data = [&head[..], &system, &[0, 0], &people, &[0, 0]].concat();
        let point = [&0xA000_0003_u32.to_le_bytes()[..], &(data.len() as u32).to_le_bytes(), &data].concat();
        let hex: String = point.iter().map(|b| format!("{b:02x}")).collect();
        let set = ["-h", "-n", "system.ntfs_reparse_data", "-v", &format!("0x{hex}"), text(&place)];
        run("setfattr", &set);
    }
    let tree = ntfs::open(image.volume()).expect("a tree");
    let entries = tree.entries(tree.root()).expect("entries");
    assert_eq!(entries.len(), 1, "the volume's own files are hidden");
    assert_eq!(entries[0].kind, NodeKind::Symlink);
    let target = tree.link_target(entries[0].node).expect("a target");
    assert_eq!(target, "C:/some/place");
    let own = tree.metadata(backstay_items::tree::NodeId(6));
    assert!(matches!(own, Err(TreeError::NotFound)));
    assert!(output("ntfsinfo", &["-m", text(&image.path())]).status.success());
}
