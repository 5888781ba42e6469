//! Where the blocks of a file lie: the list in an inode, or the tree that grows from it.
//!
//! Never knows: what the blocks hold.
//! Invariant: what it returns is sorted by place in the file, without overlaps, each extent inside one group.

use std::ops::Range;

use super::block::{Claim, LONG_BTREE, verify};
use super::bytes::{Bytes, damaged};
use super::disk::Disk;
use super::inode::{Format, Inode};
use super::superblock::Geometry;
use crate::tree::TreeError;

const MAGIC_V4: u32 = 0x424d_4150;
const MAGIC_V5: u32 = 0x424d_4133;
const RECORD: usize = 16;
/// Deeper than any tree with 2^54 blocks can be.
const MAX_LEVELS: u16 = 16;

/// A run of file blocks on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// First block in the file.
    pub(super) file_block: u64,
    /// First block on the volume, as a file system block number.
    pub(super) block: u64,
    pub(super) len: u64,
    /// Allocated but never written: reads as zeros.
    pub(super) unwritten: bool,
}

impl Extent {
    fn unpack(record: [u8; RECORD]) -> Extent {
        let packed = u128::from_be_bytes(record);
        Extent {
            unwritten: packed >> 127 != 0,
            file_block: (packed >> 73) as u64 & ((1 << 54) - 1),
            block: (packed >> 21) as u64 & ((1 << 52) - 1),
            len: packed as u64 & ((1 << 21) - 1),
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.file_block + self.len
    }
}

/// A change of what lies where in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remap {
    pub(super) extent: Extent,
    /// Whether the extent is put there, or nothing is.
    pub(super) mapped: bool,
}

impl Remap {
    /// Makes the change in sorted extents.
    fn apply(&self, extents: Vec<Extent>) -> Vec<Extent> {
        let change = self.extent;
        let mut out = Vec::with_capacity(extents.len() + 2);
        for extent in extents {
            out.extend(part(extent, 0..change.file_block));
            out.extend(part(extent, change.end()..u64::MAX));
        }
        if self.mapped && change.len > 0 {
            out.push(change);
        }
        out.sort_unstable_by_key(|e| e.file_block);
        out
    }
}

/// The part of an extent inside `wanted`, if any.
pub(super) fn part(extent: Extent, wanted: Range<u64>) -> Option<Extent> {
    let (start, end) = (extent.file_block.max(wanted.start), extent.end().min(wanted.end));
    let block = extent.block + (start - extent.file_block);
    (start < end).then(|| Extent { file_block: start, block, len: end - start, ..extent })
}

/// The extents of `inode` that overlap the file blocks `wanted`.
///
/// # Errors
/// `Damaged`, `Io`.
pub(super) fn extents_in(
    disk: &Disk<'_>,
    geometry: &Geometry,
    inode: &Inode,
    wanted: Range<u64>,
) -> Result<Vec<Extent>, TreeError> {
    let mut walk = Walk { disk, geometry, owner: inode.number, wanted, found: Vec::new() };
    match inode.format {
        Format::Extents => walk.list(inode)?,
        Format::Btree => walk.root(inode.fork())?,
        Format::Local | Format::Device => {
            return Err(damaged(format!("inode {}: its format has no extents", inode.number)));
        }
    }
    let mut found = walk.found;
    for remap in disk.remaps(inode.number) {
        let (place, len) = (remap.extent.block, remap.extent.len);
        if remap.mapped && geometry.offset(place, len).is_none() {
            return Err(damaged(format!("inode {}: the log maps blocks outside the file system", inode.number)));
        }
        found = remap.apply(found);
    }
    Ok(found)
}

struct Walk<'a> {
    disk: &'a Disk<'a>,
    geometry: &'a Geometry,
    owner: u64,
    wanted: Range<u64>,
    found: Vec<Extent>,
}

