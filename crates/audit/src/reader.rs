//! A log as it lies in its home: what the newest checkpoint covers, read without any secret.
//!
//! Never knows: how a log is written. Believes nothing that it is not asked to believe: checking is the caller's business.

use std::ops::Range;
use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_seal::Secret;

use crate::checkpoint::{self, Checkpoint};
use crate::error::AuditError;
use crate::journal::{Batch, FOLDER, SealedNames};
use crate::names::{Names, Salted};
use crate::note::Note;
use crate::proof::{self, Subtrees};
use crate::proof_file::ProofFile;
use crate::record::Record;
use crate::tile::{Holds, TileName, decode_hashes, decode_sheet};
use crate::tree::{Hash, WIDTH, perfect};

/// A log up to one checkpoint. What is appended later is not seen; what is seen does not go away.
#[derive(Clone)]
pub struct Reader {
    home: Arc<dyn Objects>,
    checkpoint: Checkpoint,
    note: Note,
}

/// A record as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its number.
    pub index: u64,
    /// What the log says.
    pub record: Record,
    /// The names, where they are kept and open with the key given.
    pub names: Option<Names>,
}

impl Reader {
    /// Reads the newest checkpoint. Nothing is checked. `None`: there is none, so no log.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] for one that cannot be read, [`AuditError::Home`].
    pub fn open(home: Arc<dyn Objects>) -> Result<Option<Reader>, AuditError> {
        let key = Key::new(checkpoint::NAME).expect("it is a name");
        let Some(bytes) = get(&*home, &key)? else { return Ok(None) };
        let read = Checkpoint::of_note(&bytes);
        let (checkpoint, note) = read.map_err(|_| AuditError::damaged(&key, "is not a checkpoint"))?;
        Ok(Some(Reader { home, checkpoint, note }))
    }

    /// What the checkpoint says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as it is signed.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The bytes of a tile as it is at the checkpoint, or of a larger form of it. `None`: it is missing.
    pub(crate) fn tile(&self, name: TileName) -> Result<Option<Vec<u8>>, AuditError> {
        // Partial forms go once the full one is there.
        match get(&*self.home, &name.key())? {
            None if !name.is_full() => get(&*self.home, &name.full().key()),
            found => Ok(found),
        }
    }

    /// The hashes of a tile as it is at the checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] if it is missing or has too few.
    pub(crate) fn hashes(&self, name: TileName) -> Result<Vec<Hash>, AuditError> {
        let bytes = self.tile(name)?.ok_or_else(|| AuditError::damaged(&name.key(), "is missing"))?;
        let hashes = decode_hashes(&bytes).map_err(|_| AuditError::damaged(&name.key(), "is not a tile"))?;
        cut(hashes, name)
    }

    /// The records of a sheet as it is at the checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] if it is missing or has too few.
    pub(crate) fn sheet(&self, name: TileName) -> Result<Vec<Vec<u8>>, AuditError> {
        let bytes = self.tile(name)?.ok_or_else(|| AuditError::damaged(&name.key(), "is missing"))?;
        let records =
            decode_sheet(&bytes).map_err(|_| AuditError::damaged(&name.key(), "is not a sheet of records"))?;
        cut(records, name)
    }

    /// The sealed names of a sheet's records; empty where none are kept, or what keeps them is damaged: names may go, the log
    /// must go on.
    pub(crate) fn sealed_names(&self, number: u64) -> Result<Vec<Vec<u8>>, AuditError> {
        if let Some(names) = self.full_names(number)? {
            return Ok(names);
        }
        let batches = self.names_of_batches(number)?;
        // The sheet may have become full meanwhile, and its batches may be gone.
        Ok(self.full_names(number)?.unwrap_or(batches))
    }

    fn full_names(&self, number: u64) -> Result<Option<Vec<Vec<u8>>>, AuditError> {
        let sealed = get(&*self.home, &SealedNames::key(number))?.and_then(|bytes| SealedNames::decode(&bytes).ok());
        Ok(sealed.filter(|sealed| sealed.number == number).map(|sealed| sealed.names))
    }

    /// The names of a sheet that is not full, from the journal.
    fn names_of_batches(&self, number: u64) -> Result<Vec<Vec<u8>>, AuditError> {
        let mut names = vec![Vec::new(); WIDTH];
        for batch in self.journal(number)? {
            // Names of another place do not open there.
            let from = (batch.start % WIDTH as u64) as usize;
            batch.names.into_iter().zip(&mut names[from..]).for_each(|(sealed, place)| *place = sealed);
        }
        Ok(names)
    }

    /// The records of a sheet that is not full, from the journal.
    pub(crate) fn records_of_batches(&self, name: TileName) -> Result<Vec<Vec<u8>>, AuditError> {
        let records = self.journal(name.number)?.into_iter().flat_map(|batch| batch.records);
        cut(records.collect(), name)
    }

