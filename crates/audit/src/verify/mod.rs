//! Verification: whether a log is what its checkpoint signs, goes on from where it was seen before, and makes sense.
//!
//! Never knows: secrets that sign. Reads nothing but the log's home, and believes nothing in it.
//! Memory: one sheet, the edge of the tree, and the intents that have no outcome yet.

mod finding;
mod history;

use std::sync::Arc;

use backstay_env::objects::{Key, Objects};
use backstay_env::time::Timestamp;
use backstay_seal::Secret;

use self::history::History;
use crate::checkpoint::Checkpoint;
use crate::error::AuditError;
use crate::names::Salted;
use crate::note::{SignatureError, VerifierKey};
use crate::reader::{Reader, get};
use crate::record::Record;
use crate::tile::{Holds, TileName, decode_hashes, decode_sheet, encode_hashes};
use crate::tree::{Edge, Hash, WIDTH, leaf};

pub use self::finding::{Finding, Report};
pub use self::history::HEARTBEAT;

/// What the verifier knows from elsewhere: the more, the more it proves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The log's key. Without it, a log that was made anew with another key goes unnoticed.
    pub key: Option<&'a VerifierKey>,
    /// A signed checkpoint seen before. Without it, so do a cut and a rewritten log, if made with the log's own key.
    pub since: Option<&'a [u8]>,
    /// The key that opens names, to check that they are those that were logged.
    pub names: Option<&'a Secret>,
    /// What time it is, to notice a log that nobody writes any more.
    pub now: Option<Timestamp>,
}

/// Verifies the log in a home. The report says what does not hold.
///
/// # Errors
/// [`AuditError::Home`]: it could not be read, so nothing is known.
pub fn verify(home: &Arc<dyn Objects>, expected: &Expected<'_>) -> Result<Report, AuditError> {
    let mut report = Report::default();
    let reader = match Reader::open(home.clone()) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(report.with(Finding::NoCheckpoint)),
        Err(error) if error.is_damage() => return Ok(report.with(Finding::BadCheckpoint)),
        Err(error) => return Err(error),
    };
    report.checkpoint = Some(reader.checkpoint().clone());
    let key = match expected.key {
        Some(key) => Some(key.clone()),
        None => own_key(home)?,
    };
    if expected.key.is_none() {
        report.add(Finding::KeyNotGiven);
    }
    check_signature(&reader, key.as_ref(), &mut report);
    let since = known(expected.since, &reader, key.as_ref(), &mut report);
    report.key = key;
    let pass = Pass { reader: &reader, names: expected.names, since };
    let history = pass.records(&mut report)?;
    history.end(expected.now, &mut report);
    Ok(report)
}

/// The key that lies beside the log.
fn own_key(home: &Arc<dyn Objects>) -> Result<Option<VerifierKey>, AuditError> {
    let bytes = get(&**home, &Key::new("key").expect("it is a name"))?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.and_then(|text| VerifierKey::parse(text.trim_end()).ok()))
}

fn check_signature(reader: &Reader, key: Option<&VerifierKey>, report: &mut Report) {
    let Some(key) = key else { return report.add(Finding::NoKey) };
    if reader.checkpoint().origin != key.name() {
        return report.add(Finding::OtherLog { found: reader.checkpoint().origin.clone() });
    }
    match reader.note().verify(key) {
        Ok(_) => {}
        Err(SignatureError::Missing) => report.add(Finding::OtherKey),
        Err(SignatureError::Forged) => report.add(Finding::Forged),
    }
}

/// The checkpoint seen before, if it can be one of this log.
fn known(since: Option<&[u8]>, reader: &Reader, key: Option<&VerifierKey>, report: &mut Report) -> Option<Checkpoint> {
    let Some(since) = since else {
        report.add(Finding::NothingPinned);
        return None;
    };
    let Ok((since, note)) = Checkpoint::of_note(since) else {
        report.add(Finding::BadPinned);
        return None;
    };
    if since.origin != reader.checkpoint().origin || key.is_some_and(|key| note.verify(key).is_err()) {
        report.add(Finding::BadPinned);
        return None;
    }
    if since.size > reader.checkpoint().size {
        report.add(Finding::Shorter { seen: since.size, found: reader.checkpoint().size });
        return None;
    }
    Some(since)
}

/// One pass over all records.
struct Pass<'a> {
    reader: &'a Reader,
    names: Option<&'a Secret>,
    since: Option<Checkpoint>,
}

