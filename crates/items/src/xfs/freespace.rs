//! Which bytes an XFS uses: everything but what its free-space trees call free.
//!
//! Never knows: files; that a block is in use is all it says.
//! Invariant: a group whose own numbers disagree anywhere frees nothing, nor does any other group then.

use std::ops::Range;

use backstay_env::volume::Volume;

use super::block::{AGF, AGFL, Claim, SHORT_BTREE, verify};
use super::bytes::{Bytes, damaged};
use super::disk::{Disk, read_geometry};
use super::log;
use super::superblock::Geometry;
use crate::allocation::{Allocation, Ranges};
use crate::cache::Borrowed;
use crate::tree::TreeError;

const KIND: &str = "xfs";
const MAX_LEVELS: u32 = 16;
const NONE: u32 = u32::MAX;

/// Which bytes of `volume` the XFS on it uses, by its free-space trees as they are once its log is replayed (in
/// memory; nothing is written). The log, the groups' headers and what lies behind the file system count as used;
/// so do blocks that an unfinished operation of the log still has to free. Never fails: where anything is damaged,
/// unknown or unreadable the answer is everything, with the reason.
pub fn allocated(volume: &dyn Volume) -> Allocation {
    let size = volume.size();
    Allocation::from_walk(KIND, size, free(volume).map(|free| complement(&free, size)))
}

/// Free byte ranges.
fn free(volume: &dyn Volume) -> Result<Ranges, TreeError> {
    let mut disk = Disk::new(Box::new(Borrowed(volume)));
    let geometry = read_geometry(&disk)?;
    log::replay(&mut disk, &geometry)?;
    let geometry = read_geometry(&disk)?;
    if geometry.realtime_blocks != 0 {
        return Err(TreeError::Unsupported("XFS with a realtime device".into()));
    }
    if geometry.unknown_ro_features != 0 {
        let features = format!("XFS with unknown features {:#x}", geometry.unknown_ro_features);
        return Err(TreeError::Unsupported(features));
    }
    let mut out = Vec::new();
    for ag in 0..geometry.ag_count {
        let group = Group::read(&disk, &geometry, ag)?;
        for extent in group.free()? {
            let count = u64::from(extent.end - extent.start);
            let start = geometry.ag_offset(ag, extent.start.into(), count);
            let start = start.ok_or_else(|| damaged(format!("group {ag}: free space outside it")))?;
            out.push(start..start + count * u64::from(geometry.block_size));
        }
    }
    Ok(Ranges::from_unsorted(out))
}

fn complement(free: &Ranges, size: u64) -> Ranges {
    let mut used = Ranges::new();
    let mut at = 0;
    for range in free.iter() {
        used.push(at..range.start);
        at = range.end;
    }
    used.push(at..size);
    used
}

/// The header of a group's free space.
struct Group<'a> {
    disk: &'a Disk<'a>,
    geometry: &'a Geometry,
    ag: u32,
    len: u32,
    roots: [u32; 2],
    levels: [u32; 2],
    list: ListPlace,
    free_blocks: u32,
    longest: u32,
}

/// Where the list of spare blocks begins and ends in its sector.
struct ListPlace {
    first: u32,
    last: u32,
    count: u32,
}

/// The two trees of one group, which hold the same extents in different orders.
#[derive(Clone, Copy)]
enum Tree {
    ByPlace = 0,
    BySize = 1,
}

impl<'a> Group<'a> {
    fn read(disk: &'a Disk<'a>, geometry: &'a Geometry, ag: u32) -> Result<Self, TreeError> {
        let data = sector(disk, geometry, ag, 1)?;
        let what = "free-space header";
        let offset = sector_offset(geometry, ag, 1)?;
        verify(geometry, AGF, &Claim { what, offset, owner: None, sealed: true, data: &data })?;
        let b = Bytes::new(&data, what);
        let group = Group {
            disk,
            geometry,
            ag,
            len: b.be32(12)?,
            roots: [b.be32(16)?, b.be32(20)?],
            levels: [b.be32(28)?, b.be32(32)?],
            list: ListPlace { first: b.be32(40)?, last: b.be32(44)?, count: b.be32(48)? },
            free_blocks: b.be32(52)?,
            longest: b.be32(56)?,
        };
        let itself = b.be32(0)? == 0x5841_4746 && b.be32(4)? == 1 && b.be32(8)? == ag;
        if !itself || group.len != geometry.ag_len(ag) {
            return Err(group.wrong("its free-space header is not its own"));
        }
        Ok(group)
    }

