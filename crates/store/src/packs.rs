//! The packs of a vault, read through caches: open tables, and plaintext of frames that was checked once.
//!
//! Never knows: what is written while it reads. A pack that moved is found again, one that was reclaimed is gone.

use std::cell::RefCell;
use std::num::NonZero;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_format::names;
use backstay_format::rows::PackRow;
use backstay_format::units::{FrameNo, PAGE_SIZE, PackId, Tag};
use backstay_seal::Secret;
use backstay_seal::chunk::ChunkNamer;
use backstay_seal::compress::Decompressor;
use lru::LruCache;

use crate::ingest::ChunkAt;
use crate::pack::{PackReader, ReadError};

/// Says where packs are and what opens them.
pub trait PackCatalogue: Send + Sync {
    /// Where a pack is, and its data key. Asked again when the pack was not there: the answer must then be fresh.
    ///
    /// # Errors
    /// [`ReadError::NoPack`], [`ReadError::NoKey`], or what kept it from finding out.
    fn find(&self, pack: PackId, fresh: bool) -> Result<(PackRow, Secret), ReadError>;
}

/// How much is kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct CacheSizes {
    /// Tables of packs.
    pub packs: NonZero<usize>,
    /// Bytes of frames' plaintext.
    pub frame_bytes: usize,
}

impl Default for CacheSizes {
    fn default() -> Self {
        CacheSizes { packs: const { NonZero::new(256).unwrap() }, frame_bytes: 48 << 20 }
    }
}

type FrameId = (PackId, FrameNo);

struct Frames {
    cache: LruCache<FrameId, Arc<Vec<u8>>>,
    bytes: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Frames { cache: LruCache::unbounded(), bytes: 0 }
    }
}

/// Part of a frame's plaintext.
#[derive(Clone)]
pub struct ChunkBytes {
    frame: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl std::ops::Deref for ChunkBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frame[self.range.clone()]
    }
}

/// The packs of a vault.
pub struct Packs {
    home: Arc<dyn Objects>,
    vault: String,
    namer: ChunkNamer,
    catalogue: Arc<dyn PackCatalogue>,
    open: Mutex<LruCache<PackId, Arc<PackReader>>>,
    frames: Mutex<Frames>,
    frame_bytes: usize,
}

impl Packs {
    /// The packs of `vault` in `home`, whose chunks are named by `namer`.
    pub fn new(
        (home, vault): (Arc<dyn Objects>, &str),
        namer: ChunkNamer,
        catalogue: Arc<dyn PackCatalogue>,
        sizes: CacheSizes,
    ) -> Self {
        Packs {
            home,
            vault: vault.to_owned(),
            namer,
            catalogue,
            open: Mutex::new(LruCache::new(sizes.packs)),
            frames: Mutex::default(),
            frame_bytes: sizes.frame_bytes,
        }
    }

    /// A chunk's plaintext, checked against its id; and its id against the tag.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn chunk(&self, at: ChunkAt, tag: Tag) -> Result<ChunkBytes, ReadError> {
        let reader = self.reader(at.pack)?;
        let (frame, offset, chunk) = reader.locate(at.chunk)?;
        reader.check_tag(at.chunk, &chunk.id, tag)?;
        let frame = self.frame(&reader, (at.pack, frame))?;
        Ok(ChunkBytes { frame, range: offset..offset + chunk.pages as usize * PAGE_SIZE })
    }

    /// The frame that holds a chunk: chunks of one frame are best read together.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn frame_of(&self, at: ChunkAt) -> Result<FrameNo, ReadError> {
        Ok(self.reader(at.pack)?.locate(at.chunk)?.0)
    }

    /// A blob. Not cached.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn blob(&self, pack: PackId, first: FrameNo) -> Result<Vec<u8>, ReadError> {
        let read = |reader: &PackReader| ZSTD.with_borrow_mut(|zstd| reader.read_blob(first, &self.namer, zstd));
        match read(self.reader(pack)?.as_ref()) {
            Err(ReadError::Home { source: ObjectError::NotFound(_), .. }) => read(&self.open_anew(pack)?),
            other => other,
        }
    }

    /// A pack opened for reading.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn reader(&self, pack: PackId) -> Result<Arc<PackReader>, ReadError> {
        if let Some(reader) = lock(&self.open).get(&pack) {
            return Ok(reader.clone());
        }
        let reader = Arc::new(match self.open_at(pack, false) {
            // It may have moved since we learned where it is.
            Err(error) if error.is_damage() => self.open_at(pack, true)?,
            other => other?,
        });
        lock(&self.open).put(pack, reader.clone());
        Ok(reader)
    }

    /// Opens a pack without keeping it: for reading very many of them once.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open_at(&self, pack: PackId, fresh: bool) -> Result<PackReader, ReadError> {
        let (row, key) = self.catalogue.find(pack, fresh)?;
        let name = Key::new(names::pack_object(&self.vault, row.object)).expect("names of pack objects are keys");
        let object = self.home.open(&name).map_err(|source| ReadError::Home { pack, source })?;
        PackReader::open(pack, &row, object, &key)
    }

    /// On a home without open files a pack that moved while it was open is found anew.
    fn open_anew(&self, pack: PackId) -> Result<PackReader, ReadError> {
        lock(&self.open).pop(&pack);
        self.open_at(pack, true)
    }

    /// Forgets what it knows of a pack that was written anew.
    pub fn forget(&self, pack: PackId) {
        lock(&self.open).pop(&pack);
    }

    /// Forgets the plaintext it keeps, for one who will not read soon again.
    pub fn forget_frames(&self) {
        *lock(&self.frames) = Frames::default();
    }

    /// Names chunks of this vault.
    pub fn namer(&self) -> &ChunkNamer {
        &self.namer
    }

    fn frame(&self, reader: &PackReader, id: FrameId) -> Result<Arc<Vec<u8>>, ReadError> {
        if let Some(frame) = lock(&self.frames).cache.get(&id) {
            return Ok(frame.clone());
        }
        let read = ZSTD.with_borrow_mut(|zstd| reader.read_frame(id.1, &self.namer, zstd));
        let plain = match read {
            Err(ReadError::Home { source: ObjectError::NotFound(_), .. }) => {
                let reader = self.open_anew(id.0)?;
                ZSTD.with_borrow_mut(|zstd| reader.read_frame(id.1, &self.namer, zstd))?
            }
            other => other?,
        };
        let plain = Arc::new(plain);
        self.keep(id, plain.clone());
        Ok(plain)
    }

    fn keep(&self, id: FrameId, plain: Arc<Vec<u8>>) {
        let mut frames = lock(&self.frames);
        frames.bytes += plain.len();
        if let Some((_, old)) = frames.cache.push(id, plain) {
            frames.bytes -= old.len();
        }
        while frames.bytes > self.frame_bytes {
            let Some((_, old)) = frames.cache.pop_lru() else { return };
            frames.bytes -= old.len();
        }
    }
}

thread_local! {
    /// Making one costs more than decompressing a small frame.
    static ZSTD: RefCell<Decompressor> = RefCell::default();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
