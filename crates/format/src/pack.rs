//! Header, trailer and table of a pack (`docs/format/pack.md`).
//!
//! Never knows: how frames are sealed, or which chunks are still wanted.

use crate::codec::{DecodeError, Input, Output};
use crate::units::{ChunkId, Digest, PackId, StoreId};

const HEADER_MAGIC: [u8; 8] = *b"BKSTPACK";
const TRAILER_MAGIC: [u8; 8] = *b"BKSTTAIL";
const VERSION: u32 = 1;
/// Bytes before the first frame.
pub const HEADER_LEN: usize = 64;
/// Bytes after the second footer.
pub const TRAILER_LEN: usize = 64;
/// Bytes by which a sealed frame is longer than its content.
pub const FRAME_OVERHEAD: usize = 16;
/// The most pages a chunk may have.
pub const MAX_CHUNK_PAGES: u32 = 256;
/// The most bytes of plaintext a chunk frame may have.
pub const MAX_FRAME_PLAIN: u64 = 2 << 20;
/// The most bytes a blob may have.
pub const MAX_BLOB_PLAIN: u64 = 16 << 20;
/// The most bytes of a decompressed table.
pub const MAX_TABLE: u32 = 64 << 20;

/// What a pack begins with.
pub fn encode_header(store: StoreId, pack: PackId) -> [u8; HEADER_LEN] {
    let mut out = Vec::with_capacity(HEADER_LEN);
    out.extend_from_slice(&HEADER_MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&store.0);
    out.extend_from_slice(&pack.0);
    let digest = Digest::of(&[&out]).short();
    out.extend_from_slice(&digest);
    out.try_into().expect("the fields add up to the header")
}

/// Checks what a pack begins with.
///
/// # Errors
/// [`DecodeError::Foreign`] for another pack's or store's.
pub fn check_header(bytes: &[u8; HEADER_LEN], store: StoreId, pack: PackId) -> Result<(), DecodeError> {
    let mut input = Input(bytes);
    if input.array()? != HEADER_MAGIC {
        return Err(DecodeError::Magic("pack"));
    }
    let (version, features) = (input.u32()?, input.u32()?);
    let (found_store, found_pack) = (StoreId(input.array()?), PackId(input.array()?));
    let digest: [u8; 16] = input.array()?;
    if Digest::of(&[&bytes[..HEADER_LEN - 16]]).short() != digest {
        return Err(DecodeError::Digest("header of a pack"));
    }
    if version != VERSION {
        return Err(DecodeError::Version { what: "pack", found: version, newest: VERSION });
    }
    if features != 0 {
        return Err(DecodeError::Features { what: "pack", bits: features });
    }
    if (found_store, found_pack) != (store, pack) {
        return Err(DecodeError::Foreign("pack"));
    }
    Ok(())
}

/// What a pack ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Bytes of one footer.
    pub footer: u32,
    /// Bytes of the pack.
    pub len: u64,
    /// Which pack.
    pub pack: PackId,
}

impl Trailer {
    /// As bytes.
    pub fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut out = Vec::with_capacity(TRAILER_LEN);
        out.extend_from_slice(&TRAILER_MAGIC);
        out.extend_from_slice(&self.footer.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.pack.0);
        let digest = Digest::of(&[&out]).short();
        out.extend_from_slice(&digest);
        out.try_into().expect("the fields add up to the trailer")
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8; TRAILER_LEN]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        if input.array()? != TRAILER_MAGIC {
            return Err(DecodeError::Magic("end of a pack"));
        }
        let (footer, reserved) = (input.u32()?, input.u32()?);
        let (len, more_reserved) = (input.u64()?, input.u64()?);
        let pack = PackId(input.array()?);
        let digest: [u8; 16] = input.array()?;
        if Digest::of(&[&bytes[..TRAILER_LEN - 16]]).short() != digest {
            return Err(DecodeError::Digest("end of a pack"));
        }
        if (reserved, more_reserved) != (0, 0) {
            return Err(DecodeError::Invalid("reserved bytes"));
        }
        Ok(Trailer { footer, len, pack })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Whole chunks: how many.
    Chunks(u32),
    /// A blob, or the second copy of the one before.
    Blob,
}

/// A frame in a pack's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// Whether its content is compressed.
    pub compressed: bool,
    /// Bytes in the pack; 0: it is gone.
    pub stored: u32,
    /// Bytes of plaintext.
    pub plain: u32,
}

impl Frame {
    /// Whether it was dropped when space was reclaimed.
    pub fn is_gone(&self) -> bool {
        self.stored == 0
    }

    /// How many chunks it holds or held.
    pub fn chunks(&self) -> u32 {
        match self.kind {
            FrameKind::Chunks(n) => n,
            FrameKind::Blob => 0,
        }
    }
}

