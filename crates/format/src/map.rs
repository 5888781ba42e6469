//! Runs of extents: blocks and roots (`docs/format/map.md`).
//!
//! Never knows: how runs are merged, or where blobs lie beyond their numbers.

use crate::codec::{DecodeError, Input, Output};
use crate::pack::MAX_CHUNK_PAGES;
use crate::units::{ChunkNo, DiskNo, FrameNo, PackId, PageNo, Tag};

/// The most extents a block may have.
pub const MAX_BLOCK_EXTENTS: usize = 4096;
const VERSION: u8 = 1;
/// No disk has a page of this number: 2^63 bytes are more than any disk.
const MAX_PAGE: u64 = 1 << 51;

/// Where the content of an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a chunk.
    Data {
        /// Index into the run's table of packs.
        pack: u32,
        /// The chunk.
        chunk: ChunkNo,
        /// First page in the chunk.
        inside: u32,
        /// Start of the chunk's id.
        tag: Tag,
    },
    /// Zeros.
    Zero,
    /// Not kept as nothing uses it; reads as zeros.
    Absent,
    /// The source could not read it.
    Unreadable,
    /// Left out by choice; reads as zeros.
    Excluded,
}

/// A run of pages of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The disk.
    pub disk: DiskNo,
    /// Its first page.
    pub page: PageNo,
    /// Pages; at least 1.
    pub pages: u64,
    /// Where the content is.
    pub source: Source,
}

impl Extent {
    /// The page after its last one.
    pub fn end(&self) -> PageNo {
        PageNo(self.page.0 + self.pages)
    }
}

const DISK: u8 = 1 << 3;
const GAP: u8 = 1 << 4;
const NEXT: u8 = 1 << 5;
const INSIDE: u8 = 1 << 6;

/// Appends a block of extents, which must be in order and at most [`MAX_BLOCK_EXTENTS`].
pub fn encode_block(extents: &[Extent], out: &mut Vec<u8>) {
    assert!(extents.len() <= MAX_BLOCK_EXTENTS, "block of {} extents", extents.len());
    out.put_varint(extents.len() as u64);
    let mut state = Cursor::default();
    extents.iter().for_each(|e| state.put(e, out));
}

/// What the encoding of an extent depends on: the ones before it in its block.
#[derive(Default)]
struct Cursor {
    disk: Option<DiskNo>,
    end: u64,
    data: Option<(u32, u32)>,
}

impl Cursor {
    fn put(&mut self, extent: &Extent, out: &mut Vec<u8>) {
        let new_disk = self.disk != Some(extent.disk);
        let before = if new_disk { 0 } else { self.end };
        let ordered = self.disk.is_none_or(|d| d <= extent.disk) && extent.page.0 >= before;
        assert!(ordered && extent.pages > 0, "extents out of order at {extent:?}");
        let gap = extent.page.0 - before;
        let (kind, inside, next) = match extent.source {
            Source::Data { pack, chunk, inside, .. } => {
                (0, inside, self.data.is_some_and(|(p, c)| p == pack && c.checked_add(1) == Some(chunk.0)))
            }
            Source::Zero => (1, 0, false),
            Source::Absent => (2, 0, false),
            Source::Unreadable => (3, 0, false),
            Source::Excluded => (4, 0, false),
        };
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(kind | flag(new_disk, DISK) | flag(gap > 0, GAP) | flag(next, NEXT) | flag(inside > 0, INSIDE));
        if new_disk {
            out.put_varint(extent.disk.0.into());
        }
        if gap > 0 {
            out.put_varint(gap);
        }
        out.put_varint(extent.pages);
        if let Source::Data { pack, chunk, inside, tag } = extent.source {
            if !next {
                out.put_varint(pack.into());
                out.put_varint(chunk.0.into());
            }
            if inside > 0 {
                out.put_varint(inside.into());
            }
            out.extend_from_slice(&tag.0);
            self.data = Some((pack, chunk.0));
        }
        self.disk = Some(extent.disk);
        self.end = extent.end().0;
    }

