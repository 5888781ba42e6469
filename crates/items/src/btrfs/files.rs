//! btrfs as a tree of files.
//!
//! Never knows: FUSE, paths, or who browses.

use super::data::{DataReader, Sums, Unpacked};
use super::disk::Disk;
use super::inflate;
use super::items::{Extent, INLINE_AT, Inode, Packing};
use super::key::{Key, kind, tree};
use super::log;
use super::names::DirEntry;
use super::own::Shared;
use super::search::Flow;
use super::subvolumes::{Subvolume, Subvolumes, default_subvolume, is_mounted, own_tree};
use super::view::View;
use crate::bytes::{damaged, unsupported};
use crate::tree::{Entry, FileTime, FileTree, Metadata, NodeId, NodeKind, TreeError};
use backstay_env::volume::Volume;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, OnceLock};

/// The inode that stands for a subvolume that a snapshot names but does not hold.
const EMPTY_SUBVOLUME: u64 = 2;
/// Longer targets are refused; Linux allows 4095 bytes.
const MAX_TARGET: u64 = 64 << 10;
/// Inline data unpacks to less than a tree block.
const MAX_INLINE: u64 = 64 << 10;

/// A btrfs file system on one device, opened for reading.
///
/// Shows what a mount without options shows: the default subvolume, with those inside it as directories. A log of
/// fsyncs that were not committed is replayed in memory. Node numbers are unique across subvolumes, except that all
/// empty stand-ins for nested subvolumes within one snapshot share a number, as on a mount.
/// Every block and sector read is verified by its checksum, but for data of files that have none (`nodatasum`).
pub struct Btrfs {
    disk: Disk<'static>,
    subvolumes: Subvolumes,
    sums: Sums,
    unpacked: Unpacked,
    root: NodeId,
    shared: OnceLock<Shared>,
}

impl Btrfs {
    /// Opens a file system as a mount without options would show it.
    ///
    /// # Errors
    /// [`TreeError`]: damaged, several devices, features that this reader does not know, or a log that it cannot
    /// replay.
    pub fn open(volume: Arc<dyn Volume>) -> Result<Self, TreeError> {
        let mut fs = Btrfs::open_committed(volume)?;
        log::replay_all(&fs.disk, &mut fs.subvolumes, &mut fs.sums)?;
        Ok(fs)
    }

    /// As [`Btrfs::open`], but as of the last commit: what was fsynced after it is not shown.
    ///
    /// # Errors
    /// [`TreeError`], but not for a log.
    pub fn open_committed(volume: Arc<dyn Volume>) -> Result<Self, TreeError> {
        let disk = Disk::open(Box::new(volume))?;
        let subvolumes = Subvolumes::read(&disk)?;
        let sums = Sums { tree: own_tree(&disk, tree::CSUM)?, ..Sums::default() };
        let default = default_subvolume(&disk)?;
        let root = subvolumes.top(default).map_err(|error| match error {
            TreeError::NotFound => damaged(format!("its default subvolume {default} is missing")),
            error => error,
        })?;
        Ok(Btrfs { disk, subvolumes, sums, unpacked: Unpacked::default(), root, shared: OnceLock::new() })
    }

    /// The same file system shown from its top level (subvolume 5), whatever its default subvolume.
    ///
    /// # Errors
    /// `Damaged` when it has no top level.
    pub fn at_top_level(mut self) -> Result<Self, TreeError> {
        let missing = |_| damaged("its top-level subvolume is missing");
        self.root = self.subvolumes.top(tree::FILES).map_err(missing)?;
        Ok(self)
    }

