//! From a file's blocks to the file system's: extent trees, and the block numbers of ext2 and ext3.
//!
//! Never knows: what is in the blocks, or how long the file is.

use super::fs::Fs;
use super::inode::{Inode, flags};
use crate::bytes::{damaged, le16, le32};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

const MAX_DEPTH: u16 = 5;
const ENTRY: usize = 12;
const UNWRITTEN: u16 = 0x8000;

/// Where a run of a file's blocks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first block; `None` reads as zeros.
    pub(super) block: Option<u64>,
    /// Blocks, at least 1.
    pub(super) len: u64,
}

/// What leads to one inode's blocks.
pub(super) struct Mapping {
    root: [u8; 60],
    extents: bool,
    number: u32,
    generation: u32,
}

impl Mapping {
    /// The mapping of an inode whose content is in blocks.
    pub(super) fn of(inode: &Inode) -> Result<Self, TreeError> {
        let root = inode.blocks().first_chunk();
        Ok(Mapping {
            root: *root.ok_or_else(|| damaged("an inode is cut short"))?,
            extents: inode.has(flags::EXTENTS),
            number: inode.number,
            generation: inode.generation,
        })
    }

    /// Where block `at` of the file is, and how many follow in the same way.
    pub(super) fn find<V: Volume>(&self, fs: &Fs<V>, at: u32) -> Result<Run, TreeError> {
        match self.extents {
            true => self.in_extents(fs, at),
            false => self.in_numbers(fs, at),
        }
    }

    fn damaged(&self, what: &str) -> TreeError {
        damaged(format!("inode {}: {what}", self.number))
    }

    fn in_extents<V: Volume>(&self, fs: &Fs<V>, at: u32) -> Result<Run, TreeError> {
        let mut node = self.root.to_vec();
        let mut depth = self.check_node(&node, None)?;
        // Where the answer stops holding: the first block of what comes next in the tree.
        let mut until = 1_u64 << 32;
        loop {
            let entries = usize::from(le16(&node, 2));
            let start = |i: usize| le32(&node, ENTRY * (i + 1));
            let after = partition_point(entries, |i| start(i) <= at);
            if after < entries {
                until = until.min(u64::from(start(after)));
            }
            let Some(last) = after.checked_sub(1) else {
                return self.hole(at, until);
            };
            let entry = &node[ENTRY * (last + 1)..ENTRY * (last + 2)];
            if depth == 0 {
                return self.in_leaf(entry, at, until);
            }
            let child = u64::from(le16(entry, 8)) << 32 | u64::from(le32(entry, 4));
            node = fs.read_block(child)?;
            depth = self.check_node(&node, Some(depth))?;
            self.check_sum(fs, &node)?;
        }
    }

    fn hole(&self, at: u32, until: u64) -> Result<Run, TreeError> {
        let len = until.saturating_sub(u64::from(at)).max(1);
        Ok(Run { block: None, len })
    }

    fn in_leaf(&self, entry: &[u8], at: u32, until: u64) -> Result<Run, TreeError> {
        let first = le32(entry, 0);
        let (len, unwritten) = match le16(entry, 4) {
            len @ 0..=UNWRITTEN => (len, false),
            len => (len - UNWRITTEN, true),
        };
        let inside = u64::from(at - first);
        let left = u64::from(len).saturating_sub(inside);
        if left == 0 {
            return self.hole(at, until);
        }
        let block = u64::from(le16(entry, 6)) << 32 | u64::from(le32(entry, 8));
        if block == 0 {
            return Err(self.damaged("an extent points at block 0"));
        }
        let block = (!unwritten).then_some(block + inside);
        let len = left.min(until.saturating_sub(u64::from(at)).max(1));
        Ok(Run { block, len })
    }

    /// Checks a node's header and answers its depth, one less than its parent's.
    fn check_node(&self, node: &[u8], parent: Option<u16>) -> Result<u16, TreeError> {
        let (entries, room, depth) = (le16(node, 2), le16(node, 4), le16(node, 6));
        let fits = ENTRY * (usize::from(room) + 1) <= node.len() && entries <= room;
        let expected = match parent {
            Some(parent) => parent.checked_sub(1) == Some(depth),
            None => depth <= MAX_DEPTH,
        };
        match le16(node, 0) == 0xF30A && fits && depth <= MAX_DEPTH && expected {
            true => Ok(depth),
            false => Err(self.damaged("a node of its extent tree is no node")),
        }
    }

    fn check_sum<V: Volume>(&self, fs: &Fs<V>, node: &[u8]) -> Result<(), TreeError> {
        if !fs.sb.has_metadata_csum() {
            return Ok(());
        }
        let at = ENTRY * (usize::from(le16(node, 4)) + 1);
        let seed = super::inode::seed(&fs.sb, self.number, self.generation);
        let stored = node.get(at..at + 4).map(|sum| le32(sum, 0));
        match stored == Some(super::superblock::crc(seed, &node[..at])) {
            true => Ok(()),
            false => Err(self.damaged("the checksum of its extent tree is wrong")),
        }
    }

    /// Twelve numbers, then one block of numbers, one of blocks of numbers, one of those.
    fn in_numbers<V: Volume>(&self, fs: &Fs<V>, at: u32) -> Result<Run, TreeError> {
        let per_block = fs.sb.block_size / 4;
        let mut inside = u64::from(at);
        if inside < 12 {
            let number = |i: u64| le32(&self.root, i as usize * 4);
            return Ok(run_of(number, inside, 12));
        }
        inside -= 12;
        let mut reach = per_block;
        for level in 0..3 {
            if inside < reach {
                let top = le32(&self.root, (12 + level) * 4);
                return self.in_tree(fs, top, inside, reach);
            }
            inside -= reach;
            reach = reach.saturating_mul(per_block);
        }
        Err(self.damaged("it has more blocks than it can name"))
    }

    fn in_tree<V: Volume>(
        &self,
        fs: &Fs<V>,
        mut block: u32,
        mut inside: u64,
        mut reach: u64,
    ) -> Result<Run, TreeError> {
        let per_block = fs.sb.block_size / 4;
        loop {
            if block == 0 {
                let len = reach - inside;
                return Ok(Run { block: None, len });
            }
            let numbers = fs.read_block(u64::from(block))?;
            let number = |i: u64| le32(&numbers, i as usize * 4);
            reach /= per_block;
            if reach == 1 {
                return Ok(run_of(number, inside, per_block));
            }
            block = number(inside / reach);
            inside %= reach;
        }
    }
}

/// The run that starts at index `at` of `count` block numbers.
fn run_of(number: impl Fn(u64) -> u32, at: u64, count: u64) -> Run {
    let first = number(at);
    let follows = |i: u64| match first {
        0 => number(i) == 0,
        first => u64::from(number(i)) == u64::from(first) + (i - at),
    };
    let len = (at..count).take_while(|&i| follows(i)).count() as u64;
    let block = (first != 0).then_some(u64::from(first));
    Run { block, len }
}

fn partition_point(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        match holds(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}
