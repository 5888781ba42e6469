//! Images, mounts and comparisons for the tests. Needs root, loop devices and xfsprogs; fails without them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use backstay_env::volume::{Volume, check_range};
use backstay_items::tree::{Entry, FileTree, Metadata, NodeId, NodeKind};
use backstay_items::xfs::Xfs;

/// A file as a volume.
pub(crate) struct FileVolume(File, u64);

impl FileVolume {
    pub(crate) fn open(path: &Path) -> Arc<FileVolume> {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Arc::new(FileVolume(file, size))
    }
}

impl Volume for FileVolume {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.1, offset, buf.len() as u64)?;
        self.0.read_exact_at(buf, offset)
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("{program} (is its package installed?): {e}"));
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// An image file in a directory of its own.
pub(crate) struct Image {
    dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Image {
    /// A sparse file of `mib` MiB made into an XFS with `options`.
    pub(crate) fn make(mib: u64, options: &[&str]) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        let mut args = vec!["--unsupported", "-q", "-f"];
        args.extend(options);
        args.push(path.to_str().unwrap());
        run("mkfs.xfs", &args);
        Image { dir, path }
    }

    pub(crate) fn copy(&self) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        run("cp", &["--sparse=always", self.path.to_str().unwrap(), path.to_str().unwrap()]);
        Image { dir, path }
    }

    pub(crate) fn mount(&self, options: &str) -> Mount {
        let at = self.dir.path().join("mnt");
        fs::create_dir_all(&at).unwrap();
        let options = format!("loop,{options}");
        run("mount", &["-t", "xfs", "-o", &options, self.path.to_str().unwrap(), at.to_str().unwrap()]);
        Mount { at }
    }

    pub(crate) fn open(&self) -> Xfs {
        Xfs::open(FileVolume::open(&self.path)).unwrap()
    }
}

/// A mounted image, unmounted when dropped; its loop device goes with it.
pub(crate) struct Mount {
    pub(crate) at: PathBuf,
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A child that another test is just starting may hold a descriptor for a moment.
        for _ in 0..50 {
            let done = Command::new("umount").arg(&self.at).output();
            if done.is_ok_and(|out| out.status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("could not unmount {}", self.at.display());
    }
}

fn kind_of(t: fs::FileType) -> NodeKind {
    match () {
        () if t.is_dir() => NodeKind::Directory,
        () if t.is_symlink() => NodeKind::Symlink,
        () if t.is_char_device() => NodeKind::CharDevice,
        () if t.is_block_device() => NodeKind::BlockDevice,
        () if t.is_fifo() => NodeKind::Fifo,
        () if t.is_socket() => NodeKind::Socket,
        () => NodeKind::File,
    }
}

/// Metadata as the kernel tells it, in our words, without the time of last access.
fn told(path: &Path) -> Metadata {
    let m = fs::symlink_metadata(path).unwrap();
    let time = |seconds, nanos: i64| backstay_items::tree::FileTime { seconds, nanos: nanos as u32 };
    let rdev = m.rdev();
    let device = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    Metadata {
        kind: kind_of(m.file_type()),
        size: m.size(),
        permissions: (m.mode() & 0o7777) as u16,
        uid: m.uid(),
        gid: m.gid(),
        links: m.nlink() as u32,
        device,
        modified: time(m.mtime(), m.mtime_nsec()),
        changed: time(m.ctime(), m.ctime_nsec()),
        accessed: time(m.atime(), m.atime_nsec()),
    }
}

/// Compares every name, inode number, metadata and content below `path` with the tree; returns how many nodes.
pub(crate) fn compare(tree: &dyn FileTree, path: &Path) -> usize {
    compare_node(tree, tree.root(), path)
}

fn compare_node(tree: &dyn FileTree, node: NodeId, path: &Path) -> usize {
    let metadata = tree.metadata(node).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(metadata, told(path), "{}", path.display());
    assert_eq!(node.0, fs::symlink_metadata(path).unwrap().ino(), "{}", path.display());
    match metadata.kind {
        NodeKind::Directory => 1 + compare_directory(tree, node, path),
        NodeKind::File => {
            let ours = content(tree, node, 100_003);
            assert!(ours == fs::read(path).unwrap(), "content of {}", path.display());
            1
        }
        NodeKind::Symlink => {
            assert_eq!(tree.link_target(node).unwrap(), fs::read_link(path).unwrap());
            1
        }
        _ => 1,
    }
}

fn compare_directory(tree: &dyn FileTree, node: NodeId, path: &Path) -> usize {
    let entries = tree.entries(node).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let count = entries.len();
    let ours: BTreeMap<OsString, Entry> = entries.into_iter().map(|e| (e.name.clone(), e)).collect();
    assert_eq!(ours.len(), count, "{}: a name twice", path.display());
    let mut theirs: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap()).collect();
    theirs.sort_by_key(|e| e.file_name());
    let names: Vec<_> = theirs.iter().map(|e| e.file_name()).collect();
    assert!(ours.keys().eq(&names), "names in {}", path.display());
    let mut nodes = 0;
    for entry in theirs {
        let mine = &ours[&entry.file_name()];
        assert_eq!(mine.kind, kind_of(entry.file_type().unwrap()));
        assert_eq!(tree.lookup(node, &mine.name).unwrap(), mine.node, "{:?}", mine.name);
        nodes += compare_node(tree, mine.node, &entry.path());
    }
    let absent = tree.lookup(node, "no such name".as_ref());
    assert!(matches!(absent, Err(backstay_items::tree::TreeError::NotFound)), "{absent:?}");
    nodes
}

/// A file's bytes, read in odd steps.
pub(crate) fn content(tree: &dyn FileTree, file: NodeId, step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut buf = vec![0xaa; step];
    loop {
        let got = tree.read(file, out.len() as u64, &mut buf).unwrap();
        if got == 0 {
            return out;
        }
        out.extend_from_slice(&buf[..got]);
    }
}

/// A reproducible stream of numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}
