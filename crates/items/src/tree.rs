//! A file system seen as a read-only tree: what a mount, a listing and a copy need, and no more.
//!
//! Never knows: which file system it is, or where its bytes come from.

use std::ffi::OsString;

/// A file's number within one file system: its inode or record number. Stable for one opened image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Holds bytes.
    File,
    /// Holds names.
    Directory,
    /// Names another path.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl NodeKind {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::File => "file",
            NodeKind::Directory => "directory",
            NodeKind::Symlink => "symlink",
            NodeKind::CharDevice => "character device",
            NodeKind::BlockDevice => "block device",
            NodeKind::Fifo => "fifo",
            NodeKind::Socket => "socket",
        }
    }
}

/// A time as file systems keep it; before 1970 is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds from 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds to add, below 10^9.
    pub nanos: u32,
}

/// What is known of a node without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes it holds; for a symbolic link the length of its target.
    pub size: u64,
    /// The twelve permission bits. File systems without them say 0o755 for directories and 0o644 for files.
    pub permissions: u16,
    /// Owner; 0 where the file system has none.
    pub uid: u32,
    /// Group; 0 where the file system has none.
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Device numbers (major, minor) of a device node, else (0, 0).
    pub device: (u32, u32),
    /// Last change of content.
    pub modified: FileTime,
    /// Last change of content or metadata.
    pub changed: FileTime,
    /// Last access.
    pub accessed: FileTime,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without separators; never `.` or `..`.
    pub name: OsString,
    /// What it names.
    pub node: NodeId,
    /// What that is.
    pub kind: NodeKind,
}

/// Why a file system could not answer.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No such node, or no such name in the directory.
    #[error("no such file or directory")]
    NotFound,
    /// The question does not fit the node, such as listing a file.
    #[error("not a {0}")]
    WrongKind(&'static str),
    /// The image contradicts itself: what, and where.
    #[error("the file system is damaged: {0}")]
    Damaged(String),
    /// Well formed, but of a kind this reader does not know: which.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The volume beneath could not be read.
    #[error("the volume could not be read")]
    Io(#[source] std::io::Error),
}

/// A file system opened for reading. Hostile images are expected: no panic, no endless loop, and no allocation
/// larger than a small multiple of the bytes read, whatever they say.
pub trait FileTree: Send + Sync {
    /// The file system's usual name, such as `ext4`.
    fn kind(&self) -> &'static str;

    /// The volume's label; empty if there is none.
    fn label(&self) -> String;

    /// The top directory.
    fn root(&self) -> NodeId;

    /// What is known of a node.
    ///
    /// # Errors
    /// [`TreeError`].
    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError>;

    /// The names in a directory, in no promised order.
    ///
    /// # Errors
    /// [`TreeError`].
    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError>;

    /// Finds one name in a directory, exactly as spelled.
    ///
    /// # Errors
    /// [`TreeError::NotFound`].
    fn lookup(&self, directory: NodeId, name: &std::ffi::OsStr) -> Result<NodeId, TreeError> {
        let found = self.entries(directory)?.into_iter().find(|e| e.name == name);
        found.map(|e| e.node).ok_or(TreeError::NotFound)
    }

    /// Reads from a file; short only at its end. Holes read as zeros.
    ///
    /// # Errors
    /// [`TreeError`].
    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError>;

    /// Where on the volume a file's content lies, in bytes and in no promised order, as far as the volume holds nothing else
    /// there: not what is kept inside metadata, and not what another file or a snapshot shares. Each copy counts where
    /// the file system keeps several. A reader that cannot tell says nothing.
    ///
    /// # Errors
    /// [`TreeError`].
    fn own_content(&self, file: NodeId) -> Result<Vec<std::ops::Range<u64>>, TreeError> {
        let _ = file;
        Ok(Vec::new())
    }

    /// The target of a symbolic link, as stored.
    ///
    /// # Errors
    /// [`TreeError`].
    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError>;
}

/// Walks to a path. Symbolic links on the way are not followed: they may lead out of the file system.
///
/// # Errors
/// How far it came, and why not farther: [`TreeError::WrongKind`] where the path leads through what is no folder.
pub fn walk(tree: &dyn FileTree, path: &str) -> Result<NodeId, (NodeId, TreeError)> {
    let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
    let mut node = tree.root();
    for name in names {
        node = tree.lookup(node, std::ffi::OsStr::new(name)).map_err(|error| (node, error))?;
    }
    Ok(node)
}
