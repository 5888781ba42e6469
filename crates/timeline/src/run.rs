//! Building runs: extents into blocks, blocks into a root.
//!
//! Never knows: where blobs are put; the caller says.

use std::collections::HashMap;

use backstay_format::map::{BlockRef, Body, Extent as Stored, MAX_BLOCK_EXTENTS, Root, Source, encode_block};
use backstay_format::units::{FrameNo, PackId, PageNo};

use crate::extent::{Content, Extent};

/// Takes extents in order and makes a run of them. Holds the run's blocks in memory, encoded: about ten bytes an extent.
#[derive(Default)]
pub struct RunBuilder {
    packs: Vec<PackId>,
    numbers: HashMap<PackId, u32>,
    last: Option<Extent>,
    open: Vec<Stored>,
    blocks: Vec<Block>,
    extents: u64,
    pages: u64,
}

struct Block {
    first: Stored,
    last: Stored,
    extents: u32,
    bytes: Vec<u8>,
}

/// A run as its row describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The root, to be put as a blob.
    pub root: Vec<u8>,
    /// Packs that the run refers to, those of its blocks included; not the root's own.
    pub packs: Vec<PackId>,
    /// Extents in it.
    pub extents: u64,
    /// Pages in its data extents.
    pub pages: u64,
}

impl RunBuilder {
    /// Adds an extent that lies after all before it.
    pub fn push(&mut self, extent: Extent) {
        let joined = self.last.as_mut().is_some_and(|last| last.join(&extent));
        if !joined && let Some(before) = self.last.replace(extent) {
            self.store(before);
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.last.is_none() && self.extents == 0
    }

    /// The packs that extents so far refer to.
    pub fn packs(&self) -> &[PackId] {
        &self.packs
    }

    /// Ends the run. `put` puts a block and says where it is.
    pub fn finish(mut self, mut put: impl FnMut(&[u8]) -> (PackId, FrameNo)) -> Built {
        if let Some(last) = self.last.take() {
            self.store(last);
        }
        let body = if self.blocks.is_empty() {
            Body::Inline(std::mem::take(&mut self.open))
        } else {
            self.close_block();
            let blocks = std::mem::take(&mut self.blocks);
            Body::Blocks(blocks.into_iter().map(|b| self.put_block(b, &mut put)).collect())
        };
        let (extents, pages) = (self.extents, self.pages);
        let root = Root { packs: self.packs.clone(), body }.encode();
        Built { root, packs: self.packs, extents, pages }
    }

    fn put_block(&mut self, block: Block, put: &mut impl FnMut(&[u8]) -> (PackId, FrameNo)) -> BlockRef {
        let (pack, frame) = put(&block.bytes);
        let end = |e: &Stored| (e.disk, PageNo(e.end().0 - 1));
        BlockRef {
            first: (block.first.disk, block.first.page),
            last: end(&block.last),
            extents: block.extents,
            pack: self.number(pack),
            frame,
        }
    }

    fn store(&mut self, extent: Extent) {
        if self.open.len() == MAX_BLOCK_EXTENTS {
            self.close_block();
        }
        let source = match extent.content {
            Content::Data { pack, chunk, inside, tag } => {
                self.pages += extent.pages;
                Source::Data { pack: self.number(pack), chunk, inside, tag }
            }
            Content::Zero => Source::Zero,
            Content::Absent => Source::Absent,
            Content::Unreadable => Source::Unreadable,
            Content::Excluded => Source::Excluded,
        };
        self.extents += 1;
        self.open.push(Stored { disk: extent.disk, page: extent.page, pages: extent.pages, source });
    }

    fn close_block(&mut self) {
        let (Some(first), Some(last)) = (self.open.first().copied(), self.open.last().copied()) else { return };
        let mut bytes = Vec::new();
        encode_block(&self.open, &mut bytes);
        self.blocks.push(Block { first, last, extents: self.open.len() as u32, bytes });
        self.open.clear();
    }

    fn number(&mut self, pack: PackId) -> u32 {
        let next = self.packs.len() as u32;
        let number = *self.numbers.entry(pack).or_insert(next);
        if number == next {
            self.packs.push(pack);
        }
        number
    }
}

/// Extents of a block with their packs named.
pub fn resolve(stored: &[Stored], packs: &[PackId]) -> Vec<Extent> {
    let content = |source: Source| match source {
        Source::Data { pack, chunk, inside, tag } => Content::Data { pack: packs[pack as usize], chunk, inside, tag },
        Source::Zero => Content::Zero,
        Source::Absent => Content::Absent,
        Source::Unreadable => Content::Unreadable,
        Source::Excluded => Content::Excluded,
    };
    let named = |e: &Stored| Extent { disk: e.disk, page: e.page, pages: e.pages, content: content(e.source) };
    stored.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstay_format::map::decode_block;
    use backstay_format::units::{ChunkNo, DiskNo, Tag};

    fn extents(count: u64) -> Vec<Extent> {
        let extent = |i: u64| Extent {
            disk: DiskNo(1),
            page: PageNo(i * 3),
            pages: 2,
            content: Content::Data {
                pack: PackId([(i % 5) as u8; 16]),
                chunk: ChunkNo(i as u32),
                inside: 0,
                tag: Tag([9; 4]),
            },
        };
        (0..count).map(extent).collect()
    }

    #[test]
    fn small_runs_are_one_root_and_large_ones_have_blocks() {
        for count in [0, 1, 4096, 4097, 10_000] {
            let mut builder = RunBuilder::default();
            extents(count).into_iter().for_each(|e| builder.push(e));
            let mut blocks = Vec::new();
            let built = builder.finish(|bytes| {
                blocks.push(bytes.to_vec());
                (PackId([0xee; 16]), FrameNo(blocks.len() as u32 - 1))
            });
            assert_eq!((built.extents, built.pages), (count, 2 * count));
            let root = Root::decode(&built.root).unwrap();
            let found = match root.body {
                Body::Inline(extents) => resolve(&extents, &root.packs),
                Body::Blocks(refs) => {
                    let load = |r: &BlockRef| decode_block(&blocks[r.frame.0 as usize], root.packs.len() as u32);
                    refs.iter().flat_map(|r| resolve(&load(r).unwrap(), &root.packs)).collect()
                }
            };
            assert_eq!(found, extents(count));
            assert_eq!(blocks.is_empty(), count <= 4096);
        }
    }
}
