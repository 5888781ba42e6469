//! Packs (pack.md): header, trailer, footer and its table, as bytes.
//!
//! Never knows: files, or which packs there are.

use crate::PAGE;
use crate::bytes::{Id, Input, Malformed};
use crate::crypt::{BOX_MORE, FRAME_MORE, Inflate, Key, NotOpened, inflate, join, open_box};

/// Bytes of a header, and of a trailer.
pub const EDGE: u64 = 64;
/// Most bytes of a chunk frame's plaintext.
pub const CHUNK_FRAME_MOST: u64 = 2 << 20;
/// Most bytes of a blob.
pub const BLOB_MOST: u64 = 16 << 20;
/// Most pages of a chunk.
pub const CHUNK_MOST: u64 = 256;
/// Most bytes of a footer's table that this reader takes.
const TABLE_MOST: u64 = 1 << 30;

/// Reads a pack's header, which must be of this store and pack.
///
/// # Errors
/// For anything but that header.
pub fn header(bytes: &[u8], store: Id, pack: Id) -> Result<(), Malformed> {
    let fields = sealed_edge(bytes)?;
    let mut input = Input::new(fields);
    if input.array()? != *b"BKSTPACK" {
        return Err(Malformed::Rule("the header's magic is not BKSTPACK"));
    }
    match input.u32()? {
        1 => {}
        other => {
            return Err(Malformed::Value { field: "version", value: other.into() });
        }
    }
    match input.u32()? {
        0 => {}
        other => {
            return Err(Malformed::Value { field: "features", value: other.into() });
        }
    }
    if input.id()? != store {
        return Err(Malformed::Rule("the header is of another store"));
    }
    if input.id()? != pack {
        return Err(Malformed::Rule("the header is of another pack"));
    }
    input.end()
}

/// What a trailer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Bytes of one footer.
    pub footer: u32,
    /// Bytes of the pack.
    pub length: u64,
    /// The pack.
    pub pack: Id,
}

/// Reads a trailer.
///
/// # Errors
/// For anything that is not one.
pub fn trailer(bytes: &[u8]) -> Result<Trailer, Malformed> {
    let fields = sealed_edge(bytes)?;
    let mut input = Input::new(fields);
    if input.array()? != *b"BKSTTAIL" {
        return Err(Malformed::Rule("the trailer's magic is not BKSTTAIL"));
    }
    let footer = input.u32()?;
    let reserved = input.u32()?;
    let length = input.u64()?;
    let more: [u8; 8] = input.array()?;
    let pack = input.id()?;
    input.end()?;
    if reserved != 0 || more != [0; 8] {
        return Err(Malformed::Rule("reserved bytes of the trailer are not zero"));
    }
    Ok(Trailer { footer, length, pack })
}

/// The 48 bytes before a digest that matches them.
fn sealed_edge(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut input = Input::new(bytes);
    let fields = input.slice(48)?;
    let digest: [u8; 16] = input.array()?;
    input.end()?;
    if blake3::hash(fields).as_bytes()[..16] != digest {
        return Err(Malformed::Rule("the digest does not match"));
    }
    Ok(fields)
}

/// A frame, as a footer's table describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Content is compressed.
    pub compressed: bool,
    /// It holds a blob, not chunks.
    pub blob: bool,
    /// It was dropped when space was reclaimed.
    pub gone: bool,
    /// Bytes from the start of the pack.
    pub offset: u64,
    /// Bytes in the pack.
    pub stored: u64,
    /// Bytes of plaintext.
    pub plain: u64,
    /// The number of its first chunk.
    pub first: u64,
    /// How many chunks it holds.
    pub chunks: u64,
    /// Where its chunks begin in [`Table::chunks`]; none are there if gone.
    pub listed: usize,
}

/// A chunk that is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its id: keyed BLAKE3 of its plaintext.
    pub id: [u8; 32],
    /// Pages.
    pub pages: u64,
}

/// What is in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Every frame, also those gone.
    pub frames: Vec<Frame>,
    /// The chunks of frames that are not gone.
    pub chunks: Vec<Chunk>,
    /// Bytes from the pack's start to the first footer.
    pub end: u64,
    /// How many chunks are numbered, also those gone.
    pub numbered: u64,
}

impl Table {
    /// The frame that holds a chunk, and which of its chunks it is. `None`
    /// if there is no such number; the frame may be gone.
    pub fn find(&self, chunk: u64) -> Option<(usize, usize)> {
        let after = self.frames.partition_point(|frame| frame.first <= chunk);
        let number = after.checked_sub(1)?;
        let frame = &self.frames[number];
        let inside = chunk - frame.first;
        (inside < frame.chunks).then_some((number, inside as usize))
    }

