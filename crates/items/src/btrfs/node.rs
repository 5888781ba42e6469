//! Tree blocks, checked whole before anything in them is used.
//!
//! Never knows: which tree a block belongs to, or what its items mean.

use super::key::{KEY_LEN, Key};
use super::superblock::Superblock;
use crate::bytes::{array, damaged, le32, le64};
use crate::tree::TreeError;
use std::ops::Range;

const HEADER_LEN: usize = 0x65;
const ITEM_LEN: usize = 25;
const CHILD_LEN: usize = 33;
/// Levels above the leaves that the format allows.
pub(super) const MAX_LEVEL: u8 = 7;

/// A pointer to a block: what must be found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) logical: u64,
    pub(super) generation: u64,
    pub(super) level: u8,
    /// The first key in it; a root may begin with any.
    pub(super) first: Option<Key>,
    /// All its keys are below this one; `None` at the right edge.
    pub(super) below: Option<Key>,
}

impl Pointer {
    /// A tree's root.
    pub(super) fn root(logical: u64, level: u8, generation: u64) -> Pointer {
        Pointer { logical, generation, level, first: None, below: None }
    }
}

/// A block that fits its pointer.
#[derive(Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Leaf(Vec<(Key, Range<usize>)>),
    Inner(Vec<Pointer>),
}

impl Node {
    /// Checks a block against the pointer that led to it. Its checksum is the caller's matter.
    pub(super) fn decode(of: &Superblock, at: &Pointer, bytes: Vec<u8>) -> Result<Node, TreeError> {
        let wrong = |what: &str| damaged(format!("the tree block at {}: {what}", at.logical));
        if bytes.len() < HEADER_LEN || at.level > MAX_LEVEL {
            return Err(wrong("impossible level or size"));
        }
        if array(&bytes, 0x20) != Some(of.block_fsid) || le64(&bytes, 0x30) != at.logical {
            return Err(wrong("belongs elsewhere"));
        }
        if le64(&bytes, 0x50) != at.generation {
            return Err(wrong("is of another generation"));
        }
        if bytes[0x64] != at.level {
            return Err(wrong("is on another level"));
        }
        let count = le32(&bytes, 0x60) as usize;
        let body = match at.level {
            0 => leaf(&bytes, count).map(Body::Leaf),
            level => inner(&bytes, count, level, at.below).map(Body::Inner),
        };
        let node = Node { body: body.ok_or_else(|| wrong("its items do not fit"))?, bytes };
        match node.fits(at) {
            true => Ok(node),
            false => Err(wrong("its keys are out of order")),
        }
    }

    fn fits(&self, at: &Pointer) -> bool {
        let rising = match &self.body {
            Body::Leaf(items) => items.windows(2).all(|w| w[0].0 < w[1].0),
            Body::Inner(children) => children.windows(2).all(|w| w[0].first < w[1].first),
        };
        let (first, last) = match &self.body {
            Body::Leaf(items) => (items.first().map(|i| i.0), items.last().map(|i| i.0)),
            Body::Inner(c) => (c.first().and_then(|c| c.first), c.last().and_then(|c| c.first)),
        };
        let starts = at.first.is_none() || at.first == first;
        rising && starts && at.below.is_none_or(|below| last.is_none_or(|l| l < below))
    }

    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    /// The bytes of an item of this block.
    pub(super) fn item(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

fn leaf(bytes: &[u8], count: usize) -> Option<Vec<(Key, Range<usize>)>> {
    let table_end = HEADER_LEN.checked_add(count.checked_mul(ITEM_LEN)?)?;
    let table = bytes.get(HEADER_LEN..table_end)?;
    let item = |entry: &[u8]| {
        let start = (le32(entry, KEY_LEN) as usize).checked_add(HEADER_LEN)?;
        let end = start.checked_add(le32(entry, KEY_LEN + 4) as usize)?;
        let inside = start >= table_end && end <= bytes.len();
        inside.then(|| (Key::decode(entry, 0), start..end))
    };
    table.chunks_exact(ITEM_LEN).map(item).collect()
}

fn inner(bytes: &[u8], count: usize, level: u8, below: Option<Key>) -> Option<Vec<Pointer>> {
    let table_end = HEADER_LEN.checked_add(count.checked_mul(CHILD_LEN)?)?;
    let table = bytes.get(HEADER_LEN..table_end).filter(|_| count > 0)?;
    let child = |entry: &[u8]| Pointer {
        logical: le64(entry, KEY_LEN),
        generation: le64(entry, KEY_LEN + 8),
        level: level - 1,
        first: Some(Key::decode(entry, 0)),
        below: None,
    };
    let mut children: Vec<Pointer> = table.chunks_exact(CHILD_LEN).map(child).collect();
    for i in 0..children.len() {
        children[i].below = children.get(i + 1).map_or(below, |next| next.first);
    }
    Some(children)
}