    fn take(&mut self, input: &mut Input<'_>, packs: u32) -> Result<Extent, DecodeError> {
        const BAD: DecodeError = DecodeError::Invalid("extent");
        let flags = input.u8()?;
        let (new_disk, has_gap) = (flags & DISK != 0, flags & GAP != 0);
        let disk = match (new_disk, self.disk) {
            (true, before) => {
                let disk = DiskNo(input.varint32("disk")?);
                if before.is_some_and(|b| b >= disk) {
                    return Err(BAD);
                }
                disk
            }
            (false, Some(disk)) => disk,
            (false, None) => return Err(BAD),
        };
        let gap = if has_gap { input.varint()? } else { 0 };
        let pages = input.varint()?;
        let page = (if new_disk { 0 } else { self.end }).checked_add(gap).ok_or(BAD)?;
        let end = page.checked_add(pages).ok_or(BAD)?;
        if pages == 0 || end > MAX_PAGE || (has_gap && gap == 0) || flags & 0x80 != 0 {
            return Err(BAD);
        }
        let source = self.source(input, flags, pages, packs)?;
        self.disk = Some(disk);
        self.end = end;
        Ok(Extent { disk, page: PageNo(page), pages, source })
    }

    fn source(&mut self, input: &mut Input<'_>, flags: u8, pages: u64, packs: u32) -> Result<Source, DecodeError> {
        const BAD: DecodeError = DecodeError::Invalid("extent");
        let plain = match flags & 7 {
            0 => None,
            1 => Some(Source::Zero),
            2 => Some(Source::Absent),
            3 => Some(Source::Unreadable),
            4 => Some(Source::Excluded),
            _ => return Err(BAD),
        };
        if let Some(source) = plain {
            return if flags & (NEXT | INSIDE) == 0 { Ok(source) } else { Err(BAD) };
        }
        let (pack, chunk) = if flags & NEXT != 0 {
            let (pack, chunk) = self.data.ok_or(BAD)?;
            (pack, chunk.checked_add(1).ok_or(BAD)?)
        } else {
            let place = (input.varint32("pack")?, input.varint32("chunk")?);
            let would_be_next = self.data.is_some_and(|(p, c)| p == place.0 && c.checked_add(1) == Some(place.1));
            if would_be_next {
                return Err(BAD);
            }
            place
        };
        let inside = if flags & INSIDE != 0 { input.varint32("page in a chunk")? } else { 0 };
        let tag = Tag(input.array()?);
        let fits = u64::from(inside) + pages <= u64::from(MAX_CHUNK_PAGES);
        if pack >= packs || !fits || (flags & INSIDE != 0 && inside == 0) {
            return Err(BAD);
        }
        self.data = Some((pack, chunk));
        Ok(Source::Data { pack, chunk: ChunkNo(chunk), inside, tag })
    }
}

/// The extents of a block whose run has `packs` packs in its table.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_block(bytes: &[u8], packs: u32) -> Result<Vec<Extent>, DecodeError> {
    let mut input = Input(bytes);
    let extents = block(&mut input, packs)?;
    input.end()?;
    Ok(extents)
}

fn block(input: &mut Input<'_>, packs: u32) -> Result<Vec<Extent>, DecodeError> {
    let count = input.count(2)?;
    if count > MAX_BLOCK_EXTENTS {
        return Err(DecodeError::Invalid("number of extents"));
    }
    let mut cursor = Cursor::default();
    (0..count).map(|_| cursor.take(input, packs)).collect()
}

/// A block as its root knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Disk and page of its first extent.
    pub first: (DiskNo, PageNo),
    /// Disk and last page of its last extent.
    pub last: (DiskNo, PageNo),
    /// Extents in it.
    pub extents: u32,
    /// Index into the run's table of packs.
    pub pack: u32,
    /// The first of the blob's two frames.
    pub frame: FrameNo,
}

/// The body of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Few extents: here they are.
    Inline(Vec<Extent>),
    /// Blocks, in order; at least one.
    Blocks(Vec<BlockRef>),
}

/// The root of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Packs that extents and blocks refer to, by index.
    pub packs: Vec<PackId>,
    /// Extents or blocks.
    pub body: Body,
}

