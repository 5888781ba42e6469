//! Runs of extents (map.md): their blocks and roots.
//!
//! Never knows: how a blob is found or opened.

use crate::bytes::{Id, Input, Malformed};

/// Most extents in a block.
pub const BLOCK_MOST: usize = 4096;
const CHUNK_PAGES: u64 = 256;

/// What an extent's pages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Pages of a chunk.
    Data {
        /// Index into the run's table of packs.
        pack: u64,
        /// Number of the chunk in the pack.
        chunk: u64,
        /// First page in the chunk.
        inside: u64,
        /// First four bytes of the chunk's id.
        tag: [u8; 4],
    },
    /// Zeros.
    Zero,
    /// Nothing uses these pages: zeros.
    Absent,
    /// The source could not read them.
    Unreadable,
    /// Left out by the user's choice: zeros.
    Excluded,
}

/// A run of pages of one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of the disk in the machine.
    pub disk: u64,
    /// First page.
    pub page: u64,
    /// Pages, at least 1.
    pub pages: u64,
    /// What they are.
    pub content: Content,
}

impl Extent {
    /// The page after the last one.
    pub fn end(&self) -> u64 {
        self.page + self.pages // `block` has checked that this fits
    }
}

/// Where a block of a run lies and which pages it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Disk and page that its first extent starts with.
    pub first: (u64, u64),
    /// Disk and page that its last extent ends with.
    pub last: (u64, u64),
    /// Extents in it.
    pub extents: u64,
    /// Index into the run's table of packs.
    pub pack: u64,
    /// The blob's frame there.
    pub frame: u64,
}

/// A run's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Packs that the run's extents and blocks refer to.
    pub packs: Vec<Id>,
    /// Its blocks; empty if the extents are inside the root.
    pub blocks: Vec<BlockRef>,
    /// The extents inside the root.
    pub inline: Vec<Extent>,
}

/// Reads a root.
///
/// # Errors
/// For anything that the page does not allow, such as blocks that overlap.
pub fn root(plain: &[u8]) -> Result<Root, Malformed> {
    let mut input = Input::new(plain);
    input.version()?;
    let packs = packs(&mut input)?;
    let count = input.count(7)?;
    let mut blocks: Vec<BlockRef> = Vec::with_capacity(count);
    for _ in 0..count {
        let block = block_ref(&mut input, packs.len())?;
        if blocks.last().is_some_and(|before| before.last >= block.first) {
            return Err(Malformed::Rule("blocks overlap or are out of order"));
        }
        blocks.push(block);
    }
    let inline = if count == 0 { extents(&mut input, packs.len())? } else { Vec::new() };
    input.end()?;
    Ok(Root { packs, blocks, inline })
}

fn packs(input: &mut Input<'_>) -> Result<Vec<Id>, Malformed> {
    let count = input.count(16)?;
    let mut packs = Vec::with_capacity(count);
    for _ in 0..count {
        packs.push(input.id()?);
    }
    let mut sorted = packs.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Malformed::Rule("a pack occurs twice in a run's table"));
    }
    Ok(packs)
}

fn block_ref(input: &mut Input<'_>, packs: usize) -> Result<BlockRef, Malformed> {
    let block = BlockRef {
        first: (input.varint()?, input.varint()?),
        last: (input.varint()?, input.varint()?),
        extents: input.varint()?,
        pack: input.varint()?,
        frame: input.varint()?,
    };
    if block.first > block.last {
        return Err(Malformed::Rule("a block ends before it begins"));
    }
    if block.extents == 0 || block.extents > BLOCK_MOST as u64 {
        return Err(Malformed::Value { field: "extents of a block", value: block.extents });
    }
    if block.pack >= packs as u64 {
        return Err(Malformed::Value { field: "pack of a block", value: block.pack });
    }
    Ok(block)
}

/// Reads a block of a run whose table has `packs` packs.
///
/// # Errors
/// For anything that the page does not allow.
pub fn block(plain: &[u8], packs: usize) -> Result<Vec<Extent>, Malformed> {
    let mut input = Input::new(plain);
    let extents = extents(&mut input, packs)?;
    input.end()?;
    Ok(extents)
}

fn extents(input: &mut Input<'_>, packs: usize) -> Result<Vec<Extent>, Malformed> {
    let count = input.count(2)?;
    if count > BLOCK_MOST {
        return Err(Malformed::Value { field: "extents of a block", value: count as u64 });
    }
    let mut walk = Walk { disk: 0, page: 0, data: None, packs: packs as u64 };
    (0..count).map(|_| walk.extent(input)).collect()
}

const DISK: u8 = 1 << 3;
const GAP: u8 = 1 << 4;
const NEXT: u8 = 1 << 5;
const INSIDE: u8 = 1 << 6;
const RESERVED: u8 = 1 << 7;

/// What an extent leaves for the one after it.
struct Walk {
    disk: u64,
    page: u64,
    data: Option<(u64, u64)>,
    packs: u64,
}

impl Walk {
    fn extent(&mut self, input: &mut Input<'_>) -> Result<Extent, Malformed> {
        let flags = input.u8()?;
        if flags & RESERVED != 0 || flags & 7 > 4 {
            return Err(Malformed::Value { field: "flags of an extent", value: flags.into() });
        }
        self.place(flags, input)?;
        let pages = input.varint()?;
        if pages == 0 {
            return Err(Malformed::Value { field: "pages of an extent", value: 0 });
        }
        let page = self.page;
        self.page = page.checked_add(pages).ok_or(Malformed::Rule("an extent ends past 2^64"))?;
        let content = match flags & 7 {
            0 => self.data(flags, pages, input)?,
            _ if flags & (NEXT | INSIDE) != 0 => {
                return Err(Malformed::Rule("an extent without data has flags of one with data"));
            }
            1 => Content::Zero,
            2 => Content::Absent,
            3 => Content::Unreadable,
            _ => Content::Excluded,
        };
        Ok(Extent { disk: self.disk, page, pages, content })
    }

    fn place(&mut self, flags: u8, input: &mut Input<'_>) -> Result<(), Malformed> {
        if flags & DISK != 0 {
            let disk = input.varint()?;
            if disk <= self.disk {
                return Err(Malformed::Rule("disks of extents do not rise"));
            }
            (self.disk, self.page) = (disk, 0);
        }
        if self.disk == 0 {
            return Err(Malformed::Rule("the first extent names no disk"));
        }
        if flags & GAP != 0 {
            let gap = input.varint()?;
            self.page = self.page.checked_add(gap).ok_or(Malformed::Rule("an extent begins past 2^64"))?;
        }
        Ok(())
    }

    fn data(&mut self, flags: u8, pages: u64, input: &mut Input<'_>) -> Result<Content, Malformed> {
        let (pack, chunk) = if flags & NEXT == 0 {
            (input.varint()?, input.varint()?)
        } else {
            let (pack, chunk) = self.data.ok_or(Malformed::Rule("no data extent comes before one with `next`"))?;
            (pack, chunk.checked_add(1).ok_or(Malformed::Rule("a chunk's number passes 2^64"))?)
        };
        if pack >= self.packs {
            return Err(Malformed::Value { field: "pack of an extent", value: pack });
        }
        let inside = if flags & INSIDE != 0 { input.varint()? } else { 0 };
        if inside.checked_add(pages).is_none_or(|end| end > CHUNK_PAGES) {
            return Err(Malformed::Rule("an extent passes the end of any chunk"));
        }
        self.data = Some((pack, chunk));
        Ok(Content::Data { pack, chunk, inside, tag: input.array()? })
    }
}
