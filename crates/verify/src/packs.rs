//! Reading packs: tables, blobs, chunks; each from whichever copy serves.
//!
//! Never knows: disks or pages of disks. Nothing that is given out is
//! unchecked: frames open under their key, chunks hash to their ids.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::PAGE;
use crate::bytes::Id;
use crate::crypt::{Inflate, Key, NotOpened, inflate, open_frame};
use crate::folder::Folder;
use crate::pack::{EDGE, Frame, Table, open_footer, table};
use crate::rows::PackPlace;

/// Why something of a pack cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PackError {
    #[error("pack {0} has no row")]
    NoRow(Id),
    #[error("pack {0} has no data key")]
    NoKey(Id),
    #[error("pack {pack} cannot be read: {text}")]
    Io { pack: Id, text: String },
    #[error("pack {pack} has no readable footer: the first {first}; the second {second}")]
    Footer { pack: Id, first: String, second: String },
    #[error("pack {pack} has no frame {frame}")]
    NoFrame { pack: Id, frame: u64 },
    #[error("pack {pack} has no chunk {chunk}")]
    NoChunk { pack: Id, chunk: u64 },
    #[error("frame {frame} of pack {pack} is gone")]
    Gone { pack: Id, frame: u64 },
    #[error("frame {frame} of pack {pack} is not a blob")]
    NotBlob { pack: Id, frame: u64 },
    #[error("frame {frame} of pack {pack} {cause}")]
    Sealed { pack: Id, frame: u64, cause: NotOpened },
    #[error("frame {frame} of pack {pack} {cause}")]
    Zstd { pack: Id, frame: u64, cause: Inflate },
    #[error("chunk {chunk} of pack {pack} does not hash to its id")]
    Mismatch { pack: Id, chunk: u64 },
    #[error("chunk {chunk} of pack {pack} is not the one that the extent's tag names")]
    Tag { pack: Id, chunk: u64 },
    #[error("chunk {chunk} of pack {pack} has fewer pages than the extent takes from it")]
    Pages { pack: Id, chunk: u64 },
}

/// Which of a blob's two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    First,
    Second,
}

/// An opened chunk frame: its plaintext, and which of its chunks hash to
/// their ids.
pub(crate) struct Opened {
    plain: Vec<u8>,
    good: Vec<bool>,
}

/// Where an extent's pages are in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pages {
    pub(crate) pack: Id,
    pub(crate) chunk: u64,
    pub(crate) inside: u64,
    pub(crate) pages: u64,
    pub(crate) tag: [u8; 4],
}

type Tables = HashMap<Id, Result<Arc<Table>, PackError>>;
const FRAMES_KEPT: usize = 16;

/// All packs of a vault.
pub(crate) struct Packs {
    pub(crate) folder: Folder,
    pub(crate) vault: String,
    pub(crate) places: BTreeMap<Id, PackPlace>,
    pub(crate) keys: BTreeMap<Id, Key>,
    pub(crate) chunk_key: Key,
    pub(crate) tables: Mutex<Tables>,
    pub(crate) frames: Mutex<VecDeque<(Id, u64, Arc<Opened>)>>,
}

impl Packs {
    /// The name of the object that holds packs.
    pub(crate) fn object(&self, object: Id) -> String {
        let id = object.to_string();
        format!("vault/{}/pack/{}/{id}", self.vault, &id[30..])
    }

    pub(crate) fn place(&self, pack: Id) -> Result<&PackPlace, PackError> {
        self.places.get(&pack).ok_or(PackError::NoRow(pack))
    }

    pub(crate) fn key(&self, pack: Id) -> Result<&Key, PackError> {
        self.keys.get(&pack).ok_or(PackError::NoKey(pack))
    }

    /// Bytes of a pack, counted from its start.
    pub(crate) fn bytes(&self, pack: Id, offset: u64, length: u64) -> Result<Vec<u8>, PackError> {
        let place = self.place(pack)?;
        let fits = offset.checked_add(length).is_some_and(|end| end <= place.length);
        let read = if fits {
            self.folder.read_range(&self.object(place.object), place.offset + offset, length)
        } else {
            Err(std::io::Error::other("what is asked for lies past its end"))
        };
        read.map_err(|e| PackError::Io { pack, text: e.to_string() })
    }

    /// What is in a pack, by the first of its footers that can be read.
    pub(crate) fn table(&self, pack: Id) -> Result<Arc<Table>, PackError> {
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(&pack).cloned();
        known.unwrap_or_else(|| {
            let read = self.read_table(pack).map(Arc::new);
            self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(pack, read.clone());
            read
        })
    }

    fn read_table(&self, pack: Id) -> Result<Table, PackError> {
        self.place(pack)?;
        self.key(pack)?;
        self.footer(pack, Which::First).or_else(|first| {
            self.footer(pack, Which::Second).map_err(|second| PackError::Footer { pack, first, second })
        })
    }

