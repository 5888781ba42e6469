//! Which extents a single file has to itself.
//!
//! An extent tells who refers to it, but a snapshot adds nothing there: it shares the tree blocks that refer. So an extent
//! is a file's own if it names no other file, all tree blocks on the way to the file's items have one user, and no log
//! mentions it.
//! Never knows: what is in the extents.

use super::disk::Disk;
use super::items::Extent;
use super::key::{Key, kind, tree};
use super::node::{Body, Pointer};
use super::search::Flow;
use super::subvolumes::{Subvolume, Subvolumes, own_tree};
use super::view::View;
use crate::bytes::{damaged, le32, le64};
use crate::tree::TreeError;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

const IS_TREE_BLOCK: u64 = 2;
/// Its users are named one by one: it had several.
const FULL_BACKREF: u64 = 1 << 8;
const ITEM_LEN: usize = 24;

/// A reference inside an extent's item: its kind, and how many bytes follow that.
const OWNER_REF: (u8, usize) = (172, 8);
const FILE_REF: (u8, usize) = (178, 28);

/// What is shared in a file system.
pub(super) struct Shared {
    extents: Pointer,
    /// Addresses of tree blocks with more than one user.
    blocks: HashSet<u64>,
    /// Addresses of extents that a log mentions: who uses them is counted at the next commit.
    logged: HashSet<u64>,
}

impl Shared {
    /// Asks the whole tree of extents, and the logs.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(super) fn read(disk: &Disk<'_>, subvolumes: &Subvolumes) -> Result<Shared, TreeError> {
        let extents = own_tree(disk, tree::EXTENT)?;
        let extents = extents.ok_or_else(|| damaged("the tree of extents is missing"))?;
        let mut blocks = HashSet::new();
        disk.scan(&extents, Key::MIN, Key::MAX, &mut |key, item| {
            let (users, flags) = (le64(item, 0), le64(item, 16));
            let is_extent = matches!(key.kind, kind::EXTENT_ITEM | kind::METADATA_ITEM);
            if is_extent && flags & IS_TREE_BLOCK != 0 && (users != 1 || flags & FULL_BACKREF != 0) {
                blocks.insert(key.object);
            }
            Ok(Flow::Go)
        })?;
        let changes = subvolumes.iter().flat_map(|s| &s.changes);
        let items = changes.filter(|(key, _)| key.kind == kind::EXTENT_DATA).filter_map(|(_, item)| item.as_deref());
        let logged = items.filter_map(Extent::footprint).map(|(disk, _)| disk).collect();
        Ok(Shared { extents, blocks, logged })
    }

    /// Where on the device the extents are that only this inode uses, whole, in all copies.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(super) fn own_extents(
        &self,
        disk: &Disk<'_>,
        subvolume: &Subvolume,
        inode: u64,
    ) -> Result<Vec<Range<u64>>, TreeError> {
        let (from, to) = Key::all_of(inode, kind::EXTENT_DATA);
        if self.on_the_way(disk, &subvolume.root, from, to)? {
            return Ok(Vec::new());
        }
        let mut found = BTreeSet::new();
        let view = View { disk, root: subvolume.root, changes: &subvolume.changes };
        view.scan(from, to, &mut |_, item| {
            if let Extent::Stored(stored) = Extent::decode(item)? {
                found.insert((stored.disk, stored.disk_len));
            }
            Ok(Flow::Go)
        })?;
        let mut out = Vec::new();
        for (at, len) in found {
            if !self.logged.contains(&at) && self.is_of(disk, (at, len), (subvolume.id, inode))? {
                let place = disk.chunks.place(at)?;
                if len > place.len {
                    return Err(damaged(format!("the extent at {at} leaves its chunk")));
                }
                out.extend(place.copies.iter().map(|copy| *copy..copy + len));
            }
        }
        Ok(out)
    }

    /// Whether a block that leads to these keys has more than one user.
    fn on_the_way(&self, disk: &Disk<'_>, at: &Pointer, from: Key, to: Key) -> Result<bool, TreeError> {
        if self.blocks.contains(&at.logical) {
            return Ok(true);
        }
        if let Body::Inner(children) = disk.node(at)?.body() {
            let after = children.partition_point(|c| c.first <= Some(from));
            for child in children[after.saturating_sub(1)..].iter().take_while(|c| c.first <= Some(to)) {
                if self.on_the_way(disk, child, from, to)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether all that refers to an extent is one inode of one subvolume.
    fn is_of(&self, disk: &Disk<'_>, (at, len): (u64, u64), owner: (u64, u64)) -> Result<bool, TreeError> {
        let item = disk.get(&self.extents, Key::new(at, kind::EXTENT_ITEM, len))?;
        Ok(item.is_some_and(|item| references(&item, owner) == Some(le64(&item, 0))))
    }
}

/// How often `owner` refers to an extent, by its item; `None` when it names anybody else.
fn references(item: &[u8], owner: (u64, u64)) -> Option<u64> {
    let mut rest = item.get(ITEM_LEN..)?;
    let mut count = 0;
    while let Some((kind, body)) = rest.split_first() {
        let len = match (*kind, owner) {
            (kind, _) if kind == OWNER_REF.0 => OWNER_REF.1,
            (kind, owner) if kind == FILE_REF.0 && (le64(body, 0), le64(body, 8)) == owner => {
                count += u64::from(le32(body, 24));
                FILE_REF.1
            }
            _ => return None,
        };
        rest = body.get(len..)?;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(users: u64, refs: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut out = users.to_le_bytes().to_vec();
        out.extend([0; 16]);
        for (root, inode, count) in refs {
            out.push(178);
            [*root, *inode, 0].iter().for_each(|v| out.extend(v.to_le_bytes()));
            out.extend(count.to_le_bytes());
        }
        out
    }

    #[test]
    fn only_one_inode_may_refer() {
        assert_eq!(references(&item(3, &[(5, 257, 1), (5, 257, 2)]), (5, 257)), Some(3));
        assert_eq!(references(&item(2, &[(5, 257, 1), (5, 258, 1)]), (5, 257)), None);
        assert_eq!(references(&item(1, &[(256, 257, 1)]), (5, 257)), None);
        let mut shared = item(1, &[]);
        shared.push(184);
        shared.extend([0; 12]);
        assert_eq!(references(&shared, (5, 257)), None);
        assert_eq!(references(&item(1, &[(5, 257, 1)])[..40], (5, 257)), None);
    }
}
