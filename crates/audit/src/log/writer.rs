//! The writer: makes records of events, commits them to the journal, and publishes what is committed.
//!
//! Never knows: who waits for it, or how a log is opened.
//!
//! Order, which every step relies on:
//! 1. `journal/<start>` is put if absent: that commits its records, for ever, in that place.
//! 2. When a sheet is full: its names, then its tiles, then the sheet. So a full sheet says that all of that is there.
//! 3. The partial tiles and the partial sheet, then the checkpoint.
//! 4. Only what a full sheet made superfluous is deleted: batches of the journal, and partial forms.

use std::collections::VecDeque;
use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_env::random::Random;
use backstay_env::time::{Clock, Timestamp};
use backstay_seal::Secret;

use super::Receipt;
use crate::checkpoint::{self, Checkpoint};
use crate::error::AuditError;
use crate::event::Event;
use crate::journal::{Batch, FOLDER, SealedNames};
use crate::note::Signer;
use crate::reader::get;
use crate::record::Record;
use crate::tile::{Holds, TileName, decode_sheet, encode_hashes, encode_sheet};
use crate::tree::{Edge, FullTile, WIDTH, leaf};

/// So often others may be first before it is called a fault.
const TRIES: usize = 100;

/// The records of the sheet that is being filled, and what becomes full with it.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) names: Vec<Vec<u8>>,
    pub(super) full: Vec<FullTile>,
}

pub(super) struct Writer {
    pub(super) home: Arc<dyn Objects>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) signer: Signer,
    pub(super) origin: String,
    pub(super) names: Secret,
    /// The tree of everything committed.
    pub(super) edge: Edge,
    /// The last records of it; full only until that is written.
    pub(super) sheet: Sheet,
    /// The time of the last record.
    pub(super) last: Timestamp,
    /// The size that the checkpoint has.
    pub(super) published: u64,
    /// Something that we do not know of may be in the journal.
    pub(super) in_doubt: bool,
    /// Something was read from the journal that a power loss may still undo.
    pub(super) unsettled: bool,
    /// What can be deleted.
    pub(super) litter: VecDeque<Key>,
}

impl Writer {
    /// Appends events in their order; a result for each.
    pub(super) fn append(&mut self, events: &[&Event]) -> Vec<Result<Receipt, AuditError>> {
        let mut results = Vec::with_capacity(events.len());
        while results.len() < events.len() {
            match self.append_some(&events[results.len()..]) {
                Ok(receipts) => results.extend(receipts.into_iter().map(Ok)),
                // After one that may or may not be there, nothing can be said of the others.
                Err(error) => results.resize_with(events.len(), || Err(error.clone())),
            }
        }
        results
    }

    /// Appends as many of the events as fit into the sheet that is being filled.
    fn append_some(&mut self, events: &[&Event]) -> Result<Vec<Receipt>, AuditError> {
        self.catch_up()?;
        for _ in 0..TRIES {
            let start = self.edge.size();
            let room = WIDTH - (start % WIDTH as u64) as usize;
            let batch = self.batch(&events[..events.len().min(room)]);
            match self.home.put_new(&Batch::key(start), &[&batch.encode()]) {
                Ok(()) if self.is_first(start)? => {
                    let records = batch.records.len() as u64;
                    self.adopt(batch)?;
                    self.publish()?;
                    let receipt = |index| Receipt { index, size: self.published };
                    return Ok((start..start + records).map(receipt).collect());
                }
                Ok(()) | Err(ObjectError::Exists(_)) => self.in_doubt = true,
                Err(error) => {
                    self.in_doubt = !matches!(error, ObjectError::NoSpace(_));
                    return Err(error.into());
                }
            }
            self.catch_up()?;
        }
        Err(AuditError::Busy)
    }

    /// Whether nobody had committed these numbers and deleted the batch again: then their sheet would be full.
    fn is_first(&mut self, start: u64) -> Result<bool, AuditError> {
        self.in_doubt = true;
        let is_full = match self.home.open(&sheet_of(start).full().key()) {
            Ok(_) => true,
            Err(ObjectError::NotFound(_)) => false,
            Err(error) => return Err(error.into()),
        };
        self.in_doubt = is_full;
        if is_full {
            self.litter.push_back(Batch::key(start));
        }
        Ok(!is_full)
    }

    /// Makes records of events, as they would be in the journal next.
    fn batch(&self, events: &[&Event]) -> Batch {
        let mut batch = Batch { start: self.edge.size(), before: self.edge.root().0, ..Batch::default() };
        let mut last = self.last;
        for (index, event) in (batch.start..).zip(events) {
            let now = self.clock.now();
            let time = now.max(last);
            let salted = event.names.clone().salted(std::array::from_fn(|_| self.salt()));
            let names = salted.commitments();
            let record = Record {
                kind: event.kind,
                time,
                clock: (now < last).then_some(now),
                what: event.what.clone(),
                names,
                success: event.success,
                request: event.request,
                config: event.config,
            };
            batch.records.push(record.encode());
            let is_named = names.iter().any(Option::is_some);
            let sealed = || salted.seal(&self.names, self.salt(), &self.origin, index);
            batch.names.push(if is_named { sealed() } else { Vec::new() });
            last = time;
        }
        batch
    }

    fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        salt
    }

    /// Takes in what others, or we before a failure, have committed, and publishes all that is not published yet.
    pub(super) fn catch_up(&mut self) -> Result<(), AuditError> {
        while self.in_doubt {
            self.write_full()?;
            let start = self.edge.size();
            let sheet = sheet_of(start).full();
            if let Some(bytes) = get(&*self.home, &sheet.key())? {
                self.pass_over(sheet, &bytes)?;
            } else if let Some(bytes) = get(&*self.home, &Batch::key(start))? {
                let damaged = || AuditError::damaged(&Batch::key(start), "is not a batch of records");
                let batch = Batch::decode(&bytes).map_err(|_| damaged())?;
                if batch.start != start || batch.before() != self.edge.root() {
                    return Err(AuditError::damaged(&Batch::key(start), "does not belong to what is before it"));
                }
                self.unsettled = true;
                self.adopt(batch)?;
            } else {
                self.in_doubt = false;
            }
        }
        self.publish()
    }

    /// Takes in a batch that is in the journal.
    fn adopt(&mut self, batch: Batch) -> Result<(), AuditError> {
        let last = batch.records.last().map(|bytes| Record::decode(bytes));
        let damaged = || AuditError::damaged(&Batch::key(batch.start), "has a record that cannot be read");
        self.last = last.and_then(Result::ok).ok_or_else(damaged)?.time;
        for record in &batch.records {
            self.sheet.full.extend(self.edge.push(leaf(record)));
        }
        self.sheet.records.extend(batch.records);
        self.sheet.names.extend(batch.names);
        Ok(())
    }

    /// Takes in a sheet that another process has filled, with all that belongs to it.
    fn pass_over(&mut self, name: TileName, bytes: &[u8]) -> Result<(), AuditError> {
        let damaged = |why| AuditError::damaged(&name.key(), why);
        let records = decode_sheet(bytes).map_err(|_| damaged("is not a sheet of records"))?;
        let known = self.sheet.records.len();
        if records.len() != WIDTH || records[..known] != self.sheet.records {
            return Err(damaged("does not go on as the log does"));
        }
        let last = Record::decode(&records[WIDTH - 1]).map_err(|_| damaged("has a record that cannot be read"))?;
        self.home.settle(&folder(&name.key()))?;
        records[known..].iter().for_each(|record| drop(self.edge.push(leaf(record))));
        (self.sheet, self.last) = (Sheet::default(), last.time);
        Ok(())
    }

    /// Makes what was read from the journal durable, before anything is built on it.
    fn settle(&mut self) -> Result<(), AuditError> {
        if self.unsettled {
            self.home.settle(&Key::new(FOLDER).expect("it is a name"))?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Writes the sheet if it is full, after all that it says is there.
    fn write_full(&mut self) -> Result<(), AuditError> {
        if self.sheet.records.len() < WIDTH {
            return Ok(());
        }
        self.settle()?;
        let name = sheet_of(self.edge.size() - 1).full();
        if self.sheet.names.iter().any(|sealed| !sealed.is_empty()) {
            let names = SealedNames { number: name.number, names: self.sheet.names.clone() };
            self.home.put(&SealedNames::key(name.number), &[&names.encode()])?;
        }
        for tile in &self.sheet.full {
            let name = TileName { holds: Holds::Hashes(tile.level), number: tile.number, width: WIDTH as u16 };
            self.home.put(&name.key(), &[&encode_hashes(&tile.hashes)])?;
        }
        self.home.put(&name.key(), &[&encode_sheet(self.sheet.records.iter().map(Vec::as_slice))])?;
        let full = std::mem::take(&mut self.sheet).full;
        self.mark_litter(name.number, &full);
        Ok(())
    }

    /// Publishes all that is committed: a checkpoint, and before it all that it covers.
    fn publish(&mut self) -> Result<(), AuditError> {
        self.write_full()?;
        let size = self.edge.size();
        if size == self.published {
            return Ok(());
        }
        self.settle()?;
        self.write_partials(self.published)?;
        self.write_checkpoint()?;
        self.published = size;
        self.sweep();
        Ok(())
    }

    /// Writes the tiles and the sheet that are not full, but those that were the same at size `known`.
    pub(super) fn write_partials(&self, known: u64) -> Result<(), AuditError> {
        let size = self.edge.size();
        for (level, hashes) in self.edge.tiles() {
            let holds = Holds::Hashes(level);
            let number = size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            let name = TileName { holds, number, width: hashes.len() as u16 };
            if TileName::at_size(holds, number, known) != Some(name) {
                self.home.put(&name.key(), &[&encode_hashes(hashes)])?;
            }
        }
        if let Some(name) = TileName::at_size(Holds::Records, size / WIDTH as u64, size) {
            self.home.put(&name.key(), &[&encode_sheet(self.sheet.records.iter().map(Vec::as_slice))])?;
        }
        Ok(())
    }

    pub(super) fn write_checkpoint(&self) -> Result<(), AuditError> {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: self.edge.size(), root: self.edge.root() };
        let key = Key::new(checkpoint::NAME).expect("it is a name");
        Ok(self.home.put(&key, &[&checkpoint.sign(&self.signer).encode()])?)
    }
}

/// The sheet of record `index`; its width says nothing.
pub(super) fn sheet_of(index: u64) -> TileName {
    TileName { holds: Holds::Records, number: index / WIDTH as u64, width: 1 }
}

fn folder(key: &Key) -> Key {
    let (folder, _) = key.as_str().rsplit_once('/').expect("a tile lies in a folder");
    Key::new(folder).expect("what holds a named object has a name")
}
