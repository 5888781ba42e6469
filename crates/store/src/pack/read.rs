//! Reading a pack: its table, and frames of it, each checked.
//!
//! Never knows: caches.

use backstay_env::objects::{Object, ObjectError};
use backstay_format::pack::{Chunk, FrameKind, HEADER_LEN, MAX_TABLE, TRAILER_LEN, Table};
use backstay_format::rows::PackRow;
use backstay_format::units::{ChunkId, ChunkNo, FrameNo, PAGE_SIZE, PackId};
use backstay_format::{DecodeError, codec::Input};
use backstay_seal::chunk::ChunkNamer;
use backstay_seal::compress::{Decompressor, decompress};
use backstay_seal::frame::FrameKey;
use backstay_seal::{OpenError, Secret, boxes};

/// Why a pack or something in it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The home failed.
    #[error("pack {pack} could not be read")]
    Home {
        /// Which pack.
        pack: PackId,
        /// What the home said.
        source: ObjectError,
    },
    /// No such pack is committed, or it was reclaimed.
    #[error("there is no pack {0}")]
    NoPack(PackId),
    /// The pack's data key is not there: destroyed, or the key table is damaged.
    #[error("the key of pack {0} is not there")]
    NoKey(PackId),
    /// What says where the pack is, or holds its data key, is damaged.
    #[error("pack {pack} cannot be opened: {why}")]
    Unlisted {
        /// Which pack.
        pack: PackId,
        /// What is wrong.
        why: String,
    },
    /// Both footers are damaged.
    #[error("the table of pack {pack} is damaged: {why}")]
    Table {
        /// Which pack.
        pack: PackId,
        /// What is wrong.
        why: String,
    },
    /// A frame is damaged.
    #[error("frame {} of pack {pack} is damaged: {why}", frame.0)]
    Frame {
        /// Which pack.
        pack: PackId,
        /// Which frame.
        frame: FrameNo,
        /// What is wrong.
        why: String,
    },
    /// Asked for something that the pack does not have.
    #[error("pack {pack} has no {what} {number}")]
    Missing {
        /// Which pack.
        pack: PackId,
        /// A chunk, a frame, a blob.
        what: &'static str,
        /// Its number.
        number: u32,
    },
    /// The chunk at that place is not the one meant.
    #[error("chunk {} of pack {pack} is another than the map says", chunk.0)]
    WrongChunk {
        /// Which pack.
        pack: PackId,
        /// Which chunk.
        chunk: ChunkNo,
    },
}

impl ReadError {
    /// Reading again gives the same: the bytes are damaged or gone, not out of reach.
    pub fn is_damage(&self) -> bool {
        !matches!(self, ReadError::Home { source, .. }
            if !matches!(source, ObjectError::NotFound(_) | ObjectError::Short(_)))
    }
}

pub(super) fn footer_aad(pack: PackId) -> Vec<u8> {
    [b"backstay footer 1", &pack.0[..]].concat()
}

/// The table in a footer.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_table(footer: &[u8], pack: PackId, key: &Secret) -> Result<Table, String> {
    let mut input = Input(footer);
    let plain = input.u32().map_err(|e| e.to_string())?;
    if plain > MAX_TABLE {
        return Err(DecodeError::Invalid("length of a table").to_string());
    }
    let packed = boxes::open(key, &footer_aad(pack), input.0).map_err(|e| e.to_string())?;
    let table = decompress(&packed, plain as usize).map_err(|e| e.to_string())?;
    Table::decode(&table).map_err(|e| e.to_string())
}

/// Where a chunk is in its pack.
#[derive(Clone, Copy)]
struct ChunkPlace {
    frame: FrameNo,
    /// Bytes from the start of the frame's plaintext.
    offset: u32,
    chunk: Chunk,
}

/// A pack opened for reading.
pub struct PackReader {
    pack: PackId,
    object: Box<dyn Object>,
    key: FrameKey,
    table: Table,
    /// For each frame: offset in the object, and number of its first chunk.
    frames: Vec<(u64, u32)>,
    /// By number; `None` for those that are gone.
    chunks: Vec<Option<ChunkPlace>>,
}

impl PackReader {
    /// Reads the table of a pack.
    ///
    /// # Errors
    /// [`ReadError::Table`] when neither footer can be read.
    pub fn open(pack: PackId, row: &PackRow, object: Box<dyn Object>, key: &Secret) -> Result<Self, ReadError> {
        let table = read_table(pack, row, &*object, key)?;
        let mut at = row.offset + HEADER_LEN as u64;
        let mut first_chunk = 0;
        let mut frames = Vec::with_capacity(table.frames.len());
        for frame in &table.frames {
            frames.push((at, first_chunk));
            at += u64::from(frame.stored);
            first_chunk += frame.chunks();
        }
        let chunks = chunk_places(&table);
        Ok(PackReader { pack, object, key: FrameKey::new(key, pack), table, frames, chunks })
    }