    fn wrong(&self, what: &str) -> TreeError {
        damaged(format!("group {}: {what}", self.ag))
    }

    /// Free extents in order, the spare blocks included.
    fn free(&self) -> Result<Vec<Range<u32>>, TreeError> {
        let by_place = self.walk(Tree::ByPlace)?;
        let mut by_size = self.walk(Tree::BySize)?;
        let sized = by_size.is_sorted_by_key(|e| (e.end - e.start, e.start));
        by_size.sort_unstable_by_key(|e| e.start);
        if !sized || by_size != by_place {
            return Err(self.wrong("its two free-space trees disagree"));
        }
        let total: u64 = by_place.iter().map(|e| u64::from(e.end - e.start)).sum();
        let longest = by_place.iter().map(|e| e.end - e.start).max().unwrap_or(0);
        if total != u64::from(self.free_blocks) || longest != self.longest {
            return Err(self.wrong("its free-space header and trees disagree"));
        }
        let mut all = by_place;
        all.extend(self.spare()?.into_iter().map(|block| block..block + 1));
        all.sort_unstable_by_key(|e| e.start);
        if all.array_windows().any(|[a, b]| a.end > b.start) {
            return Err(self.wrong("a block is free twice"));
        }
        self.check_taken(&all)?;
        Ok(all)
    }

    /// Refuses free space that is certainly in use: headers, tree roots, the log, the root directory.
    fn check_taken(&self, free: &[Range<u32>]) -> Result<(), TreeError> {
        let geometry = self.geometry;
        let headers = (4 * u32::from(geometry.sector_size)).div_ceil(geometry.block_size);
        let mut taken: Vec<Range<u32>> = self.roots.map(|root| root..root.saturating_add(1)).into();
        taken.push(0..headers);
        let log = (geometry.split(geometry.log_start), geometry.log_blocks);
        let root = (geometry.split(geometry.root >> geometry.inodes_per_block_log), 1);
        for (place, count) in [log, root] {
            if let Some((ag, block)) = place
                && ag == self.ag
                && geometry.log_start != 0
            {
                let start = u32::try_from(block).map_err(|_| self.wrong("a block outside it"))?;
                taken.push(start..start.saturating_add(count));
            }
        }
        let overlaps = |t: &Range<u32>| {
            let next = free.partition_point(|f| f.end <= t.start);
            free.get(next).is_some_and(|f| f.start < t.end)
        };
        match taken.iter().any(overlaps) {
            true => Err(self.wrong("it calls blocks free that are in use")),
            false => Ok(()),
        }
    }

    /// The blocks kept aside for the group's trees. They hold nothing.
    fn spare(&self) -> Result<Vec<u32>, TreeError> {
        let data = sector(self.disk, self.geometry, self.ag, 3)?;
        let what = "list of spare blocks";
        let offset = sector_offset(self.geometry, self.ag, 3)?;
        verify(self.geometry, AGFL, &Claim { what, offset, owner: None, sealed: true, data: &data })?;
        let b = Bytes::new(&data, what);
        let header = if self.geometry.v5 { 36 } else { 0 };
        if self.geometry.v5 && (b.be32(0)? != 0x5841_464c || b.be32(4)? != self.ag) {
            return Err(self.wrong("its list of spare blocks is not its own"));
        }
        let slots = ((data.len() - header) / 4) as u32;
        let ListPlace { first, last, count } = self.list;
        if count == 0 {
            return Ok(Vec::new());
        }
        // Some versions counted one slot more or less; a list that does not add up is not believed.
        let fits = first < slots && last < slots && count <= slots && (first + count - 1) % slots == last;
        if !fits {
            return Err(self.wrong("its list of spare blocks does not add up"));
        }
        let slot = |i: u32| b.be32(header + 4 * ((first + i) % slots) as usize);
        let blocks: Vec<u32> = (0..count).map(slot).collect::<Result<_, _>>()?;
        match blocks.iter().all(|block| *block < self.len) {
            true => Ok(blocks),
            false => Err(self.wrong("a spare block outside it")),
        }
    }

    fn walk(&self, tree: Tree) -> Result<Vec<Range<u32>>, TreeError> {
        let (root, levels) = (self.roots[tree as usize], self.levels[tree as usize]);
        if !(1..=MAX_LEVELS).contains(&levels) {
            return Err(self.wrong("impossible height of a free-space tree"));
        }
        let mut out = Vec::new();
        let mut budget = self.len;
        self.visit(tree, root, levels - 1, &mut budget, &mut out)?;
        Ok(out)
    }

