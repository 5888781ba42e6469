//! Which bytes of its device a btrfs file system uses, by its extent tree.
//!
//! The tree is believed only if every block of it is whole and the extents of each block group add up to what the
//! group says is used. Blocks and extents of the log are added: no other tree knows of them.
//! Never knows: files, or who asks.

use super::disk::Disk;
use super::items::Extent;
use super::key::{Key, kind, tree};
use super::log;
use super::search::Flow;
use super::subvolumes::own_tree;
use super::superblock::{SUPER_AT, SUPER_LEN};
use crate::allocation::{Allocation, Ranges};
use crate::bytes::{damaged, le64, unsupported};
use crate::cache::Borrowed;
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::collections::BTreeMap;
use std::ops::Range;

const KIND: &str = "btrfs";
/// The start of the device belongs to boot loaders; the file system leaves it alone.
const BOOT_AREA: u64 = 1 << 20;
/// Flags in an extent item.
const EXTENT_IS_TREE_BLOCK: u64 = 2;
const EXTENT_LEN: usize = 24;

/// The bytes of the volume that the file system on it uses: superblocks, boot area, and both copies of every extent,
/// those of a log that is not yet replayed included. Whatever is doubtful makes it all of the volume. The volume must
/// not change while it is asked, and the answer is for those bytes only, not for what is written later.
pub fn allocated(volume: &dyn Volume) -> Allocation {
    Allocation::from_walk(KIND, volume.size(), believed(volume))
}

fn believed(volume: &dyn Volume) -> Result<Ranges, TreeError> {
    let disk = Disk::open(Box::new(Borrowed(volume)))?;
    let s = &disk.superblock;
    if s.copy != 0 {
        return Err(damaged("the first superblock is not whole"));
    }
    if s.unknown_ro != 0 {
        return Err(unsupported(format!("unknown features ({:#x})", s.unknown_ro)));
    }
    if s.device_bytes > disk.size() {
        return Err(damaged("the volume is smaller than the file system"));
    }
    let mut used = Used::new(&disk);
    used.extents()?;
    used.groups_agree()?;
    used.log()?;
    Ok(used.ranges())
}

struct Used<'d> {
    disk: &'d Disk<'d>,
    /// On the device.
    found: Vec<Range<u64>>,
    /// Bytes of extents, by chunk.
    sums: BTreeMap<u64, u64>,
}

impl<'d> Used<'d> {
    fn new(disk: &'d Disk<'d>) -> Self {
        let supers = SUPER_AT.iter().map(|at| *at..at + SUPER_LEN);
        Used { disk, found: std::iter::once(0..BOOT_AREA).chain(supers).collect(), sums: BTreeMap::new() }
    }

    fn tree(&self, id: u64) -> Result<super::node::Pointer, TreeError> {
        own_tree(self.disk, id)?.ok_or_else(|| damaged(format!("tree {id} is missing")))
    }

    fn extents(&mut self) -> Result<(), TreeError> {
        let root = self.tree(tree::EXTENT)?;
        let disk = self.disk;
        let mut end = 0;
        disk.scan(&root, Key::MIN, Key::MAX, &mut |key, item| {
            let len = match key.kind {
                kind::EXTENT_ITEM => key.offset,
                kind::METADATA_ITEM => u64::from(disk.superblock.node),
                _ => return Ok(Flow::Go),
            };
            check_extent(key, item, end)?;
            self.add(key.object, len)?;
            *self.sums.entry(self.chunk_of(key.object)?).or_default() += len;
            end = key.object + len;
            Ok(Flow::Go)
        })?;
        Ok(())
    }

    fn chunk_of(&self, logical: u64) -> Result<u64, TreeError> {
        let place = self.disk.chunks.place(logical)?;
        // The place reaches to the chunk's end: its start is what all of the chunk's addresses share.
        Ok(logical + place.len)
    }

    /// Adds all copies of a run of addresses that must lie in one chunk.
    fn add(&mut self, logical: u64, len: u64) -> Result<(), TreeError> {
        let place = self.disk.chunks.place(logical)?;
        if len == 0 || len > place.len {
            return Err(damaged(format!("the extent at {logical} leaves its chunk")));
        }
        for copy in place.copies {
            let range = copy..copy + len;
            match self.found.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.found.push(range),
            }
        }
        Ok(())
    }

    /// Each chunk has a block group that counts as many used bytes as were found, and the other way round.
    fn groups_agree(&mut self) -> Result<(), TreeError> {
        let id = match self.disk.superblock.block_group_tree {
            true => tree::BLOCK_GROUP,
            false => tree::EXTENT,
        };
        let chunks = self.disk.chunks.iter();
        let mut missing: BTreeMap<u64, u64> = chunks.map(|(at, c)| (at, c.len)).collect();
        self.disk.scan(&self.tree(id)?, Key::MIN, Key::MAX, &mut |key, item| {
            if key.kind != kind::BLOCK_GROUP_ITEM {
                return Ok(Flow::Go);
            }
            if missing.remove(&key.object) != Some(key.offset) {
                return Err(damaged(format!("block group {} has no chunk", key.object)));
            }
            let end = key.object + key.offset;
            let found = self.sums.get(&end).copied().unwrap_or(0);
            match item.len() >= EXTENT_LEN && le64(item, 0) == found {
                true => Ok(Flow::Go),
                false => Err(damaged(format!(
                    "block group {} says {} bytes are used, its extents have {found}",
                    key.object,
                    le64(item, 0)
                ))),
            }
        })?;
        match missing.first_key_value() {
            None => Ok(()),
            Some((at, _)) => Err(damaged(format!("the chunk at {at} has no block group"))),
        }
    }

    fn log(&mut self) -> Result<(), TreeError> {
        let disk = self.disk;
        let mut runs = Vec::new();
        let mut extents = Vec::new();
        let node = u64::from(disk.superblock.node);
        log::walk(disk, &mut |block| runs.push((block, node)), &mut |_, key, item| {
            if key.kind == kind::EXTENT_DATA {
                extents.extend(Extent::footprint(item));
            }
            Ok(())
        })?;
        runs.extend(extents);
        runs.into_iter().try_for_each(|(at, len)| self.add(at, len))
    }

    fn ranges(self) -> Ranges {
        let size = self.disk.size();
        let inside = self.found.into_iter();
        let inside = inside.map(|r| r.start.min(size)..r.end.min(size));
        Ranges::from_unsorted(inside.collect())
    }
}

fn check_extent(key: Key, item: &[u8], previous_end: u64) -> Result<(), TreeError> {
    let at = key.object;
    if at < previous_end {
        return Err(damaged(format!("two extents share address {at}")));
    }
    let flags = le64(item, 16);
    let is_block = flags & EXTENT_IS_TREE_BLOCK != 0;
    let fits = item.len() >= EXTENT_LEN && (key.kind == kind::EXTENT_ITEM || is_block);
    match fits {
        true => Ok(()),
        false => Err(damaged(format!("the extent at {at} is no extent"))),
    }
}
