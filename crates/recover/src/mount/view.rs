//! The tree that is shown: our own folders and files, and beneath them those of the file systems.
//!
//! Never knows: FUSE.

use std::ffi::{OsStr, OsString};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use backstay_env::volume::{Content, Volume};
use backstay_items::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};

use super::inode::{Inodes, MAX_TREES, Place, TreeNumber};
use super::parts::{Disk, OpenTree, Part, bad_name};
use crate::{Log, spans};

/// Our own tree.
const OURS: TreeNumber = TreeNumber(0);
/// The number of the top folder.
pub(super) const ROOT: u64 = 1;

/// A name in a folder.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) name: OsString,
    pub(super) inode: u64,
    pub(super) kind: NodeKind,
}

/// Why something cannot be shown. What is not the asker's fault has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    NotADirectory,
    WrongKind,
    Unsupported,
    Unreadable,
    PastTheEnd,
}

/// A node of our own.
#[derive(Clone)]
enum Node {
    Root,
    Folder(usize),
    Image(Arc<dyn Volume>),
    Text(Arc<str>),
}

struct OpenedTree {
    /// Such as `sda/p1`, for log lines.
    label: String,
    tree: Arc<dyn FileTree>,
}

struct ShownDisk {
    disk: Disk,
    image: u64,
    folder: u64,
    inside: OnceLock<Inside>,
}

enum Inside {
    Parts(Vec<ShownPart>),
    /// The text that says why there are none.
    Why(u64),
}

struct ShownPart {
    name: String,
    image: Option<u64>,
    open: OpenTree,
    files: OnceLock<Files>,
}

#[derive(Clone, Copy)]
enum Files {
    Root(u64),
    Why(u64),
}

/// Who owns what is ours, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) time: SystemTime,
}

/// All that is shown.
pub(super) struct View {
    disks: Vec<ShownDisk>,
    owner: Owner,
    log: Log,
    inodes: Inodes,
    /// The node with id `n` is the one at `n - 1`.
    nodes: RwLock<Vec<Node>>,
    /// The tree with number `n` is the one at `n - 1`.
    trees: RwLock<Vec<Arc<OpenedTree>>>,
}

impl View {
    /// Shows these disks. Does not look into them yet.
    ///
    /// # Errors
    /// The first name that cannot be shown.
    pub(super) fn new(disks: Vec<Disk>, owner: Owner, log: Log) -> Result<View, String> {
        if let Some(name) = bad_name(disks.iter().map(|d| d.name.as_str())) {
            return Err(name);
        }
        let (inodes, nodes, trees) = (Inodes::default(), RwLock::new(vec![Node::Root]), RwLock::default());
        let mut view = View { disks: Vec::new(), owner, log, inodes, nodes, trees };
        for (index, disk) in disks.into_iter().enumerate() {
            let image = view.add(Node::Image(disk.volume.clone()));
            let folder = view.add(Node::Folder(index));
            view.disks.push(ShownDisk { disk, image, folder, inside: OnceLock::new() });
        }
        Ok(view)
    }

    /// The sum of the disks' sizes, in bytes.
    pub(super) fn total(&self) -> u64 {
        self.disks.iter().fold(0, |sum: u64, d| sum.saturating_add(d.disk.volume.size()))
    }

    fn add(&self, node: Node) -> u64 {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.push(node);
        self.inodes.number((OURS, NodeId(nodes.len() as u64)))
    }

    fn add_why(&self, why: &str) -> u64 {
        self.add(Node::Text(format!("{}\n", why.trim_end()).into()))
    }

    fn at(&self, inode: u64) -> Result<Target, Refusal> {
        let (TreeNumber(tree), NodeId(id)) = self.inodes.place(inode).ok_or(Refusal::NotFound)?;
        if TreeNumber(tree) == OURS {
            let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
            let node = usize::try_from(id).ok().and_then(|id| nodes.get(id.checked_sub(1)?).cloned());
            return node.map(Target::Ours).ok_or(Refusal::NotFound);
        }
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let opened = trees.get(usize::from(tree) - 1).cloned().ok_or(Refusal::NotFound)?;
        Ok(Target::File(opened, TreeNumber(tree), NodeId(id)))
    }

    /// Finds a name in a folder.
    pub(super) fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64, Refusal> {
        match self.at(folder)? {
            Target::File(opened, number, directory) => {
                let found = opened.tree.lookup(directory, name);
                Ok(self.inodes.number((number, found.map_err(|e| self.refuse(&opened, directory, &e))?)))
            }
            Target::Ours(Node::Root) => self.in_root(name).ok_or(Refusal::NotFound),
            Target::Ours(Node::Folder(disk)) => self.in_disk(disk, name).ok_or(Refusal::NotFound),
            Target::Ours(Node::Image(_) | Node::Text(_)) => Err(Refusal::NotADirectory),
        }
    }