    /// What is in it.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The chunks that are there: number and id.
    pub fn chunks(&self) -> impl Iterator<Item = (ChunkNo, Chunk)> + '_ {
        let numbered = self.chunks.iter().enumerate();
        numbered.filter_map(|(n, place)| place.map(|p| (ChunkNo(n as u32), p.chunk)))
    }

    /// The frame of a chunk, where the chunk begins in the frame's plaintext, and the chunk.
    ///
    /// # Errors
    /// [`ReadError::Missing`].
    pub fn locate(&self, chunk: ChunkNo) -> Result<(FrameNo, usize, Chunk), ReadError> {
        let place = self.chunks.get(chunk.0 as usize).copied().flatten();
        let place = place.ok_or(ReadError::Missing { pack: self.pack, what: "chunk", number: chunk.0 })?;
        Ok((place.frame, place.offset as usize, place.chunk))
    }

    /// Where a frame lies in the object, for reading many at once: offset and length.
    pub fn extent_of(&self, frame: FrameNo) -> Option<(u64, u32)> {
        let (at, _) = self.frames.get(frame.0 as usize)?;
        Some((*at, self.table.frames[frame.0 as usize].stored))
    }

    /// The plaintext of a frame. Each chunk in it was checked against its id.
    ///
    /// # Errors
    /// [`ReadError::Frame`] when it is damaged.
    pub fn read_frame(
        &self,
        frame: FrameNo,
        namer: &ChunkNamer,
        zstd: &mut Decompressor,
    ) -> Result<Vec<u8>, ReadError> {
        let (at, stored) = self.extent_of(frame).filter(|(_, stored)| *stored > 0).ok_or(ReadError::Missing {
            pack: self.pack,
            what: "frame",
            number: frame.0,
        })?;
        let mut sealed = vec![0; stored as usize];
        self.object.read_at(at, &mut sealed).map_err(|source| ReadError::Home { pack: self.pack, source })?;
        self.open_frame(frame, sealed, namer, zstd)
    }

    fn open_frame(
        &self,
        frame: FrameNo,
        mut sealed: Vec<u8>,
        namer: &ChunkNamer,
        zstd: &mut Decompressor,
    ) -> Result<Vec<u8>, ReadError> {
        let damaged = |why: String| ReadError::Frame { pack: self.pack, frame, why };
        let entry = self.table.frames[frame.0 as usize];
        let content = self.key.open(frame, &mut sealed).map_err(|e| damaged(e.to_string()))?.len();
        sealed.truncate(content);
        let plain = if entry.compressed {
            zstd.decompress(&sealed, entry.plain as usize).map_err(|e| damaged(e.to_string()))?
        } else {
            sealed
        };
        if plain.len() != entry.plain as usize {
            return Err(damaged(OpenError::Compression.to_string()));
        }
        let mut rest = &plain[..];
        for chunk in self.chunks_of(frame) {
            let (bytes, after) = rest.split_at(chunk.pages as usize * PAGE_SIZE);
            if namer.name(bytes) != chunk.id {
                return Err(damaged(format!("chunk {} does not hash to its name", chunk.id)));
            }
            rest = after;
        }
        Ok(plain)
    }

    fn chunks_of(&self, frame: FrameNo) -> impl Iterator<Item = Chunk> + '_ {
        let first = self.frames[frame.0 as usize].1 as usize;
        let count = self.table.frames[frame.0 as usize].chunks() as usize;
        self.chunks[first..first + count].iter().flatten().map(|p| p.chunk)
    }

    /// A blob, from its second copy if the first is damaged.
    ///
    /// # Errors
    /// [`ReadError::Frame`] when both are.
    pub fn read_blob(&self, first: FrameNo, namer: &ChunkNamer, zstd: &mut Decompressor) -> Result<Vec<u8>, ReadError> {
        let second = FrameNo(first.0.saturating_add(1));
        let is_blob = |f: FrameNo| self.table.frames.get(f.0 as usize).is_some_and(|e| e.kind == FrameKind::Blob);
        if !is_blob(first) || !is_blob(second) {
            return Err(ReadError::Missing { pack: self.pack, what: "blob", number: first.0 });
        }
        self.read_frame(first, namer, zstd).or_else(|_| self.read_frame(second, namer, zstd))
    }

    /// Whether a chunk has this id's beginning.
    ///
    /// # Errors
    /// [`ReadError::WrongChunk`].
    pub fn check_tag(&self, number: ChunkNo, id: &ChunkId, tag: backstay_format::units::Tag) -> Result<(), ReadError> {
        if id.tag() == tag { Ok(()) } else { Err(ReadError::WrongChunk { pack: self.pack, chunk: number }) }
    }
}

fn chunk_places(table: &Table) -> Vec<Option<ChunkPlace>> {
    let mut places = Vec::new();
    let mut there = table.chunks.iter();
    for (number, frame) in table.frames.iter().enumerate() {
        let mut offset = 0;
        for _ in 0..frame.chunks() {
            let chunk = if frame.is_gone() { None } else { there.next().copied() };
            places.push(chunk.map(|chunk| ChunkPlace { frame: FrameNo(number as u32), offset, chunk }));
            offset += chunk.map_or(0, |c| c.pages * PAGE_SIZE as u32);
        }
    }
    places
}

fn read_table(pack: PackId, row: &PackRow, object: &dyn Object, key: &Secret) -> Result<Table, ReadError> {
    let footer = u64::from(row.footer);
    let shape = |why: &str| ReadError::Table { pack, why: why.to_owned() };
    let ends = (HEADER_LEN + TRAILER_LEN) as u64 + 2 * footer;
    let end = row.offset.checked_add(row.len).filter(|_| row.len >= ends);
    let end = end.ok_or_else(|| shape("its row contradicts itself"))? - TRAILER_LEN as u64;
    let mut outcome = Err(shape("it is not there"));
    for at in [end - footer, end - 2 * footer] {
        let mut bytes = vec![0; row.footer as usize];
        match object.read_at(at, &mut bytes) {
            Ok(()) => outcome = parse_table(&bytes, pack, key).map_err(|why| ReadError::Table { pack, why }),
            Err(source) => outcome = Err(ReadError::Home { pack, source }),
        }
        if outcome.is_ok() {
            break;
        }
    }
    let table = outcome?;
    let bodies: u64 = table.frames.iter().map(|f| u64::from(f.stored)).sum();
    if bodies + ends != row.len {
        return Err(shape("its frames do not add up"));
    }
    Ok(table)
}
