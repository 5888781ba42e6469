//! The subvolumes of a file system, and how their inodes share one space of node numbers.
//!
//! Never knows: what is in a subvolume.

use super::disk::Disk;
use super::items::RootItem;
use super::key::{Key, kind, tree};
use super::names::DirEntry;
use super::node::Pointer;
use super::search::Flow;
use super::view::Changes;
use crate::bytes::{damaged, le16, le64, unsupported};
use crate::tree::{NodeId, TreeError};

/// Node numbers are inode numbers, with the subvolume's place in the table above these bits. The top-level
/// subvolume comes first, so its node numbers are its inode numbers.
const INODE_BITS: u32 = 44;

/// A subvolume or snapshot.
pub(super) struct Subvolume {
    pub(super) id: u64,
    pub(super) root: Pointer,
    /// Its top directory's inode.
    pub(super) top: u64,
    pub(super) changes: Changes,
}

/// All living subvolumes, by number.
pub(super) struct Subvolumes(Vec<Subvolume>);

impl Subvolumes {
    pub(super) fn read(disk: &Disk) -> Result<Subvolumes, TreeError> {
        let mut found: Vec<Subvolume> = Vec::new();
        let from = Key::new(tree::FILES, kind::ROOT_ITEM, 0);
        let to = Key::new(tree::LAST_FREE, kind::ROOT_ITEM, u64::MAX);
        disk.scan(&disk.root_tree(), from, to, &mut |key, item| {
            let ours = key.object == tree::FILES || key.object >= tree::FIRST_FREE;
            if key.kind == kind::ROOT_ITEM && ours {
                let item = RootItem::decode(item)?;
                // Of several roots with one number the last counts.
                found.pop_if(|last| last.id == key.object);
                if item.references > 0 {
                    found.push(Subvolume { id: key.object, root: item.root, top: item.top, changes: Changes::new() });
                }
            }
            Ok(Flow::Go)
        })?;
        match found.len() >> (u64::BITS - INODE_BITS) {
            0 => Ok(Subvolumes(found)),
            _ => Err(unsupported("more than a million subvolumes")),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subvolume> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subvolume> {
        self.0.iter_mut()
    }

    fn place_of(&self, id: u64) -> Option<usize> {
        self.0.binary_search_by_key(&id, |s| s.id).ok()
    }

    /// The subvolume and the inode that a node number means.
    pub(super) fn find(&self, node: NodeId) -> Result<(&Subvolume, u64), TreeError> {
        let (place, inode) = (node.0 >> INODE_BITS, node.0 & ((1 << INODE_BITS) - 1));
        let subvolume = self.0.get(place as usize).ok_or(TreeError::NotFound)?;
        Ok((subvolume, inode))
    }

    /// The node number of an inode of subvolume `id`.
    pub(super) fn node(&self, id: u64, inode: u64) -> Result<NodeId, TreeError> {
        if inode >> INODE_BITS != 0 {
            return Err(unsupported(format!("inode number {inode}")));
        }
        let place = self.place_of(id).ok_or(TreeError::NotFound)?;
        Ok(NodeId((place as u64) << INODE_BITS | inode))
    }

    /// The top directory of subvolume `id`.
    pub(super) fn top(&self, id: u64) -> Result<NodeId, TreeError> {
        let place = self.place_of(id).ok_or(TreeError::NotFound)?;
        self.node(id, self.0[place].top)
    }
}

/// The root item of one of the file system's own trees.
pub(super) fn own_tree(disk: &Disk, id: u64) -> Result<Option<Pointer>, TreeError> {
    let mut found = None;
    let (from, to) = Key::all_of(id, kind::ROOT_ITEM);
    disk.scan(&disk.root_tree(), from, to, &mut |_, item| {
        found = Some(RootItem::decode(item)?.root);
        Ok(Flow::Go)
    })?;
    Ok(found)
}

/// The subvolume that a mount without options shows.
pub(super) fn default_subvolume(disk: &Disk) -> Result<u64, TreeError> {
    let mut found = tree::FILES;
    let (from, to) = Key::all_of(disk.superblock.root_dir, kind::DIR_ITEM);
    disk.scan(&disk.root_tree(), from, to, &mut |_, item| {
        let entries = DirEntry::decode_all(item)?;
        if let Some(entry) = entries.iter().find(|e| e.name == b"default") {
            found = entry.target.object;
            return Ok(Flow::Stop);
        }
        Ok(Flow::Go)
    })?;
    Ok(found)
}

/// Whether subvolume `child` is really mounted at `name` in directory `dir` of `parent`: a snapshot keeps the names
/// of the subvolumes inside its original, but not them.
pub(super) fn is_mounted(disk: &Disk, parent: u64, dir: u64, name: &[u8], child: u64) -> Result<bool, TreeError> {
    let key = Key::new(parent, kind::ROOT_REF, child);
    let Some(item) = disk.get(&disk.root_tree(), key)? else {
        return Ok(false);
    };
    let len = usize::from(le16(&item, 16));
    match item.get(18..18 + len) {
        Some(stored) => Ok(le64(&item, 0) == dir && stored == name),
        None => Err(damaged("a reference to a subvolume is cut short")),
    }
}
