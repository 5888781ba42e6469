//! Replaying a log over a subvolume's tree, in memory, to what a mount would make of it.
//!
//! In the order in which it must happen: inodes and removed names, then new names in directories, then the names
//! that inodes refer to and the extents of files, last the numbers of names and the sizes of directories.
//! Never knows: other subvolumes, checksums of data, or where logs are kept.

use super::checksum::{extref_hash, name_hash};
use super::disk::Disk;
use super::items::{Extent, Inode};
use super::key::{Key, kind};
use super::log::LogItems;
use super::names::{DirEntry, NameRef, entry_kind, ref_keys};
use super::node::Pointer;
use super::search::Flow;
use super::view::{Changes, View};
use crate::bytes::{damaged, le64, unsupported};
use crate::tree::{NodeKind, TreeError};
use std::collections::BTreeSet;

/// The changes that `log` makes to the tree at `root`.
///
/// # Errors
/// `Damaged` or `Unsupported`, in words; then no part of the log may be used.
pub(super) fn replay(disk: &Disk, root: Pointer, log: &LogItems) -> Result<Changes, TreeError> {
    let mut replay =
        Replay { disk, root, log, changes: Changes::new(), recount: BTreeSet::new(), resize: BTreeSet::new() };
    let items = replay.living_items()?;
    for (key, item) in &items {
        if key.kind == kind::INODE_ITEM {
            replay.inode(*key, item)?;
        }
    }
    for (key, item) in &items {
        if key.kind == kind::DIR_INDEX {
            replay.new_names(*key, item)?;
        }
    }
    for (key, item) in &items {
        match key.kind {
            kind::INODE_REF | kind::INODE_EXTREF => replay.references(*key, item)?,
            kind::EXTENT_DATA => replay.extent(*key, item)?,
            _ => {}
        }
    }
    replay.count_names()?;
    replay.size_directories()?;
    Ok(replay.changes)
}

struct Replay<'d> {
    disk: &'d Disk<'d>,
    root: Pointer,
    log: &'d LogItems,
    changes: Changes,
    /// Inodes whose number of names may have changed.
    recount: BTreeSet<u64>,
    /// Directories whose names have changed.
    resize: BTreeSet<u64>,
}

impl<'d> Replay<'d> {
    /// The log's items, without those of inodes that had no name left when they were logged: no replay brings
    /// such an inode back.
    fn living_items(&self) -> Result<Vec<(Key, &'d Vec<u8>)>, TreeError> {
        let mut nameless = None;
        let mut items = Vec::new();
        for (key, item) in self.log {
            if key.kind == kind::INODE_ITEM {
                let gone = Inode::decode(item)?.links == 0;
                nameless = gone.then_some(key.object);
            }
            if nameless != Some(key.object) {
                items.push((*key, item));
            }
        }
        Ok(items)
    }

