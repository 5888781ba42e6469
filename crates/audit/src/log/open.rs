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
    let last = size.checked_sub(1).and_then(|last| TileName::at_size(Holds::Records, last / WIDTH as u64, size));
    let Some(name) = last else { return Ok(()) };
    let mut records = last_sheet(reader, name)?;
    match edge(reader, name, &records) {
        Ok(edge) => writer.edge = edge,
        Err(error) if error.is_damage() => {
            (writer.edge, records) = mended(reader, name, records)?;
            // What is damaged is among these.
            writer.sheet.records.clone_from(&records);
            writer.write_partials(0)?;
        }
        Err(error) => return Err(error),
    }
    writer.published = size;
    let record = records.last().and_then(|bytes| Record::decode(bytes).ok());
    let damaged = || AuditError::damaged(&name.key(), "has a record that cannot be read");
    writer.last = record.ok_or_else(damaged)?.time;
    writer.sheet = Sheet::default();
    if !name.is_full() {
        let mut names = reader.sealed_names(name.number)?;
        names.truncate(records.len());
        writer.sheet = Sheet { records, names, full: Vec::new() };
    }
    mark_left(writer, size);
    Ok(())
}

/// The records of the last sheet; while it is not full, the journal has them too.
fn last_sheet(reader: &Reader, name: TileName) -> Result<Vec<Vec<u8>>, AuditError> {
    match reader.sheet(name) {
        Err(error) if error.is_damage() => reader.records_of_batches(name).map_err(|_| error),
        read => read,
    }
}

/// The edge of the tree as its tiles give it, if that is what was signed and what the last records hash to.
fn edge(reader: &Reader, name: TileName, records: &[Vec<u8>]) -> Result<Edge, AuditError> {
    let hashes = |level, number, width: usize| {
        reader.hashes(TileName { holds: Holds::Hashes(level), number, width: width as u16 })
    };
    let edge = Edge::load(reader.checkpoint().size, hashes)?;
    let leaves: Vec<_> = records.iter().map(|record| leaf(record)).collect();
    let fits = name.is_full() || edge.tiles().next() == Some((0, leaves.as_slice()));
    if fits && edge.root() == reader.checkpoint().root { Ok(edge) } else { Err(other_root()) }
}

/// The edge and the last records as they were signed, from what is left.
fn mended(reader: &Reader, name: TileName, records: Vec<Vec<u8>>) -> Result<(Edge, Vec<Vec<u8>>), AuditError> {
    match edge_of_records(reader, name, &records) {
        Ok(edge) => Ok((edge, records)),
        Err(error) if error.is_damage() && !name.is_full() => {
            let records = reader.records_of_batches(name).map_err(|_| error)?;
            Ok((edge_of_records(reader, name, &records)?, records))
        }
        Err(error) => Err(error),
    }
}

/// The edge of the tree as all records give it, if that is what was signed: tiles can be made anew, records cannot.
fn edge_of_records(reader: &Reader, last: TileName, records: &[Vec<u8>]) -> Result<Edge, AuditError> {
    let mut edge = Edge::default();
    for number in 0..last.number {
        let name = TileName { number, ..last }.full();
        reader.sheet(name)?.iter().for_each(|record| drop(edge.push(leaf(record))));
    }
    records.iter().for_each(|record| drop(edge.push(leaf(record))));
    if edge.root() == reader.checkpoint().root { Ok(edge) } else { Err(other_root()) }
}

fn other_root() -> AuditError {
    let object = crate::checkpoint::NAME.to_owned();
    AuditError::Damaged { object, why: "does not have the root of its records" }
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
