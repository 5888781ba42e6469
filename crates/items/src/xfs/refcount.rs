//! Which blocks of an XFS have more than one user, by the trees in which its groups count them.
//!
//! Never knows: who the users are.
//! Invariant: a block that may have two users is never left out of the answer.

use std::ops::Range;

use super::block::{AGF, Claim, SHORT_BTREE, verify};
use super::bytes::{Bytes, damaged};
use super::disk::Disk;
use super::freespace::{sector, sector_offset};
use super::superblock::Geometry;
use crate::allocation::Ranges;
use crate::tree::TreeError;

const MAGIC: u32 = 0x5233_4643;
const HEADER: usize = 56;
const RECORD: usize = 12;
const MAX_LEVELS: u32 = 16;

/// The byte ranges of blocks with more than one user, and of those that are kept for copies. Everything while the log
/// still has counts to change.
///
/// # Errors
/// `Damaged`, `Io`.
pub(super) fn shared(disk: &Disk<'_>, geometry: &Geometry) -> Result<Ranges, TreeError> {
    if disk.counts_are_old() || geometry.unknown_ro_features != 0 {
        return Ok(Ranges::all(disk.size()));
    }
    let mut out = Vec::new();
    for ag in 0..geometry.ag_count {
        let mut walk = Walk { disk, geometry, ag, budget: geometry.ag_len(ag), out: &mut out };
        let (root, levels) = walk.root()?;
        walk.visit(root, levels - 1)?;
    }
    Ok(Ranges::from_unsorted(out))
}

/// One group's tree.
struct Walk<'a> {
    disk: &'a Disk<'a>,
    geometry: &'a Geometry,
    ag: u32,
    /// Blocks that may yet be visited.
    budget: u32,
    out: &'a mut Vec<Range<u64>>,
}

impl Walk<'_> {
    fn wrong(&self, what: &str) -> TreeError {
        damaged(format!("group {}: {what}", self.ag))
    }

    /// The root's block and the height of the tree.
    fn root(&self) -> Result<(u32, u32), TreeError> {
        let what = "group header";
        let data = sector(self.disk, self.geometry, self.ag, 1)?;
        let offset = sector_offset(self.geometry, self.ag, 1)?;
        verify(self.geometry, AGF, &Claim { what, offset, owner: None, sealed: true, data: &data })?;
        let b = Bytes::new(&data, what);
        let (root, levels) = (b.be32(88)?, b.be32(92)?);
        match (1..=MAX_LEVELS).contains(&levels) && b.be32(8)? == self.ag {
            true => Ok((root, levels)),
            false => Err(self.wrong("it does not say where it counts users")),
        }
    }

    fn visit(&mut self, block: u32, level: u32) -> Result<(), TreeError> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| self.wrong("a tree of counts without end"))?;
        let data = self.block(block, level)?;
        let b = Bytes::new(&data, "block of counts");
        let count = usize::from(b.be16(6)?);
        if level > 0 {
            // Keys of four bytes for as many as there is room for, then pointers.
            let room = (data.len() - HEADER) / 8;
            if count == 0 || count > room {
                return Err(self.wrong("impossible node in a tree of counts"));
            }
            let pointers = b.take(HEADER + room * 4, count * 4)?;
            for pointer in pointers.as_chunks().0 {
                self.visit(u32::from_be_bytes(*pointer), level - 1)?;
            }
            return Ok(());
        }
        for at in (0..count).map(|i| HEADER + i * RECORD) {
            // The first bit says that the blocks are kept for a copy.
            let (start, len) = (b.be32(at)? & !(1 << 31), b.be32(at + 4)?);
            let place = self.geometry.ag_offset(self.ag, start.into(), len.into());
            let place = place.ok_or_else(|| self.wrong("it counts users of blocks outside it"))?;
            self.out.push(place..place + u64::from(len) * u64::from(self.geometry.block_size));
        }
        Ok(())
    }

    fn block(&self, block: u32, level: u32) -> Result<Vec<u8>, TreeError> {
        let offset = self.geometry.ag_offset(self.ag, block.into(), 1);
        let offset = offset.ok_or_else(|| self.wrong("its tree of counts points outside it"))?;
        let data = self.disk.read_vec(offset, self.geometry.block_size as usize)?;
        let (what, owner) = ("block of counts", Some(u64::from(self.ag)));
        verify(self.geometry, SHORT_BTREE, &Claim { what, offset, owner, sealed: true, data: &data })?;
        let b = Bytes::new(&data, what);
        match b.be32(0)? == MAGIC && u32::from(b.be16(4)?) == level {
            true => Ok(data),
            false => Err(self.wrong("a block of another kind in its tree of counts")),
        }
    }
}