    fn in_root(&self, name: &OsStr) -> Option<u64> {
        self.disks.iter().find_map(|d| match name.to_str()? {
            name if name == d.disk.name => Some(d.folder),
            name => (name.strip_suffix(".img")? == d.disk.name).then_some(d.image),
        })
    }

    fn in_disk(&self, disk: usize, name: &OsStr) -> Option<u64> {
        let name = name.to_str()?;
        let parts = match self.inside(disk) {
            Inside::Parts(parts) => parts,
            Inside::Why(text) => return (name == "why.txt").then_some(*text),
        };
        parts.iter().find_map(|part| match name.strip_prefix(&part.name)? {
            ".img" => part.image,
            "" => match self.files(disk, part) {
                Files::Root(root) => Some(root),
                Files::Why(_) => None,
            },
            ".why.txt" => match self.files(disk, part) {
                Files::Root(_) => None,
                Files::Why(text) => Some(text),
            },
            _ => None,
        })
    }

    /// What is on a disk; looks at the first call.
    fn inside(&self, disk: usize) -> &Inside {
        let shown = &self.disks[disk];
        shown.inside.get_or_init(|| {
            let parts = (shown.disk.parts)().and_then(|parts| match bad_name(parts.iter().map(|p| p.name.as_str())) {
                Some(name) => Err(format!("A part of the disk has a name that cannot be shown: {name:?}.")),
                None => Ok(parts),
            });
            match parts {
                Ok(parts) => Inside::Parts(parts.into_iter().map(|part| self.show(part)).collect()),
                Err(why) => {
                    self.log.line(&format!("mount: {}: {why}", shown.disk.name));
                    Inside::Why(self.add_why(&why))
                }
            }
        })
    }

    fn show(&self, part: Part) -> ShownPart {
        let image = part.volume.map(|volume| self.add(Node::Image(volume)));
        ShownPart { name: part.name, image, open: part.open, files: OnceLock::new() }
    }

    /// The files of a part; opens its file system at the first call.
    fn files(&self, disk: usize, part: &ShownPart) -> Files {
        *part.files.get_or_init(|| {
            let label = format!("{}/{}", self.disks[disk].disk.name, part.name);
            match (part.open)().and_then(|tree| self.add_tree(label.clone(), tree)) {
                Ok(place) => Files::Root(self.inodes.number(place)),
                Err(why) => {
                    self.log.line(&format!("mount: {label}: {why}"));
                    Files::Why(self.add_why(&why))
                }
            }
        })
    }

    fn add_tree(&self, label: String, tree: Arc<dyn FileTree>) -> Result<Place, String> {
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        if trees.len() >= MAX_TREES {
            return Err("Too many file systems are open in this mount.".into());
        }
        let root = tree.root();
        trees.push(Arc::new(OpenedTree { label, tree }));
        Ok((TreeNumber(trees.len() as u16), root))
    }

    /// The names in a folder, in an order that stays.
    pub(super) fn list(&self, folder: u64) -> Result<Vec<Shown>, Refusal> {
        let mut names = match self.at(folder)? {
            Target::File(opened, number, directory) => self.list_files(&opened, number, directory)?,
            Target::Ours(Node::Root) => self.list_root(),
            Target::Ours(Node::Folder(disk)) => self.list_disk(disk),
            Target::Ours(Node::Image(_) | Node::Text(_)) => return Err(Refusal::NotADirectory),
        };
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    fn list_root(&self) -> Vec<Shown> {
        let both =
            |d: &ShownDisk| [file(format!("{}.img", d.disk.name), d.image), directory(d.disk.name.clone(), d.folder)];
        self.disks.iter().flat_map(both).collect()
    }

    fn list_disk(&self, disk: usize) -> Vec<Shown> {
        let parts = match self.inside(disk) {
            Inside::Parts(parts) => parts,
            Inside::Why(text) => return vec![file("why.txt".into(), *text)],
        };
        let mut names = Vec::new();
        for part in parts {
            names.extend(part.image.map(|image| file(format!("{}.img", part.name), image)));
            names.push(match self.files(disk, part) {
                Files::Root(root) => directory(part.name.clone(), root),
                Files::Why(text) => file(format!("{}.why.txt", part.name), text),
            });
        }
        names
    }

    fn list_files(&self, opened: &OpenedTree, number: TreeNumber, folder: NodeId) -> Result<Vec<Shown>, Refusal> {
        let entries = opened.tree.entries(folder).map_err(|e| self.refuse(opened, folder, &e))?;
        let (good, bad): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|e| is_file_name(&e.name));
        if let Some(entry) = bad.first() {
            let (label, NodeId(id)) = (&opened.label, folder);
            let (count, name) = (bad.len(), &entry.name);
            self.log.line(&format!("mount: {label}: directory {id}: {count} names cannot be shown, such as {name:?}"));
        }
        let shown = |e: Entry| Shown { inode: self.inodes.number((number, e.node)), name: e.name, kind: e.kind };
        Ok(good.into_iter().map(shown).collect())
    }