    /// The batches of a sheet that can be read, in their order.
    fn journal(&self, number: u64) -> Result<Vec<Batch>, AuditError> {
        let mut batches = Vec::new();
        for listed in self.home.list(&Key::new(FOLDER).expect("it is a name"))? {
            let start = Batch::start_of(&listed.key).filter(|start| start / WIDTH as u64 == number);
            let bytes = start.map(|_| get(&*self.home, &listed.key)).transpose()?.flatten();
            batches.extend(bytes.and_then(|bytes| Batch::decode(&bytes).ok()));
        }
        Ok(batches)
    }

    /// Records of a range, as far as there are any, with their names if there is a key. Names that are no longer kept, or do not
    /// open, or are not those that the record commits to, are left out.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] for records that cannot be read.
    pub fn read(&self, range: Range<u64>, key: Option<&Secret>) -> Result<Vec<Shown>, AuditError> {
        let range = range.start..range.end.min(self.checkpoint.size);
        let mut shown = Vec::new();
        let (first, end) = (range.start / WIDTH as u64, range.end.div_ceil(WIDTH as u64));
        for number in first..end {
            let name = TileName::at_size(Holds::Records, number, self.checkpoint.size);
            let Some(name) = name else { break };
            let names = key.map(|key| Ok::<_, AuditError>((key, self.sealed_names(number)?))).transpose()?;
            for (at, bytes) in self.sheet(name)?.iter().enumerate() {
                let index = number * WIDTH as u64 + at as u64;
                if range.contains(&index) {
                    let record = Record::decode(bytes);
                    let record =
                        record.map_err(|_| AuditError::damaged(&name.key(), "has a record that cannot be read"))?;
                    let names = names.as_ref().and_then(|(key, sealed)| self.names(key, index, &record, &sealed[at]));
                    shown.push(Shown { index, record, names });
                }
            }
        }
        Ok(shown)
    }

    fn names(&self, key: &Secret, index: u64, record: &Record, sealed: &[u8]) -> Option<Names> {
        let salted = Salted::open(key, &self.checkpoint.origin, index, sealed).ok()?;
        (salted.commitments() == record.names).then(|| salted.names().clone())
    }

    /// A proof that record `index` is in the log, for somebody who does not have it.
    ///
    /// # Errors
    /// [`AuditError::NoRecord`], [`AuditError::Damaged`].
    pub fn prove(&self, index: u64) -> Result<ProofFile, AuditError> {
        if index >= self.checkpoint.size {
            return Err(AuditError::NoRecord(index));
        }
        let path = proof::inclusion(self, index, self.checkpoint.size)?;
        Ok(ProofFile { extra: None, index, path, checkpoint: self.note.clone() })
    }

    /// Whether this log begins with the one that `older` is a checkpoint of. Believes the tiles.
    ///
    /// # Errors
    /// [`AuditError::Damaged`].
    pub fn begins_with(&self, older: &Checkpoint) -> Result<bool, AuditError> {
        let fits = older.origin == self.checkpoint.origin && older.size <= self.checkpoint.size;
        Ok(fits && proof::root(self, older.size)? == older.root)
    }
}

impl Subtrees for Reader {
    type Error = AuditError;

    fn subtree(&self, level: u8, number: u64) -> Result<Hash, AuditError> {
        let (tile_level, inside) = (level / 8, level % 8);
        let first = number << inside;
        let name = TileName::at_size(Holds::Hashes(tile_level), first / WIDTH as u64, self.checkpoint.size);
        let name = name.ok_or(AuditError::NoRecord(first))?;
        let (hashes, from) = (self.hashes(name)?, (first % WIDTH as u64) as usize);
        let part = hashes.get(from..from + (1 << inside));
        part.map(perfect).ok_or_else(|| AuditError::damaged(&name.key(), "has too few hashes"))
    }
}

/// The first of them, as many as the name says.
fn cut<T>(mut items: Vec<T>, name: TileName) -> Result<Vec<T>, AuditError> {
    if items.len() < usize::from(name.width) {
        return Err(AuditError::damaged(&name.key(), "is too short"));
    }
    items.truncate(name.width.into());
    Ok(items)
}

/// No object of a log has more bytes: a sheet of 256 records of 64 KiB, or what was committed of one, with its names.
const MOST: u64 = 40 << 20;

/// Reads an object that may be missing, unless it is larger than any of ours.
pub(crate) fn get(home: &dyn Objects, key: &Key) -> Result<Option<Vec<u8>>, AuditError> {
    let read = match home.open(key) {
        Ok(object) if object.size() > MOST => return Err(AuditError::damaged(key, "is too large")),
        Ok(_) => home.get(key),
        Err(error) => Err(error),
    };
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ObjectError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
