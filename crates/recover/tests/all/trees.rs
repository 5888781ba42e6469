//! File trees to mount: a directory of this machine, and one made up to be difficult.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use backstay_items::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};

/// A directory of this machine, for comparing with what a mount shows of it.
pub(crate) struct HostTree {
    root: NodeId,
    paths: HashMap<NodeId, PathBuf>,
}

impl HostTree {
    pub(crate) fn new(root: &Path) -> HostTree {
        let id = NodeId(fs::metadata(root).expect("root").ino());
        let mut tree = HostTree { root: id, paths: HashMap::from([(id, root.to_owned())]) };
        tree.walk(root);
        tree
    }

    fn walk(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).expect("directory") {
            let path = entry.expect("entry").path();
            let meta = fs::symlink_metadata(&path).expect("metadata");
            self.paths.insert(NodeId(meta.ino()), path.clone());
            if meta.is_dir() {
                self.walk(&path);
            }
        }
    }

    fn path(&self, node: NodeId) -> Result<&Path, TreeError> {
        self.paths.get(&node).map(PathBuf::as_path).ok_or(TreeError::NotFound)
    }
}

fn kind(t: fs::FileType) -> NodeKind {
    match t {
        t if t.is_dir() => NodeKind::Directory,
        t if t.is_symlink() => NodeKind::Symlink,
        t if t.is_char_device() => NodeKind::CharDevice,
        t if t.is_block_device() => NodeKind::BlockDevice,
        t if t.is_fifo() => NodeKind::Fifo,
        t if t.is_socket() => NodeKind::Socket,
        _ => NodeKind::File,
    }
}

fn time(seconds: i64, nanos: i64) -> FileTime {
    FileTime { seconds, nanos: nanos as u32 }
}

impl FileTree for HostTree {
    fn kind(&self) -> &'static str {
        "host"
    }

    fn label(&self) -> String {
        String::new()
    }

    fn root(&self) -> NodeId {
        self.root
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        let m = fs::symlink_metadata(self.path(node)?).map_err(TreeError::Io)?;
        Ok(Metadata {
            kind: kind(m.file_type()),
            size: m.size(),
            permissions: (m.mode() & 0o7777) as u16,
            uid: m.uid(),
            gid: m.gid(),
            links: m.nlink() as u32,
            device: (rustix::fs::major(m.rdev()), rustix::fs::minor(m.rdev())),
            modified: time(m.mtime(), m.mtime_nsec()),
            changed: time(m.ctime(), m.ctime_nsec()),
            accessed: time(m.atime(), m.atime_nsec()),
        })
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let entry = |e: io::Result<fs::DirEntry>| {
            let e = e?;
            let meta = e.path().symlink_metadata()?;
            Ok(Entry { name: e.file_name(), node: NodeId(meta.ino()), kind: kind(meta.file_type()) })
        };
        let all = fs::read_dir(self.path(directory)?).map_err(TreeError::Io)?;
        all.map(entry).collect::<io::Result<_>>().map_err(TreeError::Io)
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let file = fs::File::open(self.path(file)?).map_err(TreeError::Io)?;
        let (mut done, len) = (0, buf.len());
        while done < len {
            match file.read_at(&mut buf[done..], offset + done as u64).map_err(TreeError::Io)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError> {
        fs::read_link(self.path(link)?).map(Into::into).map_err(TreeError::Io)
    }
}

/// A root with many files, among them some that cannot be read, and names that no kernel takes. Node ids are large.
pub(crate) struct OddTree {
    pub(crate) files: u64,
}

const ROOT: NodeId = NodeId(u64::MAX);
/// Reading this one fails, naming a damage.
pub(crate) const DAMAGED: u64 = 3;
/// Nothing is known of this one.
pub(crate) const LOST: u64 = 4;
/// This one is of a kind that the reader does not know.
pub(crate) const STRANGE: u64 = 5;

fn odd_id(number: u64) -> NodeId {
    NodeId(u64::MAX - 1 - number)
}

impl FileTree for OddTree {
    fn kind(&self) -> &'static str {
        "odd"
    }

    fn label(&self) -> String {
        String::new()
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        if node == odd_id(LOST) {
            return Err(TreeError::Damaged("its record is gone".into()));
        }
        let kind = if node == ROOT { NodeKind::Directory } else { NodeKind::File };
        let old = FileTime { seconds: -86_400, nanos: 500_000_000 };
        Ok(Metadata {
            kind,
            size: 6,
            permissions: 0o755,
            uid: 70_000,
            gid: 80_000,
            links: 1,
            device: (0, 0),
            modified: old,
            changed: old,
            accessed: old,
        })
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        if directory != ROOT {
            return Err(TreeError::WrongKind("directory"));
        }
        let entry = |name: OsString, number| Entry { name, node: odd_id(number), kind: NodeKind::File };
        let mut all: Vec<_> = (0..self.files).map(|n| entry(format!("file-{n:06}").into(), n)).collect();
        all.extend(["", ".", "..", "a/b", "nul\0"].map(|name| entry(name.into(), 0)));
        all.push(entry("n".repeat(2000).into(), 0));
        all.push(entry("ä".repeat(255).into(), 0));
        Ok(all)
    }

    fn lookup(&self, _: NodeId, name: &OsStr) -> Result<NodeId, TreeError> {
        let number = name.to_str().and_then(|n| n.strip_prefix("file-")?.parse().ok());
        match number {
            Some(number) if number < self.files => Ok(odd_id(number)),
            _ if name == "ä".repeat(255).as_str() => Ok(odd_id(0)),
            _ => Err(TreeError::NotFound),
        }
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        if file == odd_id(DAMAGED) {
            return Err(TreeError::Damaged("an extent lies outside the volume".into()));
        }
        if file == odd_id(STRANGE) {
            return Err(TreeError::Unsupported("a compressed file".into()));
        }
        let rest = b"hello\n".get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn link_target(&self, _: NodeId) -> Result<OsString, TreeError> {
        Err(TreeError::WrongKind("symbolic link"))
    }
}