    fn view(&self) -> View<'_> {
        View { disk: self.disk, root: self.root, changes: &self.changes }
    }

    fn put(&mut self, key: Key, item: Vec<u8>) {
        self.changes.insert(key, Some(item));
    }

    /// Stores a list that may have become empty.
    fn put_list(&mut self, key: Key, item: Vec<u8>) {
        self.changes.insert(key, (!item.is_empty()).then_some(item));
    }

    fn inode_of(&self, inode: u64) -> Result<Option<Inode>, TreeError> {
        let item = self.view().get(Key::new(inode, kind::INODE_ITEM, 0))?;
        item.map(|item| Inode::decode(&item)).transpose()
    }

    fn inode(&mut self, key: Key, item: &[u8]) -> Result<(), TreeError> {
        let logged = Inode::decode(item)?;
        if logged.kind == NodeKind::Directory {
            self.forget_removed(key.object)?;
        }
        let old = self.view().get(key)?;
        let new = match &old {
            None if logged.kind == NodeKind::Directory => Inode::with_size(item.to_vec(), 0),
            None => item.to_vec(),
            Some(old_item) => merged_inode(old_item, item, &logged)?,
        };
        let size = Inode::decode(&new)?.size;
        self.put(key, new);
        self.recount.insert(key.object);
        if logged.kind == NodeKind::File {
            // Extents past the end come from the log alone.
            let sector = u64::from(self.disk.superblock.sector);
            if let Some(end) = size.checked_next_multiple_of(sector) {
                self.drop_extents(key.object, end, u64::MAX)?;
            }
        }
        Ok(())
    }

    /// Removes the names that the log's ranges cover but the log does not hold.
    fn forget_removed(&mut self, dir: u64) -> Result<(), TreeError> {
        if self.inode_of(dir)?.is_none() {
            return Ok(());
        }
        let (from, to) = Key::all_of(dir, kind::DIR_LOG_INDEX);
        let ranges: Vec<(u64, u64)> =
            self.log.range(from..=to).map(|(key, item)| (key.offset, le64(item, 0))).collect();
        // Ranges may overlap; no entry is looked at twice.
        let mut next = Some(0);
        for (first, last) in ranges {
            let Some(first) = next.map(|next| first.max(next)) else {
                break;
            };
            if first > last {
                continue;
            }
            next = last.checked_add(1);
            for (key, entry) in self.entries(dir, first, last)? {
                let logged = self.log.get(&key).map(|item| DirEntry::decode_all(item));
                let logged = logged.transpose()?.unwrap_or_default();
                if logged.iter().all(|l| l.name != entry.name) {
                    self.drop_entry(dir, &entry)?;
                }
            }
        }
        Ok(())
    }

    fn entries(&self, dir: u64, from: u64, to: u64) -> Result<Vec<(Key, DirEntry)>, TreeError> {
        let mut found = Vec::new();
        let at = |index| Key::new(dir, kind::DIR_INDEX, index);
        self.view().scan(at(from), at(to), &mut |key, item| {
            found.extend(DirEntry::decode_all(item)?.into_iter().map(|e| (key, e)));
            Ok(Flow::Go)
        })?;
        Ok(found)
    }

    fn new_names(&mut self, key: Key, item: &[u8]) -> Result<(), TreeError> {
        for entry in DirEntry::decode_all(item)? {
            if entry.is_subvolume() {
                return Err(unsupported("a log with a new subvolume"));
            }
            self.new_name(key, &entry)?;
        }
        Ok(())
    }

    fn new_name(&mut self, key: Key, entry: &DirEntry) -> Result<(), TreeError> {
        let (dir, inode) = (key.object, entry.target.object);
        if self.inode_of(dir)?.is_none() {
            return Ok(());
        }
        let exists = self.inode_of(inode)?.is_some();
        let by_name = self.find_name(dir, &entry.name)?;
        let by_index = self.find_index(key, &entry.name)?;
        for other in [by_name, by_index].into_iter().flatten() {
            let same = other.target == entry.target && other.kind == entry.kind;
            // Taking its name from another is right only when there is someone to give it to.
            if !same && exists && self.find_name(dir, &other.name)?.is_some() {
                self.drop_entry(dir, &other)?;
            }
        }
        let taken = self.find_name(dir, &entry.name)?.is_some();
        if exists && !taken && !self.log_refers(inode, dir, &entry.name)? {
            let name = NameRef { parent: dir, index: key.offset, name: entry.name.clone() };
            self.link(inode, &name, entry.kind)?;
        }
        Ok(())
    }

    /// Whether the log holds a reference from the inode to this name: then the name comes with that.
    fn log_refers(&self, inode: u64, dir: u64, name: &[u8]) -> Result<bool, TreeError> {
        let keys = [Key::new(inode, kind::INODE_REF, dir), Key::new(inode, kind::INODE_EXTREF, extref_hash(dir, name))];
        for key in keys {
            let Some(item) = self.log.get(&key) else {
                continue;
            };
            let refs = NameRef::decode_all(key, item)?;
            if refs.iter().any(|r| r.parent == dir && r.name == name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn references(&mut self, key: Key, item: &[u8]) -> Result<(), TreeError> {
        let inode = key.object;
        let Some(about) = self.inode_of(inode)? else {
            return Ok(());
        };
        let refs = NameRef::decode_all(key, item)?;
        let mut known = false;
        for name in &refs {
            if name.parent == inode {
                return Ok(()); // The top directory's own.
            }
            if self.inode_of(name.parent)?.is_none() {
                continue; // Its directory was not logged: counting names settles it.
            }
            known = true;
            if !self.in_place(inode, name)? {
                self.make_room(inode, name)?;
                self.link(inode, name, entry_kind(about.kind))?;
            }
        }
        if known {
            self.unlink_unlogged(key, &refs)?;
            self.put(key, item.to_vec());
            self.recount.insert(inode);
        }
        Ok(())
    }

    fn in_place(&self, inode: u64, name: &NameRef) -> Result<bool, TreeError> {
        let key = Key::new(name.parent, kind::DIR_INDEX, name.index);
        let leads = |e: Option<DirEntry>| e.is_some_and(|e| e.target == Key::new(inode, kind::INODE_ITEM, 0));
        let by_name = leads(self.find_name(name.parent, &name.name)?);
        Ok(by_name && leads(self.find_index(key, &name.name)?))
    }

    /// Removes what stands in the way of a logged name: older names of the inode in that directory that the log no
    /// longer has, and the name itself where it means something else.
    fn make_room(&mut self, inode: u64, name: &NameRef) -> Result<(), TreeError> {
        let keys = [
            Key::new(inode, kind::INODE_REF, name.parent),
            Key::new(inode, kind::INODE_EXTREF, extref_hash(name.parent, &name.name)),
        ];
        for key in keys {
            let item = self.view().get(key)?.unwrap_or_default();
            for old in NameRef::decode_all(key, &item)? {
                let here = old.parent == name.parent;
                if here && !self.log_refers(inode, old.parent, &old.name)? {
                    self.unlink(inode, old.parent, &old.name)?;
                }
            }
        }
        let index = Key::new(name.parent, kind::DIR_INDEX, name.index);
        if let Some(other) = self.find_index(index, &name.name)? {
            self.drop_entry(name.parent, &other)?;
        }
        if let Some(other) = self.find_name(name.parent, &name.name)? {
            self.drop_entry(name.parent, &other)?;
        }
        Ok(())
    }

    /// Removes the names that the tree's reference item holds but the log's does not.
    fn unlink_unlogged(&mut self, key: Key, logged: &[NameRef]) -> Result<(), TreeError> {
        let item = self.view().get(key)?.unwrap_or_default();
        for old in NameRef::decode_all(key, &item)? {
            let kept = logged.iter().any(|l| l.parent == old.parent && l.name == old.name);
            if !kept {
                self.unlink(key.object, old.parent, &old.name)?;
            }
        }
        Ok(())
    }

    fn extent(&mut self, key: Key, item: &[u8]) -> Result<(), TreeError> {
        if self.inode_of(key.object)?.is_none() {
            return Ok(());
        }
        let end = self.extent_end(key, item)?;
        self.drop_extents(key.object, key.offset, end)?;
        self.put(key, item.to_vec());
        Ok(())
    }

    /// The end of the file's bytes that an extent stands for; inline data stands for whole sectors.
    fn extent_end(&self, key: Key, item: &[u8]) -> Result<u64, TreeError> {
        let extent = Extent::decode(item)?;
        let end = key.offset.checked_add(extent.len());
        let end = match extent {
            Extent::Inline { .. } => {
                let sector = u64::from(self.disk.superblock.sector);
                end.and_then(|end| end.checked_next_multiple_of(sector))
            }
            _ => end,
        };
        end.ok_or_else(|| damaged("an extent of a file ends past the largest file"))
    }

    fn drop_extents(&mut self, inode: u64, start: u64, end: u64) -> Result<(), TreeError> {
        if start >= end {
            return Ok(());
        }
        let at = |offset| Key::new(inode, kind::EXTENT_DATA, offset);
        let mut found = Vec::new();
        let before = self.view().floor(at(0), at(start))?;
        let from = before.unwrap_or(at(start));
        self.view().scan(from, at(end - 1), &mut |key, item| {
            found.push((key, item.to_vec()));
            Ok(Flow::Go)
        })?;
        for (key, item) in found {
            let extent_end = self.extent_end(key, &item)?;
            if extent_end <= start {
                continue;
            }
            let (left, right) = (key.offset < start, extent_end > end);
            let inline = matches!(Extent::decode(&item)?, Extent::Inline { .. });
            if inline && (left || right) {
                return Err(unsupported("a log that replaces a part of inline data"));
            }
            self.changes.insert(key, None);
            if left {
                self.put(key, Extent::cut(&item, 0, start - key.offset));
            }
            if right {
                let rest = Extent::cut(&item, end - key.offset, extent_end - end);
                self.put(at(end), rest);
            }
        }
        Ok(())
    }
}

/// An inode that exists on disk and in the log. One logged only to say that it exists (generation 0) brings no more
/// than a file's size. Directories keep the size on disk; changes of their names are counted at the end.
fn merged_inode(old_item: &[u8], item: &[u8], logged: &Inode) -> Result<Vec<u8>, TreeError> {
    let old = Inode::decode(old_item)?;
    let both = |kind| old.kind == kind && logged.kind == kind;
    Ok(match logged.generation {
        0 if both(NodeKind::File) && logged.size != 0 => Inode::with_size(old_item.to_vec(), logged.size),
        0 => old_item.to_vec(),
        _ if both(NodeKind::Directory) => Inode::with_size(item.to_vec(), old.size),
        _ => item.to_vec(),
    })
}

/// Names, one at a time.
impl Replay<'_> {
    fn find_name(&self, dir: u64, name: &[u8]) -> Result<Option<DirEntry>, TreeError> {
        self.find_in(Key::new(dir, kind::DIR_ITEM, name_hash(name)), name)
    }

    fn find_index(&self, key: Key, name: &[u8]) -> Result<Option<DirEntry>, TreeError> {
        self.find_in(key, name)
    }

    fn find_in(&self, key: Key, name: &[u8]) -> Result<Option<DirEntry>, TreeError> {
        let item = self.view().get(key)?.unwrap_or_default();
        let entries = DirEntry::decode_all(&item)?;
        Ok(entries.into_iter().find(|e| e.name == name))
    }

    /// Removes a name from its directory and from the inode it means.
    fn drop_entry(&mut self, dir: u64, entry: &DirEntry) -> Result<(), TreeError> {
        if entry.is_subvolume() {
            return Err(unsupported("a log that removes a subvolume"));
        }
        self.unlink(entry.target.object, dir, &entry.name)
    }

    fn unlink(&mut self, inode: u64, dir: u64, name: &[u8]) -> Result<(), TreeError> {
        let keys = [Key::new(inode, kind::INODE_REF, dir), Key::new(inode, kind::INODE_EXTREF, extref_hash(dir, name))];
        for key in keys {
            let item = self.view().get(key)?.unwrap_or_default();
            let mut kept = Vec::new();
            for r in NameRef::decode_all(key, &item)? {
                match r.parent == dir && r.name == name {
                    true => self.remove_from(Key::new(dir, kind::DIR_INDEX, r.index), name)?,
                    false => r.encode(key.kind, &mut kept),
                }
            }
            if kept.len() != item.len() {
                self.put_list(key, kept);
            }
        }
        self.remove_from(Key::new(dir, kind::DIR_ITEM, name_hash(name)), name)?;
        self.resize.insert(dir);
        self.recount.insert(inode);
        Ok(())
    }

    fn remove_from(&mut self, key: Key, name: &[u8]) -> Result<(), TreeError> {
        let item = self.view().get(key)?.unwrap_or_default();
        let mut kept = Vec::new();
        for entry in DirEntry::decode_all(&item)? {
            if entry.name != name {
                entry.encode(&mut kept);
            }
        }
        if !item.is_empty() {
            self.put_list(key, kept);
        }
        Ok(())
    }

    fn link(&mut self, inode: u64, name: &NameRef, kind: u8) -> Result<(), TreeError> {
        let entry = DirEntry {
            target: Key::new(inode, kind::INODE_ITEM, 0),
            transaction: self.disk.superblock.generation,
            kind,
            name: name.name.clone(),
        };
        let places = [
            Key::new(name.parent, kind::DIR_ITEM, name_hash(&name.name)),
            Key::new(name.parent, kind::DIR_INDEX, name.index),
        ];
        for key in places {
            let mut item = self.view().get(key)?.unwrap_or_default();
            if key.kind == kind::DIR_INDEX && !item.is_empty() {
                return Err(damaged("a log with two names at one place of a directory"));
            }
            entry.encode(&mut item);
            self.put_bounded(key, item)?;
        }
        let key = Key::new(inode, kind::INODE_REF, name.parent);
        let mut item = self.view().get(key)?.unwrap_or_default();
        name.encode(kind::INODE_REF, &mut item);
        self.resize.insert(name.parent);
        self.recount.insert(inode);
        match item.len() > self.disk.superblock.node as usize {
            true => self.link_extended(inode, name),
            false => self.put_bounded(key, item),
        }
    }

    /// The reference of a name for which the inode's common item has no room.
    fn link_extended(&mut self, inode: u64, name: &NameRef) -> Result<(), TreeError> {
        let hash = extref_hash(name.parent, &name.name);
        let key = Key::new(inode, kind::INODE_EXTREF, hash);
        let mut item = self.view().get(key)?.unwrap_or_default();
        name.encode(kind::INODE_EXTREF, &mut item);
        self.put_bounded(key, item)
    }

    /// Stores an item that must fit a tree block: without end, each name would cost as much as all before it.
    fn put_bounded(&mut self, key: Key, item: Vec<u8>) -> Result<(), TreeError> {
        if item.len() > self.disk.superblock.node as usize {
            return Err(unsupported("a log with too many names of one hash"));
        }
        self.put(key, item);
        Ok(())
    }

    /// Sets each touched inode's number of names; a directory without a name loses its own.
    fn count_names(&mut self) -> Result<(), TreeError> {
        while let Some(inode) = self.recount.pop_first() {
            let key = Key::new(inode, kind::INODE_ITEM, 0);
            let Some(item) = self.view().get(key)? else {
                continue;
            };
            let names = self.names_of(inode)?;
            let about = Inode::decode(&item)?;
            if about.links != names {
                self.put(key, Inode::with_links(item, names));
            }
            if names == 0 && about.kind == NodeKind::Directory {
                for (_, entry) in self.entries(inode, 0, u64::MAX)? {
                    self.drop_entry(inode, &entry)?;
                }
            }
        }
        Ok(())
    }

    fn names_of(&self, inode: u64) -> Result<u32, TreeError> {
        let mut names: u32 = 0;
        let (from, to) = ref_keys(inode);
        self.view().scan(from, to, &mut |key, item| {
            let n = NameRef::decode_all(key, item)?.len();
            names = names.saturating_add(n as u32);
            Ok(Flow::Go)
        })?;
        Ok(names)
    }

    /// A directory's size is twice the bytes of its names.
    fn size_directories(&mut self) -> Result<(), TreeError> {
        for dir in std::mem::take(&mut self.resize) {
            let key = Key::new(dir, kind::INODE_ITEM, 0);
            let Some(item) = self.view().get(key)? else {
                continue;
            };
            let entries = self.entries(dir, 0, u64::MAX)?;
            let size = entries.iter().map(|(_, e)| 2 * e.name.len() as u64).sum();
            self.put(key, Inode::with_size(item, size));
        }
        Ok(())
    }
}
