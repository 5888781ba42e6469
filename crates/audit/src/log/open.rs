//! Opening a log: from its checkpoint, or with its first one.
//!
//! Never knows: what was interrupted; the writer finds out.

use std::collections::VecDeque;

use backstay_env::objects::Key;
use backstay_env::time::Timestamp;
use backstay_seal::Secret;

use super::Seams;
use super::writer::{Sheet, Writer, sheet_of};
use crate::error::AuditError;
use crate::journal::{FOLDER, SealedNames};
use crate::note::{Algorithm, Signer};
use crate::reader::Reader;
use crate::record::Record;
use crate::tile::{Holds, TileName};
use crate::tree::{Edge, FullTile, WIDTH, leaf};

/// The object that holds the log's public key, for people who have no better place to take it from.
const KEY: &str = "key";

pub(super) fn open(seams: &Seams, signer: Signer, names: Secret) -> Result<Writer, AuditError> {
    let key = signer.verifier_key(Algorithm::Ed25519);
    let mut writer = Writer {
        home: seams.home.clone(),
        clock: seams.clock.clone(),
        random: seams.random.clone(),
        origin: key.name().to_owned(),
        signer,
        names,
        edge: Edge::default(),
        sheet: Sheet::default(),
        last: Timestamp(i64::MIN),
        published: 0,
        in_doubt: true,
        unsettled: false,
        litter: VecDeque::new(),
    };
    match Reader::open(seams.home.clone())? {
        Some(reader) => {
            let is_ours = reader.note().verify(&key).is_ok() && reader.checkpoint().origin == key.name();
            if !is_ours {
                return Err(AuditError::Foreign);
            }
            load(&mut writer, &reader)?;
        }
        None => begin(&writer, &key.to_string())?,
    }
    writer.catch_up()?;
    Ok(writer)
}

/// Puts the first checkpoint, of no records. It comes before all else: where anything else is, it was taken away.
fn begin(writer: &Writer, key: &str) -> Result<(), AuditError> {
    for folder in [FOLDER, "tile", SealedNames::FOLDER] {
        if !writer.home.list(&Key::new(folder).expect("it is a name"))?.is_empty() {
            let object = crate::checkpoint::NAME.to_owned();
            return Err(AuditError::Damaged { object, why: "is missing, and the log is not empty" });
        }
    }
    writer.home.put(&Key::new(KEY).expect("it is a name"), &[key.as_bytes(), b"\n"])?;
    writer.write_checkpoint()
}

/// Takes in what the checkpoint covers, after checking that it does.
fn load(writer: &mut Writer, reader: &Reader) -> Result<(), AuditError> {
    let size = reader.checkpoint().size;
    let hashes = |level, number, width: usize| {
        reader.hashes(TileName { holds: Holds::Hashes(level), number, width: width as u16 })
    };
    writer.edge = Edge::load(size, hashes)?;
    writer.published = size;
    if writer.edge.root() != reader.checkpoint().root {
        let object = crate::checkpoint::NAME.to_owned();
        return Err(AuditError::Damaged { object, why: "does not have the root of its tiles" });
    }
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    let name = TileName::at_size(Holds::Records, last / WIDTH as u64, size).expect("the last record lies in a sheet");
    let records = reader.sheet(name)?;
    let damaged = |why| AuditError::damaged(&name.key(), why);
    if !name.is_full() {
        let leaves: Vec<_> = records.iter().map(|record| leaf(record)).collect();
        if writer.edge.tiles().next() != Some((0, leaves.as_slice())) {
            return Err(damaged("has records that are not in the tree"));
        }
    }
    let record = records.last().and_then(|bytes| Record::decode(bytes).ok());
    writer.last = record.ok_or_else(|| damaged("has a record that cannot be read"))?.time;
    if !name.is_full() {
        let mut names = reader.sealed_names(name.number)?;
        names.truncate(records.len());
        writer.sheet = Sheet { records, names, full: Vec::new() };
    }
    mark_left(writer, size);
    Ok(())
}

/// What the one before us did not get to delete lies under the sheet before this one, and the tiles that it filled.
fn mark_left(writer: &mut Writer, size: u64) {
    let Some(sheet) = sheet_of(size).number.checked_sub(1) else { return };
    let mut full = Vec::new();
    let mut number = sheet;
    for level in 0..8 {
        full.push(FullTile { level, number, hashes: Vec::new() });
        if number % WIDTH as u64 != WIDTH as u64 - 1 {
            break;
        }
        number /= WIDTH as u64;
    }
    writer.mark_litter(sheet, &full);
}