impl Walk<'_> {
    fn damaged(&self, what: &str) -> TreeError {
        damaged(format!("inode {}: {what}", self.owner))
    }

    fn list(&mut self, inode: &Inode) -> Result<(), TreeError> {
        let len = usize::try_from(inode.extents).ok().and_then(|n| n.checked_mul(RECORD));
        let records = len.and_then(|len| inode.fork().get(..len));
        let records = records.ok_or_else(|| self.damaged("more extents than fit in it"))?;
        self.records(records, 0..u64::MAX)
    }

    /// Takes packed extents that must lie within `bounds` of the file, in order.
    fn records(&mut self, records: &[u8], bounds: Range<u64>) -> Result<(), TreeError> {
        let mut at = bounds.start;
        for record in records.as_chunks::<RECORD>().0 {
            let extent = Extent::unpack(*record);
            if extent.len == 0 || extent.file_block < at || extent.end() > bounds.end {
                return Err(self.damaged("extents out of order"));
            }
            at = extent.end();
            if self.geometry.offset(extent.block, extent.len).is_none() {
                return Err(self.damaged("an extent outside the file system"));
            }
            if extent.file_block < self.wanted.end && extent.end() > self.wanted.start {
                self.found.push(extent);
            }
        }
        Ok(())
    }

    fn root(&mut self, fork: &[u8]) -> Result<(), TreeError> {
        let b = Bytes::new(fork, "root of an extent tree");
        let (level, count) = (b.be16(0)?, usize::from(b.be16(2)?));
        let room = fork.len().saturating_sub(4) / RECORD;
        if level == 0 || level > MAX_LEVELS || count == 0 || count > room {
            return Err(self.damaged("impossible root of its extent tree"));
        }
        let keys = b.take(4, count * 8)?;
        let pointers = b.take(4 + room * 8, count * 8)?;
        self.children(keys, pointers, level - 1, 0..u64::MAX)
    }

    /// Visits those of the blocks below that may hold wanted extents. Keys rise strictly and every block must keep
    /// to its own, so no block is visited twice however the pointers loop.
    fn children(&mut self, keys: &[u8], pointers: &[u8], level: u16, bounds: Range<u64>) -> Result<(), TreeError> {
        let number = |bytes: &[[u8; 8]], i: usize| bytes.get(i).map(|b| u64::from_be_bytes(*b));
        let (keys, pointers) = (keys.as_chunks().0, pointers.as_chunks().0);
        for i in 0..keys.len() {
            let key = number(keys, i).unwrap_or(u64::MAX);
            let end = number(keys, i + 1).unwrap_or(bounds.end);
            if key < bounds.start || key >= end || end > bounds.end {
                return Err(self.damaged("keys of its extent tree out of order"));
            }
            if key < self.wanted.end && end > self.wanted.start {
                let pointer = number(pointers, i).unwrap_or(u64::MAX);
                self.block(pointer, level, key..end)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, fs_block: u64, level: u16, bounds: Range<u64>) -> Result<(), TreeError> {
        let geometry = self.geometry;
        let offset = geometry.offset(fs_block, 1);
        let offset = offset.ok_or_else(|| self.damaged("its extent tree points outside the file system"))?;
        let data = self.disk.read_vec(offset, geometry.block_size as usize)?;
        let owner = (!self.disk.owner_may_differ(self.owner)).then_some(self.owner);
        verify(geometry, LONG_BTREE, &Claim { what: "extent tree block", offset, owner, sealed: true, data: &data })?;
        let b = Bytes::new(&data, "extent tree block");
        let (magic, header) = if geometry.v5 { (MAGIC_V5, 72) } else { (MAGIC_V4, 24) };
        let count = usize::from(b.be16(6)?);
        let room = (data.len() - header) / RECORD;
        if b.be32(0)? != magic || b.be16(4)? != level || count == 0 || count > room {
            return Err(self.damaged("impossible block in its extent tree"));
        }
        if level == 0 {
            return self.records(b.take(header, count * RECORD)?, bounds);
        }
        let keys = b.take(header, count * 8)?;
        let pointers = b.take(header + room * 8, count * 8)?;
        self.children(keys, pointers, level - 1, bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaps_cut_what_was_there() {
        let extent = |file_block, block, len| Extent { file_block, block, len, unwritten: false };
        let before = vec![extent(0, 100, 10), extent(20, 200, 10)];
        let unmap = Remap { extent: extent(5, 0, 20), mapped: false };
        assert_eq!(unmap.apply(before.clone()), [extent(0, 100, 5), extent(25, 205, 5)]);
        let map = Remap { extent: extent(2, 900, 3), mapped: true };
        let after = [extent(0, 100, 2), extent(2, 900, 3), extent(5, 105, 5), extent(20, 200, 10)];
        assert_eq!(map.apply(before), after);
    }

    #[test]
    fn an_extent_record_by_hand() {
        // flag 1 | file block 5 (54 bits) | block 0x1_0000_0002 (52 bits) | length 3 (21 bits)
        let packed: u128 = 1 << 127 | 5 << 73 | 0x1_0000_0002 << 21 | 3;
        let golden = [0x80, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0x20, 0, 0, 0, 0x40, 0, 0x03];
        assert_eq!(packed.to_be_bytes(), golden);
        let extent = Extent { file_block: 5, block: 0x1_0000_0002, len: 3, unwritten: true };
        assert_eq!(Extent::unpack(golden), extent);
    }
}