    /// A chunk by number; `None` if there is none, or it is gone.
    pub fn chunk(&self, number: u64) -> Option<&Chunk> {
        let (frame, inside) = self.find(number)?;
        let frame = &self.frames[frame];
        if frame.gone { None } else { self.chunks.get(frame.listed + inside) }
    }

    /// The chunks of a frame; none if it is gone.
    pub fn chunks_of(&self, frame: &Frame) -> &[Chunk] {
        if frame.gone { &[] } else { &self.chunks[frame.listed..frame.listed + frame.chunks as usize] }
    }
}

/// Reads a footer's table.
///
/// # Errors
/// For anything that the page does not allow.
pub fn table(plain: &[u8]) -> Result<Table, Malformed> {
    let mut input = Input::new(plain);
    let count = input.count(4)?;
    let mut table = Table { frames: Vec::with_capacity(count), chunks: Vec::new(), end: EDGE, numbered: 0 };
    let mut listed = 0usize;
    for _ in 0..count {
        let frame = frame(&mut input, &table, listed)?;
        table.end = table.end.checked_add(frame.stored).ok_or(Malformed::Rule("frames pass 2^64"))?;
        table.numbered = table.numbered.checked_add(frame.chunks).ok_or(Malformed::Rule("chunks pass 2^64"))?;
        if !frame.gone {
            listed += frame.chunks as usize; // at most 512 a frame
        }
        table.frames.push(frame);
    }
    if listed > input.left() / 33 {
        return Err(Malformed::Short);
    }
    for _ in 0..listed {
        table.chunks.push(chunk(&mut input)?);
    }
    input.end()?;
    sums(&table)?;
    Ok(table)
}

fn frame(input: &mut Input<'_>, table: &Table, listed: usize) -> Result<Frame, Malformed> {
    let flags = input.u8()?;
    if flags & !7 != 0 {
        return Err(Malformed::Value { field: "flags of a frame", value: flags.into() });
    }
    let frame = Frame {
        compressed: flags & 1 != 0,
        blob: flags & 2 != 0,
        gone: flags & 4 != 0,
        offset: table.end,
        stored: input.varint()?,
        plain: input.varint()?,
        first: table.numbered,
        chunks: input.varint()?,
        listed,
    };
    allowed(&frame)?;
    Ok(frame)
}

fn allowed(frame: &Frame) -> Result<(), Malformed> {
    let most = if frame.blob { BLOB_MOST } else { CHUNK_FRAME_MOST };
    if frame.plain > most {
        return Err(Malformed::Value { field: "plaintext of a frame", value: frame.plain });
    }
    if frame.blob && frame.chunks != 0 {
        return Err(Malformed::Rule("a blob frame has chunks"));
    }
    if !frame.blob && !(1..=CHUNK_FRAME_MOST / PAGE).contains(&frame.chunks) {
        return Err(Malformed::Value { field: "chunks of a frame", value: frame.chunks });
    }
    let least = FRAME_MORE as u64;
    let fits = if frame.gone {
        frame.stored == 0
    } else if frame.compressed {
        (least..=most * 2).contains(&frame.stored)
    } else {
        frame.stored == frame.plain + least
    };
    if fits { Ok(()) } else { Err(Malformed::Value { field: "stored length of a frame", value: frame.stored }) }
}

fn chunk(input: &mut Input<'_>) -> Result<Chunk, Malformed> {
    let chunk = Chunk { id: input.array()?, pages: input.varint()? };
    if (1..=CHUNK_MOST).contains(&chunk.pages) {
        Ok(chunk)
    } else {
        Err(Malformed::Value { field: "pages of a chunk", value: chunk.pages })
    }
}

fn sums(table: &Table) -> Result<(), Malformed> {
    for frame in table.frames.iter().filter(|frame| !frame.gone && !frame.blob) {
        let pages: u64 = table.chunks_of(frame).iter().map(|chunk| chunk.pages).sum();
        if pages * PAGE != frame.plain {
            return Err(Malformed::Rule("the chunks of a frame are not its plaintext"));
        }
    }
    Ok(())
}

/// Why a footer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FooterFault {
    /// It does not open.
    #[error(transparent)]
    Sealed(#[from] NotOpened),
    /// It does not decompress.
    #[error(transparent)]
    Zstd(#[from] Inflate),
    /// Its table is not one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Opens one of a pack's two footers: the table's plain bytes.
///
/// # Errors
/// For bytes that are not this pack's footer.
pub fn open_footer(key: &Key, pack: Id, bytes: &[u8]) -> Result<Vec<u8>, FooterFault> {
    let mut input = Input::new(bytes);
    let plain = u64::from(input.u32()?);
    if plain > TABLE_MOST || input.left() < BOX_MORE {
        return Err(Malformed::Value { field: "plain length of the table", value: plain }.into());
    }
    let packed = open_box(key, &join(&[b"backstay footer 1", &pack.0]), input.rest())?;
    Ok(inflate(&packed, plain)?)
}