    /// What is known of a node.
    pub(super) fn metadata(&self, inode: u64) -> Result<Metadata, Refusal> {
        Ok(match self.at(inode)? {
            Target::File(opened, _, node) => opened.tree.metadata(node).map_err(|e| self.refuse(&opened, node, &e))?,
            Target::Ours(Node::Root) => self.ours(NodeKind::Directory, 0o555, 0, 2 + self.disks.len() as u32),
            Target::Ours(Node::Folder(_)) => self.ours(NodeKind::Directory, 0o555, 0, 2),
            // Whoever may look at a file need not see the whole disk.
            Target::Ours(Node::Image(volume)) => self.ours(NodeKind::File, 0o400, volume.size(), 1),
            Target::Ours(Node::Text(text)) => self.ours(NodeKind::File, 0o444, text.len() as u64, 1),
        })
    }

    fn ours(&self, kind: NodeKind, permissions: u16, size: u64, links: u32) -> Metadata {
        let Owner { uid, gid, time } = self.owner;
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = FileTime { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() };
        let device = (0, 0);
        Metadata { kind, size, permissions, uid, gid, links, device, modified: time, changed: time, accessed: time }
    }

    /// Reads from a file into `buf`; short only at its end.
    pub(super) fn read(&self, inode: u64, offset: u64, buf: &mut [u8]) -> Result<usize, Refusal> {
        match self.at(inode)? {
            Target::File(opened, _, node) => {
                opened.tree.read(node, offset, buf).map_err(|e| self.refuse(&opened, node, &e))
            }
            Target::Ours(Node::Image(volume)) => self.read_image(&*volume, offset, buf),
            Target::Ours(Node::Text(text)) => {
                let rest = usize::try_from(offset).ok().and_then(|o| text.as_bytes().get(o..)).unwrap_or_default();
                let len = rest.len().min(buf.len());
                buf[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            }
            Target::Ours(Node::Root | Node::Folder(_)) => Err(Refusal::WrongKind),
        }
    }

    fn read_image(&self, volume: &dyn Volume, offset: u64, buf: &mut [u8]) -> Result<usize, Refusal> {
        let len = (buf.len() as u64).min(volume.size().saturating_sub(offset)) as usize;
        match volume.read_at(offset, &mut buf[..len]) {
            Ok(()) => Ok(len),
            Err(e) => {
                self.log.line(&format!("mount: bytes {offset}+{len} of a disk could not be read: {e}"));
                Err(Refusal::Unreadable)
            }
        }
    }

    /// The first byte from `offset` on with that content; a file's end counts as a hole.
    pub(super) fn seek(&self, inode: u64, offset: u64, content: Content) -> Result<u64, Refusal> {
        let size = self.metadata(inode)?.size;
        if offset >= size {
            return Err(Refusal::PastTheEnd);
        }
        let Target::Ours(Node::Image(volume)) = self.at(inode)? else {
            return Ok(if content == Content::Data { offset } else { size });
        };
        let mut at = offset;
        while at < size {
            let spans = spans::describe(&*volume, at, size - at).map_err(|e| {
                self.log.line(&format!("mount: the holes of a disk from byte {at} are not known: {e}"));
                Refusal::Unreadable
            })?;
            for span in spans {
                if span.content == content {
                    return Ok(span.offset);
                }
                at += span.len;
            }
        }
        if content == Content::Data { Err(Refusal::PastTheEnd) } else { Ok(size) }
    }

    /// Where a symbolic link leads.
    pub(super) fn link_target(&self, inode: u64) -> Result<OsString, Refusal> {
        match self.at(inode)? {
            Target::File(opened, _, node) => opened.tree.link_target(node).map_err(|e| self.refuse(&opened, node, &e)),
            Target::Ours(_) => Err(Refusal::WrongKind),
        }
    }

    fn refuse(&self, opened: &OpenedTree, NodeId(node): NodeId, error: &TreeError) -> Refusal {
        let refusal = match error {
            TreeError::NotFound => return Refusal::NotFound,
            TreeError::WrongKind(_) => return Refusal::WrongKind,
            TreeError::Unsupported(_) => Refusal::Unsupported,
            TreeError::Damaged(_) | TreeError::Io(_) => Refusal::Unreadable,
        };
        let cause = std::error::Error::source(error).map_or(String::new(), |c| format!(": {c}"));
        self.log.line(&format!("mount: {}: node {node}: {error}{cause}", opened.label));
        refusal
    }
}

enum Target {
    Ours(Node),
    File(Arc<OpenedTree>, TreeNumber, NodeId),
}

fn file(name: String, inode: u64) -> Shown {
    Shown { name: name.into(), inode, kind: NodeKind::File }
}

fn directory(name: String, inode: u64) -> Shown {
    Shown { name: name.into(), inode, kind: NodeKind::Directory }
}

/// The kernel takes it for a name; one that it does not take would hide the whole folder.
fn is_file_name(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    !matches!(bytes, b"" | b"." | b"..") && bytes.len() <= 1024 && !bytes.iter().any(|b| matches!(b, b'/' | 0))
}
