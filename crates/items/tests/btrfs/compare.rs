//! A whole tree compared with a kernel's mount of the same bytes: names, metadata, content, links.

use backstay_items::tree::{FileTime, FileTree, NodeId, NodeKind};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

/// The inode number of the kernel's stand-in for a subvolume that a snapshot does not hold.
const STAND_IN: u64 = 2;

#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) files: u64,
    pub(crate) directories: u64,
    pub(crate) bytes: u64,
    nodes: HashMap<(u64, u64), NodeId>,
    inodes: HashMap<NodeId, (u64, u64)>,
    /// Times from then on were set by the mount that judges (replay touches what it unlinks): not compared.
    mounted_at: Option<i64>,
}

/// Compares everything under `dir` with `tree`; panics at the first difference.
pub(crate) fn compare(tree: &dyn FileTree, dir: &Path) -> Compared {
    let mut compared = Compared::default();
    compared.node(tree, tree.root(), dir);
    compared
}

/// As [`compare`], where the mount replayed a log at `mounted_at`, in seconds.
pub(crate) fn compare_replayed(tree: &dyn FileTree, dir: &Path, mounted_at: i64) -> Compared {
    let mut compared = Compared { mounted_at: Some(mounted_at), ..Compared::default() };
    compared.node(tree, tree.root(), dir);
    compared
}

impl Compared {
    fn node(&mut self, tree: &dyn FileTree, node: NodeId, path: &Path) {
        let real = fs::symlink_metadata(path).unwrap();
        let ours = tree.metadata(node);
        let ours = ours.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(ours.kind, kind(&real.file_type()), "{}", path.display());
        if real.ino() == STAND_IN {
            assert!(tree.entries(node).unwrap().is_empty(), "{}", path.display());
            return;
        }
        self.same_metadata(path, &real, &ours);
        self.same_identity(path, &real, node);
        match ours.kind {
            NodeKind::Directory => self.directory(tree, node, path),
            NodeKind::File => self.file(tree, node, path, ours.size),
            NodeKind::Symlink => {
                let target = fs::read_link(path).unwrap();
                assert_eq!(tree.link_target(node).unwrap(), target.into_os_string());
            }
            _ => {}
        }
    }

    fn same_metadata(&self, path: &Path, real: &fs::Metadata, ours: &backstay_items::tree::Metadata) {
        let device = real.rdev();
        let major = (device >> 8 & 0xfff | device >> 32 & !0xfff) as u32;
        let minor = (device & 0xff | device >> 12 & !0xff) as u32;
        let real_facts = (real.size(), real.mode() & 0o7777, real.uid(), real.gid(), real.nlink());
        let our_facts = (ours.size, u32::from(ours.permissions), ours.uid, ours.gid, u64::from(ours.links));
        assert_eq!(our_facts, real_facts, "size, mode, owner, links of {}", path.display());
        assert_eq!(ours.device, (major, minor), "device of {}", path.display());
        let times = [
            ("modified", ours.modified, real.mtime(), real.mtime_nsec()),
            ("changed", ours.changed, real.ctime(), real.ctime_nsec()),
            ("accessed", ours.accessed, real.atime(), real.atime_nsec()),
        ];
        for (what, time, seconds, nanos) in times {
            if self.mounted_at.is_some_and(|at| seconds >= at) {
                continue;
            }
            let real = FileTime { seconds, nanos: nanos as u32 };
            assert_eq!(time, real, "time {what} of {}", path.display());
        }
    }

    /// Two names are one node for us exactly when they are for the kernel.
    fn same_identity(&mut self, path: &Path, real: &fs::Metadata, node: NodeId) {
        let inode = (real.dev(), real.ino());
        let known = *self.nodes.entry(inode).or_insert(node);
        assert_eq!(known, node, "{} is two nodes", path.display());
        let known = *self.inodes.entry(node).or_insert(inode);
        assert_eq!(known, inode, "{} shares its node", path.display());
    }

    fn directory(&mut self, tree: &dyn FileTree, node: NodeId, path: &Path) {
        self.directories += 1;
        let entries = tree.entries(node);
        let entries = entries.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let count = entries.len();
        let ours: BTreeMap<OsString, (NodeId, NodeKind)> =
            entries.into_iter().map(|e| (e.name, (e.node, e.kind))).collect();
        assert_eq!(count, ours.len(), "a name twice in {}", path.display());
        let listed = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name());
        let mut real: Vec<OsString> = listed.collect();
        real.sort();
        let our_names: Vec<&OsStr> = ours.keys().map(OsString::as_os_str).collect();
        assert_eq!(our_names, real, "names in {}", path.display());
        for (name, (child, kind)) in &ours {
            let found = tree.lookup(node, name).unwrap();
            assert_eq!(found, *child, "{} in {}", name.display(), path.display());
            assert_eq!(tree.metadata(found).unwrap().kind, *kind);
            self.node(tree, *child, &path.join(name));
        }
    }

    fn file(&mut self, tree: &dyn FileTree, node: NodeId, path: &Path, size: u64) {
        self.files += 1;
        let real = fs::File::open(path).unwrap();
        // An odd piece length, so that reads begin and end inside sectors and extents.
        let mut ours = vec![0; 300_001];
        let mut theirs = vec![0; 300_001];
        let mut offset = 0;
        while offset < size {
            let n = tree.read(node, offset, &mut ours);
            let n = n.unwrap_or_else(|e| panic!("{} at {offset}: {e}", path.display()));
            assert_eq!(n as u64, (size - offset).min(ours.len() as u64));
            real.read_exact_at(&mut theirs[..n], offset).unwrap();
            let differ = (0..n).find(|i| ours[*i] != theirs[*i]);
            let differ = differ.map(|i| offset + i as u64);
            assert_eq!(differ, None, "first different byte of {}", path.display());
            offset += n as u64;
            self.bytes += n as u64;
        }
        assert_eq!(tree.read(node, size, &mut ours).unwrap(), 0);
    }
}

fn kind(of: &fs::FileType) -> NodeKind {
    match () {
        () if of.is_dir() => NodeKind::Directory,
        () if of.is_symlink() => NodeKind::Symlink,
        () if of.is_char_device() => NodeKind::CharDevice,
        () if of.is_block_device() => NodeKind::BlockDevice,
        () if of.is_fifo() => NodeKind::Fifo,
        () if of.is_socket() => NodeKind::Socket,
        () => NodeKind::File,
    }
}