    /// Appends the records below a block, each block at most as often as the group has blocks.
    fn visit(
        &self,
        tree: Tree,
        block: u32,
        level: u32,
        budget: &mut u32,
        out: &mut Vec<Range<u32>>,
    ) -> Result<(), TreeError> {
        *budget = budget.checked_sub(1).ok_or_else(|| self.wrong("a free-space tree without end"))?;
        let data = self.tree_block(tree, block, level)?;
        let b = Bytes::new(&data, "free-space tree block");
        let header = if self.geometry.v5 { 56 } else { 16 };
        let count = usize::from(b.be16(6)?);
        if level > 0 {
            let room = (data.len() - header) / 12;
            if count == 0 || count > room {
                return Err(self.wrong("impossible node in a free-space tree"));
            }
            let pointers = b.take(header + room * 8, count * 4)?;
            for pointer in pointers.as_chunks().0 {
                self.visit(tree, u32::from_be_bytes(*pointer), level - 1, budget, out)?;
            }
            return Ok(());
        }
        for at in (0..count).map(|i| header + i * 8) {
            let (start, len) = (b.be32(at)?, b.be32(at + 4)?);
            let end = start.checked_add(len).filter(|end| len > 0 && *end <= self.len);
            out.push(start..end.ok_or_else(|| self.wrong("free space outside it"))?);
            self.check_order(tree, out)?;
        }
        Ok(())
    }

    /// Refuses a record that does not follow the one before. Records rise strictly, so no block yields twice.
    fn check_order(&self, tree: Tree, out: &[Range<u32>]) -> Result<(), TreeError> {
        let in_order = match (out, tree) {
            ([.., a, b], Tree::ByPlace) => a.end <= b.start,
            ([.., a, b], Tree::BySize) => (a.end - a.start, a.start) < (b.end - b.start, b.start),
            _ => true,
        };
        match in_order {
            true => Ok(()),
            false => Err(self.wrong("a free-space tree is out of order")),
        }
    }

    fn tree_block(&self, tree: Tree, block: u32, level: u32) -> Result<Vec<u8>, TreeError> {
        let offset = self.geometry.ag_offset(self.ag, block.into(), 1).filter(|_| block != NONE);
        let offset = offset.ok_or_else(|| self.wrong("a free-space tree points outside it"))?;
        let data = self.disk.read_vec(offset, self.geometry.block_size as usize)?;
        let what = "free-space tree block";
        let owner = Some(u64::from(self.ag));
        verify(self.geometry, SHORT_BTREE, &Claim { what, offset, owner, sealed: true, data: &data })?;
        let b = Bytes::new(&data, what);
        let magic = match (tree, self.geometry.v5) {
            (Tree::ByPlace, true) => 0x4142_3342,
            (Tree::ByPlace, false) => 0x4142_5442,
            (Tree::BySize, true) => 0x4142_3343,
            (Tree::BySize, false) => 0x4142_5443,
        };
        if b.be32(0)? != magic || u32::from(b.be16(4)?) != level {
            return Err(self.wrong("a block of another kind in a free-space tree"));
        }
        Ok(data)
    }
}

/// Where a sector of a group's headers is.
pub(super) fn sector_offset(geometry: &Geometry, ag: u32, index: u64) -> Result<u64, TreeError> {
    let start = geometry.ag_offset(ag, 0, 1);
    let start = start.ok_or_else(|| damaged(format!("there is no group {ag}")))?;
    Ok(start + index * u64::from(geometry.sector_size))
}

/// A sector of a group's headers.
pub(super) fn sector(disk: &Disk<'_>, geometry: &Geometry, ag: u32, index: u64) -> Result<Vec<u8>, TreeError> {
    disk.read_vec(sector_offset(geometry, ag, index)?, usize::from(geometry.sector_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_free_is_used() {
        let free = Ranges::from_unsorted(vec![5..10, 20..30]);
        let used: Vec<_> = complement(&free, 30).iter().collect();
        assert_eq!(used, [0..5, 10..20]);
        assert_eq!(complement(&Ranges::new(), 7).total(), 7);
    }

    #[test]
    fn what_is_no_xfs_is_all_used() {
        let found = allocated(&vec![0u8; 70_000]);
        assert_eq!(found.used.total(), 70_000);
        assert!(found.doubt.is_some());
        assert_eq!(allocated(&Vec::new()).used.total(), 0);
    }
}
