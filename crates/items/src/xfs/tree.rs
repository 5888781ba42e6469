//! XFS as a tree of files.
//!
//! Never knows: how the log was replayed, or who asks.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, OnceLock};

use backstay_env::volume::Volume;

use super::disk::{Disk, read_geometry};
use super::extents::{Extent, extents_in};
use super::inode::{Format, Inode};
use super::superblock::Geometry;
use super::{directory, link, log, lookup, refcount};
use crate::allocation::Ranges;
use crate::tree::{Entry, FileTree, Metadata, NodeId, NodeKind, TreeError};

/// An XFS opened for reading, as a mount would show it: what the log holds is laid over the volume in memory.
/// Keeps no inode or block but those of the log, and which blocks are shared once that was asked; every question reads the volume.
pub struct Xfs {
    disk: Disk<'static>,
    geometry: Geometry,
    shared: OnceLock<Ranges>,
}

impl Xfs {
    /// Opens the file system on `volume` and replays its log in memory. Writes nothing.
    /// Memory: a small multiple of the part of the log that was not yet written back.
    ///
    /// # Errors
    /// `Damaged` when there is no XFS or superblock or log contradict themselves, `Unsupported` for features or
    /// log items unknown here, and for a log on another device; `Io`.
    pub fn open(volume: Arc<dyn Volume>) -> Result<Xfs, TreeError> {
        let mut disk = Disk::new(Box::new(volume));
        let geometry = read_geometry(&disk)?;
        log::replay(&mut disk, &geometry)?;
        let geometry = read_geometry(&disk)?;
        Ok(Xfs { disk, geometry, shared: OnceLock::new() })
    }

    /// What the file system counts more than one user of.
    fn shared(&self) -> Result<&Ranges, TreeError> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let shared = refcount::shared(&self.disk, &self.geometry)?;
        Ok(self.shared.get_or_init(|| shared))
    }

    fn inode(&self, node: NodeId) -> Result<Inode, TreeError> {
        Inode::read(&self.disk, &self.geometry, node.0)
    }

    fn directory(&self, node: NodeId) -> Result<Inode, TreeError> {
        let inode = self.inode(node)?;
        match inode.kind() {
            NodeKind::Directory => Ok(inode),
            _ => Err(TreeError::WrongKind("directory")),
        }
    }

    /// Copies what `extent` holds of the file range that starts at `offset` and is as long as `buf`.
    fn copy_extent(&self, extent: &Extent, offset: u64, buf: &mut [u8]) -> Result<(), TreeError> {
        let size = u64::from(self.geometry.block_size);
        let (start, end) = (extent.file_block * size, extent.end() * size);
        let (from, to) = (start.max(offset), end.min(offset + buf.len() as u64));
        let place = self.geometry.offset(extent.block, extent.len);
        match place {
            Some(place) if from < to => {
                let part = &mut buf[(from - offset) as usize..(to - offset) as usize];
                self.disk.read(place + (from - start), part)
            }
            Some(_) => Ok(()),
            None => Err(TreeError::Damaged("an extent outside the file system".into())),
        }
    }
}

impl FileTree for Xfs {
    fn kind(&self) -> &'static str {
        "xfs"
    }

    fn label(&self) -> String {
        self.geometry.label.clone()
    }

    fn root(&self) -> NodeId {
        NodeId(self.geometry.root)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata, TreeError> {
        Ok(self.inode(node)?.metadata)
    }

    fn entries(&self, directory: NodeId) -> Result<Vec<Entry>, TreeError> {
        let inode = self.directory(directory)?;
        let names = directory::names(&self.disk, &self.geometry, &inode)?;
        let entry = |n: directory::Name| {
            let kind = match n.kind {
                Some(kind) => kind,
                None => self.inode(NodeId(n.inode))?.kind(),
            };
            Ok(Entry { name: n.name, node: NodeId(n.inode), kind })
        };
        names.into_iter().map(entry).collect()
    }

    /// By the directory's own index where it has one; a damaged index is passed over and the names are searched.
    fn lookup(&self, directory: NodeId, name: &OsStr) -> Result<NodeId, TreeError> {
        if name == "." || name == ".." {
            return Err(TreeError::NotFound);
        }
        let inode = self.directory(directory)?;
        let indexed = inode.format != Format::Local && inode.size > u64::from(self.geometry.dir_block_size);
        if indexed && !self.geometry.fold_case {
            match lookup::find(&self.disk, &self.geometry, &inode, name) {
                Ok(found) => return found.map(NodeId).ok_or(TreeError::NotFound),
                Err(TreeError::Damaged(_)) => {}
                Err(other) => return Err(other),
            }
        }
        let names = directory::names(&self.disk, &self.geometry, &inode)?;
        let found = names.into_iter().find(|n| n.name == name);
        found.map(|n| NodeId(n.inode)).ok_or(TreeError::NotFound)
    }

    fn read(&self, file: NodeId, offset: u64, buf: &mut [u8]) -> Result<usize, TreeError> {
        let inode = self.inode(file)?;
        if inode.kind() != NodeKind::File {
            return Err(TreeError::WrongKind("file"));
        }
        if inode.realtime {
            return Err(TreeError::Unsupported("a file on an XFS realtime device".into()));
        }
        let len = inode.size.saturating_sub(offset).min(buf.len() as u64);
        let buf = &mut buf[..len as usize];
        if buf.is_empty() {
            return Ok(0);
        }
        buf.fill(0);
        let size = u64::from(self.geometry.block_size);
        let blocks = offset / size..(offset + len).div_ceil(size);
        let extents = extents_in(&self.disk, &self.geometry, &inode, blocks)?;
        for extent in extents.iter().filter(|e| !e.unwritten) {
            self.copy_extent(extent, offset, buf)?;
        }
        Ok(buf.len())
    }

    /// Blocks are shared only by inodes that say that theirs may be, and then the groups count who uses them.
    fn own_content(&self, file: NodeId) -> Result<Vec<Range<u64>>, TreeError> {
        let inode = self.inode(file)?;
        let in_extents = matches!(inode.format, Format::Extents | Format::Btree);
        if inode.kind() != NodeKind::File || inode.realtime || !in_extents {
            return Ok(Vec::new());
        }
        let blocks = 0..inode.size.div_ceil(u64::from(self.geometry.block_size));
        let extents = extents_in(&self.disk, &self.geometry, &inode, blocks)?;
        let place = |e: &Extent| {
            let start = self.geometry.offset(e.block, e.len);
            start.map(|start| start..start + e.len * u64::from(self.geometry.block_size))
        };
        let found = extents.iter().filter(|e| !e.unwritten).filter_map(place);
        match inode.may_share {
            false => Ok(found.collect()),
            true => {
                let shared = self.shared()?;
                Ok(found.flat_map(|range| shared.gaps_in(&range)).collect())
            }
        }
    }

    fn link_target(&self, link: NodeId) -> Result<OsString, TreeError> {
        let inode = self.inode(link)?;
        if inode.kind() != NodeKind::Symlink {
            return Err(TreeError::WrongKind("symbolic link"));
        }
        link::target(&self.disk, &self.geometry, &inode).map(OsString::from_vec)
    }
}