    /// What is shared; asked once.
    fn shared(&self) -> Result<&Shared, TreeError> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let shared = Shared::read(&self.disk, &self.subvolumes)?;
        Ok(self.shared.get_or_init(|| shared))
    }

    fn view<'a>(&'a self, subvolume: &'a Subvolume) -> View<'a> {
        View { disk: &self.disk, root: subvolume.root, changes: &subvolume.changes }
    }

    fn inode(&self, subvolume: &Subvolume, inode: u64) -> Result<Inode, TreeError> {
        let item = self.view(subvolume).get(Key::new(inode, kind::INODE_ITEM, 0))?;
        Inode::decode(&item.ok_or(TreeError::NotFound)?)
    }

    /// The node an entry leads to, and its kind.
    fn follow(&self, from: &Subvolume, dir: u64, entry: &DirEntry) -> Result<(NodeId, NodeKind), TreeError> {
        if !entry.is_subvolume() {
            let node = self.subvolumes.node(from.id, entry.target.object)?;
            return Ok((node, entry.node_kind()?));
        }
        let child = entry.target.object;
        let node = match is_mounted(&self.disk, from.id, dir, &entry.name, child)? {
            true => self.subvolumes.top(child).map_err(|error| match error {
                TreeError::NotFound => damaged(format!("subvolume {child} is missing")),
                error => error,
            })?,
            false => self.subvolumes.node(from.id, EMPTY_SUBVOLUME)?,
        };
        Ok((node, NodeKind::Directory))
    }

    /// The directory's subvolume and inode; `None` for an empty stand-in.
    fn directory(&self, node: NodeId) -> Result<Option<(&Subvolume, u64)>, TreeError> {
        let (subvolume, inode) = self.subvolumes.find(node)?;
        if inode == EMPTY_SUBVOLUME {
            return Ok(None);
        }
        match self.inode(subvolume, inode)?.kind {
            NodeKind::Directory => Ok(Some((subvolume, inode))),
            _ => Err(TreeError::WrongKind("directory")),
        }
    }

    /// Fills `out` with the file's bytes from `offset`; the caller keeps inside the file.
    fn fill(
        &self,
        subvolume: &Subvolume,
        (inode, summed): (u64, bool),
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), TreeError> {
        out.fill(0);
        let Some(last) = (out.len() as u64).checked_sub(1).map(|n| offset.saturating_add(n)) else {
            return Ok(());
        };
        let view = self.view(subvolume);
        let at = |offset| Key::new(inode, kind::EXTENT_DATA, offset);
        let first = view.floor(at(0), at(offset))?;
        let from = first.unwrap_or(at(offset));
        view.scan(from, at(last), &mut |key, item| {
            self.copy_extent((key, item), summed, offset, out)?;
            Ok(Flow::Go)
        })?;
        Ok(())
    }

    fn copy_extent(
        &self,
        (key, item): (Key, &[u8]),
        summed: bool,
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), TreeError> {
        let extent = Extent::decode(item)?;
        let end = key.offset.saturating_add(extent.len());
        let Some((skip, place)) = overlap(key.offset..end, offset, out.len()) else {
            return Ok(());
        };
        let out = &mut out[place];
        match &extent {
            Extent::Zeros { .. } => Ok(()),
            Extent::Inline { packing, len } => self.inline(item, *packing, *len, skip, out),
            Extent::Stored(stored) => {
                let reader = DataReader { disk: &self.disk, sums: &self.sums, unpacked: &self.unpacked };
                reader.read(stored, skip, out, summed)
            }
        }
    }

    fn inline(&self, item: &[u8], packing: Packing, len: u64, skip: u64, out: &mut [u8]) -> Result<(), TreeError> {
        if len > MAX_INLINE {
            return Err(damaged(format!("{len} bytes of data inside a tree block")));
        }
        let mut bytes = vec![0; len as usize];
        let packed = item.get(INLINE_AT..).unwrap_or_default();
        let sector = self.disk.superblock.sector as usize;
        inflate::unpack(packing, packed, sector, &mut bytes)?;
        let from = bytes.get(skip as usize..).unwrap_or_default();
        let n = from.len().min(out.len());
        out[..n].copy_from_slice(&from[..n]);
        Ok(())
    }
}