impl Root {
    /// As a blob.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_varint(self.packs.len() as u64);
        self.packs.iter().for_each(|p| out.extend_from_slice(&p.0));
        match &self.body {
            Body::Inline(extents) => {
                out.put_varint(0);
                encode_block(extents, &mut out);
            }
            Body::Blocks(blocks) => {
                out.put_varint(blocks.len() as u64);
                blocks.iter().for_each(|b| put_block_ref(&mut out, b));
            }
        }
        out
    }

    /// From a blob.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        input.version("run", VERSION)?;
        let count = input.count(16)?;
        let packs = (0..count).map(|_| input.array().map(PackId)).collect::<Result<Vec<_>, _>>()?;
        let body = match input.count(7)? {
            0 => Body::Inline(block(&mut input, packs.len() as u32)?),
            blocks => Body::Blocks(block_refs(&mut input, blocks, packs.len() as u32)?),
        };
        input.end()?;
        Ok(Root { packs, body })
    }
}

fn put_block_ref(out: &mut Vec<u8>, block: &BlockRef) {
    for (disk, page) in [block.first, block.last] {
        out.put_varint(disk.0.into());
        out.put_varint(page.0);
    }
    [block.extents, block.pack, block.frame.0].iter().for_each(|v| out.put_varint((*v).into()));
}

fn block_refs(input: &mut Input<'_>, count: usize, packs: u32) -> Result<Vec<BlockRef>, DecodeError> {
    let mut blocks: Vec<BlockRef> = Vec::with_capacity(count);
    for _ in 0..count {
        let block = BlockRef {
            first: (DiskNo(input.varint32("disk")?), PageNo(input.varint()?)),
            last: (DiskNo(input.varint32("disk")?), PageNo(input.varint()?)),
            extents: input.varint32("extents")?,
            pack: input.varint32("pack")?,
            frame: FrameNo(input.varint32("frame")?),
        };
        let ordered = block.first <= block.last && blocks.last().is_none_or(|b| b.last < block.first);
        let sane = block.last.1.0 < MAX_PAGE && block.pack < packs;
        if !ordered || !sane || !(1..=MAX_BLOCK_EXTENTS as u32).contains(&block.extents) {
            return Err(DecodeError::Invalid("block of a run"));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(page: u64, pages: u64, pack: u32, chunk: u32, inside: u32) -> Extent {
        let source = Source::Data { pack, chunk: ChunkNo(chunk), inside, tag: Tag([0xaa; 4]) };
        Extent { disk: DiskNo(1), page: PageNo(page), pages, source }
    }

    #[test]
    fn golden_block() {
        let extents = [
            data(0, 3, 0, 7, 0),
            data(3, 2, 0, 8, 1),
            Extent { disk: DiskNo(1), page: PageNo(10), pages: 300, source: Source::Zero },
            Extent { disk: DiskNo(2), page: PageNo(5), pages: 1, source: Source::Unreadable },
        ];
        let golden = [
            4, // extents
            0x08, 1, 3, 0, 7, 0xaa, 0xaa, 0xaa, 0xaa, // disk 1, 3 pages, pack 0, chunk 7
            0x60, 2, 1, 0xaa, 0xaa, 0xaa, 0xaa, // the next chunk, from its page 1
            0x11, 5, 0xac, 2, // gap of 5, 300 zero pages
            0x1b, 2, 5, 1, // disk 2, gap of 5, one unreadable page
        ];
        let mut out = Vec::new();
        encode_block(&extents, &mut out);
        assert_eq!(out, golden);
        assert_eq!(decode_block(&golden, 1), Ok(extents.to_vec()));
    }

    #[test]
    fn roots_come_back() {
        let block = BlockRef {
            first: (DiskNo(1), PageNo(0)),
            last: (DiskNo(1), PageNo(9)),
            extents: 2,
            pack: 0,
            frame: FrameNo(4),
        };
        for body in [Body::Blocks(vec![block]), Body::Inline(vec![data(4, 1, 0, 0, 0)]), Body::Inline(vec![])] {
            let root = Root { packs: vec![PackId([5; 16])], body };
            assert_eq!(Root::decode(&root.encode()), Ok(root));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let one = |e: Extent| {
            let mut out = Vec::new();
            encode_block(&[e], &mut out);
            out
        };
        assert!(decode_block(&one(data(0, 257, 0, 0, 0)), 1).is_err(), "more pages than a chunk has");
        assert!(decode_block(&one(data(0, 1, 0, 0, 256)), 1).is_err(), "outside its chunk");
        assert!(decode_block(&one(data(0, 1, 1, 0, 0)), 1).is_err(), "a pack that is not in the table");
    }
}