/// A chunk in a pack's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its identity.
    pub id: ChunkId,
    /// Its length in pages: 1 to [`MAX_CHUNK_PAGES`].
    pub pages: u32,
}

/// What is in a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// All frames, in order.
    pub frames: Vec<Frame>,
    /// The chunks of frames that are not gone, in order.
    pub chunks: Vec<Chunk>,
}

impl Table {
    /// As bytes, not yet compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_varint(self.frames.len() as u64);
        for frame in &self.frames {
            let blob = u8::from(frame.kind == FrameKind::Blob) << 1;
            out.push(u8::from(frame.compressed) | blob | u8::from(frame.is_gone()) << 2);
            [frame.stored, frame.plain, frame.chunks()].iter().for_each(|v| out.put_varint((*v).into()));
        }
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.id.0);
            out.put_varint(chunk.pages.into());
        }
        out
    }

    /// From decompressed bytes. Guarantees that the pages of a frame's chunks add up to its plaintext, and
    /// that all lengths are within their bounds.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let count = input.count(4)?;
        let frames = (0..count).map(|_| frame(&mut input)).collect::<Result<Vec<_>, _>>()?;
        let mut chunks = Vec::new();
        for frame in frames.iter().filter(|f| !f.is_gone()) {
            let mut pages = 0u64;
            for _ in 0..frame.chunks() {
                let chunk = Chunk { id: ChunkId(input.array()?), pages: input.varint32("pages")? };
                if !(1..=MAX_CHUNK_PAGES).contains(&chunk.pages) {
                    return Err(DecodeError::Invalid("length of a chunk"));
                }
                pages += u64::from(chunk.pages);
                chunks.push(chunk);
            }
            if matches!(frame.kind, FrameKind::Chunks(_)) && pages * 4096 != u64::from(frame.plain) {
                return Err(DecodeError::Invalid("length of a frame"));
            }
        }
        input.end()?;
        Ok(Table { frames, chunks })
    }
}

fn frame(input: &mut Input<'_>) -> Result<Frame, DecodeError> {
    let flags = input.u8()?;
    let (compressed, blob, gone) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
    let (stored, plain) = (input.varint()?, input.varint()?);
    let chunks = input.varint32("chunks of a frame")?;
    let most = if blob { MAX_BLOB_PLAIN } else { MAX_FRAME_PLAIN };
    let stored_fits = stored <= most + FRAME_OVERHEAD as u64 && gone == (stored == 0);
    let plausible = flags < 8 && plain <= most && stored_fits && blob == (chunks == 0);
    if !plausible || u64::from(chunks) * 4096 > plain {
        return Err(DecodeError::Invalid("frame"));
    }
    let kind = if blob { FrameKind::Blob } else { FrameKind::Chunks(chunks) };
    Ok(Frame { kind, compressed, stored: stored as u32, plain: plain as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            frames: vec![
                Frame { kind: FrameKind::Chunks(2), compressed: true, stored: 300, plain: 12288 },
                Frame { kind: FrameKind::Chunks(1), compressed: false, stored: 0, plain: 4096 },
                Frame { kind: FrameKind::Blob, compressed: false, stored: 21, plain: 5 },
            ],
            chunks: vec![Chunk { id: ChunkId([1; 32]), pages: 2 }, Chunk { id: ChunkId([2; 32]), pages: 1 }],
        }
    }

    #[test]
    fn golden_table() {
        let mut golden = vec![3, 1, 0xac, 0x02, 0x80, 0x60, 2, 4, 0, 0x80, 0x20, 1, 2, 21, 5, 0];
        golden.extend([1; 32]);
        golden.push(2);
        golden.extend([2; 32]);
        golden.push(1);
        assert_eq!(table().encode(), golden);
        assert_eq!(Table::decode(&golden), Ok(table()));
    }

    #[test]
    fn header_and_trailer_know_their_pack() {
        let (store, pack) = (StoreId([1; 16]), PackId([2; 16]));
        let header = encode_header(store, pack);
        assert_eq!(check_header(&header, store, pack), Ok(()));
        assert_eq!(check_header(&header, store, PackId([3; 16])), Err(DecodeError::Foreign("pack")));
        let trailer = Trailer { footer: 5, len: 1 << 40, pack };
        assert_eq!(Trailer::decode(&trailer.encode()), Ok(trailer));
        let mut bad = trailer.encode();
        bad[8] ^= 1;
        assert_eq!(Trailer::decode(&bad), Err(DecodeError::Digest("end of a pack")));
    }

    #[test]
    fn frames_must_hold_what_they_say() {
        let mut wrong = table();
        wrong.frames[0].plain = 8192;
        assert_eq!(Table::decode(&wrong.encode()), Err(DecodeError::Invalid("length of a frame")));
    }
}