/// Where `[offset, offset + len)` meets `extent`: bytes into the extent, and the place in the buffer.
fn overlap(extent: Range<u64>, offset: u64, len: usize) -> Option<(u64, Range<usize>)> {
    let start = extent.start.max(offset);
    let end = extent.end.min(offset.saturating_add(len as u64));
    (start < end).then(|| {
        let place = (start - offset) as usize..(end - offset) as usize;
        (start - extent.start, place)
    })
}

fn empty_subvolume() -> Metadata {
    Metadata {
        kind: NodeKind::Directory,
        size: 0,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        links: 1,
        device: (0, 0),
        modified: FileTime::default(),
        changed: FileTime::default(),
        accessed: FileTime::default(),
    }
}

impl FileTree for Btrfs {
    fn kind(&self) -> &'static str {
        "btrfs"
    }

    fn label(&self) -> String {
        self.disk.superblock.label.clone()
    }

    fn root(&self) -> NodeId {
        self.root
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        let (subvolume, inode) = self.subvolumes.find(node)?;
        match inode {
            EMPTY_SUBVOLUME => Ok(empty_subvolume()),
            _ => Ok(self.inode(subvolume, inode)?.meta),
        }
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let Some((subvolume, inode)) = self.directory(directory)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        let (from, to) = Key::all_of(inode, kind::DIR_INDEX);
        self.view(subvolume).scan(from, to, &mut |_, item| {
            for entry in DirEntry::decode_all(item)? {
                let (node, kind) = self.follow(subvolume, inode, &entry)?;
                let name = OsString::from_vec(entry.name);
                entries.push(Entry { name, node, kind });
            }
            Ok(Flow::Go)
        })?;
        Ok(entries)
    }

    fn lookup(&self, directory: NodeId, name: &OsStr) -> Result<NodeId, TreeError> {
        let (subvolume, inode) = self.directory(directory)?.ok_or(TreeError::NotFound)?;
        let name = name.as_bytes();
        let key = Key::new(inode, kind::DIR_ITEM, super::checksum::name_hash(name));
        let item = self.view(subvolume).get(key)?.ok_or(TreeError::NotFound)?;
        let entries = DirEntry::decode_all(&item)?;
        let entry = entries.iter().find(|e| e.name == name);
        let entry = entry.ok_or(TreeError::NotFound)?;
        self.follow(subvolume, inode, entry).map(|(node, _)| node)
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let (subvolume, number) = self.subvolumes.find(file)?;
        if number == EMPTY_SUBVOLUME {
            return Err(TreeError::WrongKind("file"));
        }
        let inode = self.inode(subvolume, number)?;
        if inode.kind != NodeKind::File {
            return Err(TreeError::WrongKind("file"));
        }
        let left = inode.size.saturating_sub(offset);
        let n = left.min(buf.len() as u64) as usize;
        self.fill(subvolume, (number, !inode.unsummed), offset, &mut buf[..n])?;
        Ok(n)
    }

    fn own_content(&self, file: NodeId) -> Result<Vec<Range<u64>>, TreeError> {
        let (subvolume, number) = self.subvolumes.find(file)?;
        if number == EMPTY_SUBVOLUME || self.inode(subvolume, number)?.kind != NodeKind::File {
            return Ok(Vec::new());
        }
        self.shared()?.own_extents(&self.disk, subvolume, number)
    }

    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError> {
        let (subvolume, number) = self.subvolumes.find(link)?;
        if number == EMPTY_SUBVOLUME {
            return Err(TreeError::WrongKind("symbolic link"));
        }
        let inode = self.inode(subvolume, number)?;
        if inode.kind != NodeKind::Symlink {
            return Err(TreeError::WrongKind("symbolic link"));
        }
        if inode.size > MAX_TARGET {
            return Err(unsupported(format!("a link's target of {} bytes", inode.size)));
        }
        let mut target = vec![0; inode.size as usize];
        self.fill(subvolume, (number, !inode.unsummed), 0, &mut target)?;
        Ok(OsString::from_vec(target))
    }
}