    /// One of a pack's two footers; or what is wrong with it.
    pub(crate) fn footer(&self, pack: Id, which: Which) -> Result<Table, String> {
        let place = self.place(pack).map_err(|e| e.to_string())?;
        let key = self.key(pack).map_err(|e| e.to_string())?;
        let back = if which == Which::First { 2 } else { 1 };
        let offset = place.footer.checked_mul(back).and_then(|long| long.checked_add(EDGE));
        let offset = offset.and_then(|long| place.length.checked_sub(long));
        let offset = offset.ok_or("the pack is shorter than its footers")?;
        let bytes = self.bytes(pack, offset, place.footer).map_err(|e| e.to_string())?;
        let plain = open_footer(key, pack, &bytes).map_err(|e| e.to_string())?;
        table(&plain).map_err(|e| format!("its table is malformed: {e}"))
    }

    /// A frame's plaintext, as the table says; chunks in it are not checked.
    pub(crate) fn frame(&self, pack: Id, table: &Table, number: u64) -> Result<Vec<u8>, PackError> {
        let frame = get(pack, table, number)?;
        if frame.gone {
            return Err(PackError::Gone { pack, frame: number });
        }
        let sealed = self.bytes(pack, frame.offset, frame.stored)?;
        let content = open_frame(self.key(pack)?, &pack.0, number, sealed).map_err(|cause| PackError::Sealed {
            pack,
            frame: number,
            cause,
        })?;
        if !frame.compressed {
            return Ok(content); // the table was refused if lengths disagreed
        }
        inflate(&content, frame.plain).map_err(|cause| PackError::Zstd { pack, frame: number, cause })
    }

    /// One copy of a blob. `number` is that of the first of its two frames.
    pub(crate) fn blob(&self, pack: Id, number: u64, which: Which) -> Result<Vec<u8>, PackError> {
        let table = self.table(pack)?;
        let number = match which {
            Which::First => number,
            Which::Second => number.checked_add(1).ok_or(PackError::NoFrame { pack, frame: number })?,
        };
        if !get(pack, &table, number)?.blob {
            return Err(PackError::NotBlob { pack, frame: number });
        }
        self.frame(pack, &table, number)
    }

    /// A chunk frame with its chunks hashed.
    pub(crate) fn opened(&self, pack: Id, table: &Table, number: u64) -> Result<Arc<Opened>, PackError> {
        if let Some(held) = self.held(pack, number) {
            return Ok(held);
        }
        let plain = self.frame(pack, table, number)?;
        let good = self.hashes(table, get(pack, table, number)?, &plain);
        let opened = Arc::new(Opened { plain, good });
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() >= FRAMES_KEPT {
            frames.pop_front();
        }
        frames.push_back((pack, number, opened.clone()));
        Ok(opened)
    }

    fn held(&self, pack: Id, number: u64) -> Option<Arc<Opened>> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().find(|(id, frame, _)| *id == pack && *frame == number).map(|(_, _, held)| held.clone())
    }

    /// Whether each chunk of a frame hashes to its id.
    pub(crate) fn hashes(&self, table: &Table, frame: &Frame, plain: &[u8]) -> Vec<bool> {
        let mut rest = plain;
        let mut good = Vec::with_capacity(frame.chunks as usize);
        for chunk in table.chunks_of(frame) {
            let (own, more) = rest.split_at_checked((chunk.pages * PAGE) as usize).unwrap_or((rest, &[]));
            good.push(blake3::keyed_hash(&self.chunk_key.0, own) == chunk.id);
            rest = more;
        }
        good
    }

    /// What the pages are called by: the chunk's id. Also checks that the
    /// extent lies inside the chunk and that its tag is right; reads no data.
    pub(crate) fn identity(&self, at: &Pages) -> Result<[u8; 32], PackError> {
        let (pack, chunk) = (at.pack, at.chunk);
        let table = self.table(pack)?;
        let (frame, _) = table.find(chunk).ok_or(PackError::NoChunk { pack, chunk })?;
        let found = table.chunk(chunk).ok_or(PackError::Gone { pack, frame: frame as u64 })?;
        if found.id[..4] != at.tag {
            return Err(PackError::Tag { pack, chunk });
        }
        if at.inside + at.pages > found.pages {
            return Err(PackError::Pages { pack, chunk });
        }
        Ok(found.id)
    }

    /// The bytes of an extent's pages, checked against their chunk's id.
    pub(crate) fn pages(&self, at: &Pages) -> Result<Vec<u8>, PackError> {
        self.identity(at)?;
        let (pack, chunk) = (at.pack, at.chunk);
        let table = self.table(pack)?;
        let (number, inside) = table.find(chunk).ok_or(PackError::NoChunk { pack, chunk })?;
        let opened = self.opened(pack, &table, number as u64)?;
        if !opened.good[inside] {
            return Err(PackError::Mismatch { pack, chunk });
        }
        let before = &table.chunks_of(&table.frames[number])[..inside];
        let pages = before.iter().map(|chunk| chunk.pages).sum::<u64>() + at.inside;
        let start = (pages * PAGE) as usize;
        Ok(opened.plain[start..start + (at.pages * PAGE) as usize].to_vec())
    }
}

fn get(pack: Id, table: &Table, number: u64) -> Result<&Frame, PackError> {
    let frame = usize::try_from(number).ok().and_then(|number| table.frames.get(number));
    frame.ok_or(PackError::NoFrame { pack, frame: number })
}