impl Pass<'_> {
    fn records(&self, report: &mut Report) -> Result<History, AuditError> {
        let checkpoint = self.reader.checkpoint();
        let (mut edge, mut history) = (Edge::default(), History::default());
        let mut nameless = 0;
        self.compare_pinned(&edge, report);
        for number in 0..checkpoint.size.div_ceil(WIDTH as u64) {
            let name = TileName::at_size(Holds::Records, number, checkpoint.size).expect("it is below the size");
            let Some(records) = self.sheet(name, report)? else { return Ok(history) };
            let known = self.leaves(name, report)?;
            let leaves: Vec<Hash> = records.iter().map(|record| leaf(record)).collect();
            if let Some(at) = known.iter().zip(&leaves).position(|(known, leaf)| known != leaf) {
                report.add(Finding::Changed { index: number * WIDTH as u64 + at as u64 });
            }
            let sealed =
                self.names.map(|key| Ok::<_, AuditError>((key, self.reader.sealed_names(number)?))).transpose()?;
            for (at, bytes) in records.iter().enumerate() {
                let index = edge.size();
                for tile in edge.push(leaves[at]) {
                    let name = TileName { holds: Holds::Hashes(tile.level), number: tile.number, width: WIDTH as u16 };
                    self.compare_tile(name, &tile.hashes, report)?;
                }
                self.compare_pinned(&edge, report);
                let Ok(record) = Record::decode(bytes) else {
                    report.add(Finding::Unreadable { index });
                    continue;
                };
                if let Some((key, sealed)) = &sealed {
                    let is_named = record.names.iter().any(Option::is_some);
                    if !sealed[at].is_empty() {
                        self.compare_names(key, index, &record, &sealed[at], report);
                    } else if is_named {
                        nameless += 1;
                    }
                }
                history.take(index, &record, report);
            }
        }
        self.compare_end(&edge, report)?;
        if nameless > 0 {
            report.add(Finding::NamesGone { records: nameless });
        }
        Ok(history)
    }

    /// The records of a sheet, exactly as many as there must be.
    fn sheet(&self, name: TileName, report: &mut Report) -> Result<Option<Vec<Vec<u8>>>, AuditError> {
        let Some(bytes) = self.reader.tile(name)? else {
            report.add(Finding::Missing { object: name.path() });
            return Ok(None);
        };
        match decode_sheet(&bytes) {
            Ok(mut records) if records.len() == usize::from(name.width) || records.len() == WIDTH => {
                records.truncate(name.width.into());
                Ok(Some(records))
            }
            _ => {
                report.add(Finding::Damaged { object: name.path() });
                Ok(None)
            }
        }
    }

    /// The hashes that the lowest tile gives for a sheet's records; none if it cannot be read, which is found later.
    fn leaves(&self, name: TileName, report: &mut Report) -> Result<Vec<Hash>, AuditError> {
        let name = TileName { holds: Holds::Hashes(0), ..name };
        let Some(bytes) = self.reader.tile(name)? else {
            report.add(Finding::Missing { object: name.path() });
            return Ok(Vec::new());
        };
        Ok(decode_hashes(&bytes).unwrap_or_default())
    }

    /// Compares a tile with what the records give.
    fn compare_tile(&self, name: TileName, hashes: &[Hash], report: &mut Report) -> Result<(), AuditError> {
        let expected = encode_hashes(hashes);
        match self.reader.tile(name)? {
            None => report.add(Finding::Missing { object: name.path() }),
            Some(bytes) => {
                let is_whole = bytes.len() == expected.len() || bytes.len() == 32 * WIDTH;
                if !is_whole || !bytes.starts_with(&expected) {
                    report.add(Finding::Damaged { object: name.path() });
                }
            }
        }
        Ok(())
    }

    /// Compares with the checkpoint that was seen before, once as many records are read.
    fn compare_pinned(&self, edge: &Edge, report: &mut Report) {
        let due = self.since.as_ref().filter(|since| since.size == edge.size());
        if let Some(since) = due.filter(|since| since.root != edge.root()) {
            report.add(Finding::Forked { seen: since.size });
        }
    }

    /// Compares what is not full, and the root, after the last record.
    fn compare_end(&self, edge: &Edge, report: &mut Report) -> Result<(), AuditError> {
        for (level, hashes) in edge.tiles() {
            let number = edge.size().checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            self.compare_tile(
                TileName { holds: Holds::Hashes(level), number, width: hashes.len() as u16 },
                hashes,
                report,
            )?;
        }
        if edge.root() != self.reader.checkpoint().root {
            report.add(Finding::OtherRoot);
        }
        Ok(())
    }

    fn compare_names(&self, key: &Secret, index: u64, record: &Record, sealed: &[u8], report: &mut Report) {
        let opened = Salted::open(key, &self.reader.checkpoint().origin, index, sealed);
        if !opened.is_ok_and(|salted| salted.commitments() == record.names) {
            report.add(Finding::OtherNames { index });
        }
    }
}
