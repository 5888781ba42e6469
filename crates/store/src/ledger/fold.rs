//! Folding entries into a state, at the cost of the parts they touch.
//!
//! Never knows: what rows mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_env::objects::ObjectError;
use backstay_format::ledger::{PartRef, Rows, State, put_row};
use backstay_format::twin::{self, Kind};
use backstay_format::units::Digest;
use backstay_seal::boxes;
use backstay_seal::compress::Compressor;

use super::io::LedgerIo;
use super::parts::Part;
use super::view::{StateAt, View};
use super::{LedgerError, chain};

/// A part ends before a row whose key's hash is divisible by this: cuts stay where they are when rows come and go.
const ROWS_PER_PART: u16 = 512;
/// And at the latest after so many rows.
const MOST_ROWS: usize = 4096;

/// Writes the state of a view. `None`: there is one already, or nothing to write.
pub(super) fn write_state(
    io: &Arc<LedgerIo>,
    view: &View,
    mut salt: impl FnMut() -> [u8; 16],
) -> Result<Option<StateAt>, LedgerError> {
    let seq = view.seq();
    let newest = io.numbers("state")?.last().copied().unwrap_or(0);
    if view.entries_since_state() == 0 || newest >= seq {
        return Ok(None);
    }
    io.settle(seq)?;
    let mut writer = PartWriter { io, object: free_number(io, seq)?, payload: Vec::new(), salt: &mut salt };
    let parts = new_parts(io, view, &mut writer)?;
    if !writer.payload.is_empty() {
        let twin = twin::encode(Kind::Parts, io.place.store, &writer.payload);
        match io.home().put_new(&io.key("parts", writer.object), &twin.parts()) {
            Ok(()) => {}
            // Somebody else folds at the same time: one of us is enough.
            Err(ObjectError::Exists(_)) => return Ok(None),
            Err(error) => return Err(LedgerError::Home(error)),
        }
    }
    let state = State { last: view.last(), parts: parts.iter().map(|p| p.place.clone()).collect() };
    let sealed = boxes::seal(&io.place.key, salt(), &io.aad("backstay state 1", &[seq]), &state.encode());
    let twin = twin::encode(Kind::State, io.place.store, &sealed);
    match io.home().put_new(&io.key("state", seq), &twin.parts()) {
        Ok(()) => Ok(Some(StateAt { seq, last: Some(view.last()), parts: parts.into() })),
        // Somebody else folded at the same entry: theirs is as good. Our parts are superfluous and go with the next fold.
        Err(ObjectError::Exists(_)) => Ok(None),
        Err(error) => Err(LedgerError::Home(error)),
    }
}

/// A number for a new parts object: two writers folding the same entry must not share one.
fn free_number(io: &LedgerIo, seq: u64) -> Result<u64, LedgerError> {
    let taken = io.numbers("parts")?.last().copied().unwrap_or(0);
    Ok(seq.max(taken + 1))
}

/// The parts of the new state: old ones where nothing changed.
fn new_parts(io: &LedgerIo, view: &View, writer: &mut PartWriter<'_>) -> Result<Vec<Arc<Part>>, LedgerError> {
    let old = &view.state().parts;
    if old.is_empty() {
        return Ok(writer.write(view.all_rows()?));
    }
    let touched = touched_parts(io, view)?;
    let mut parts = Vec::new();
    let mut pending: Rows = Vec::new();
    for (index, part) in old.iter().enumerate() {
        if touched.contains(&index) {
            pending.extend(view.rows_of_part(index)?);
        } else {
            parts.extend(writer.write(std::mem::take(&mut pending)));
            parts.push(part.clone());
        }
    }
    parts.extend(writer.write(pending));
    Ok(parts)
}

/// Parts with changed rows, those that are lost, and those that alone keep a mostly useless object alive.
fn touched_parts(io: &LedgerIo, view: &View) -> Result<BTreeSet<usize>, LedgerError> {
    let parts = &view.state().parts;
    let holds = |key: &Vec<u8>| parts.partition_point(|p| p.place.first_key <= *key).saturating_sub(1);
    let mut touched: BTreeSet<usize> = view.changed_keys().map(holds).collect();
    touched.extend(parts.iter().enumerate().filter(|(_, part)| part.is_lost()).map(|(index, _)| index));
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        if !touched.contains(&index) {
            *live.entry(part.place.object).or_default() += part.place.len;
        }
    }
    let sizes = io.sizes("parts")?;
    // A parts object is two copies: a quarter alive of one is an eighth of its size.
    let wasteful = |object: u64| live.get(&object).is_some_and(|l| l * 8 < sizes.get(&object).copied().unwrap_or(0));
    touched.extend(parts.iter().enumerate().filter(|(_, p)| wasteful(p.place.object)).map(|(i, _)| i));
    Ok(touched)
}

struct PartWriter<'a> {
    io: &'a LedgerIo,
    object: u64,
    payload: Vec<u8>,
    salt: &'a mut dyn FnMut() -> [u8; 16],
}

impl PartWriter<'_> {
    fn write(&mut self, rows: Rows) -> Vec<Arc<Part>> {
        let mut parts = Vec::new();
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(part_length(rest));
            parts.push(Arc::new(Part::new(self.write_part(part))));
            rest = after;
        }
        parts
    }

    fn write_part(&mut self, rows: &[(Vec<u8>, Vec<u8>)]) -> PartRef {
        let mut plain = Vec::new();
        rows.iter().for_each(|(k, v)| put_row(&mut plain, k, v));
        let packed = pack(&plain);
        let offset = self.payload.len() as u64;
        let aad = self.io.aad("backstay part 1", &[self.object, offset]);
        let sealed = boxes::seal(&self.io.place.key, (self.salt)(), &aad, &packed);
        self.payload.extend_from_slice(&sealed);
        PartRef {
            first_key: rows[0].0.clone(),
            object: self.object,
            offset,
            len: sealed.len() as u64,
            plain: plain.len() as u64,
            rows: rows.len() as u64,
        }
    }
}

fn pack(plain: &[u8]) -> Vec<u8> {
    Compressor::new(1).compress_always(plain)
}

fn part_length(rows: &[(Vec<u8>, Vec<u8>)]) -> usize {
    let most = rows.len().min(MOST_ROWS);
    (1..most).find(|i| starts_part(&rows[*i].0)).unwrap_or(most)
}

fn starts_part(key: &[u8]) -> bool {
    let Digest(hash) = chain(key);
    u16::from_le_bytes([hash[0], hash[1]]).is_multiple_of(ROWS_PER_PART)
}

/// Deletes what the two newest states make superfluous: older states, the entries before the older of the two, parts that
/// neither names. Only states that can be read count.
pub(super) fn delete_superfluous(io: &Arc<LedgerIo>) -> Result<(), LedgerError> {
    let states = io.numbers("state")?;
    let [.., older, newer] = states[..] else {
        return Ok(());
    };
    let mut kept_parts = BTreeSet::new();
    for seq in [older, newer] {
        let state = match io.read_state(seq) {
            Ok(state) => state,
            // One of them cannot be read: keep everything until it can be replaced.
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error),
        };
        kept_parts.extend(state.parts.iter().map(|p| p.place.object));
    }
    let there = io.numbers("parts")?;
    if !kept_parts.iter().all(|part| there.binary_search(part).is_ok()) {
        return Ok(());
    }
    io.delete("state", states.into_iter().filter(|seq| *seq < older))?;
    // In their order, never the newest: see `LedgerIo::was_never_used`.
    io.delete("entry", io.numbers("entry")?.into_iter().filter(|seq| *seq <= older))?;
    // A part with a number above the newer state's may belong to a fold that is going on.
    let done = |number: &u64| *number <= newer && !kept_parts.contains(number);
    io.delete("parts", io.numbers("parts")?.into_iter().filter(done))
}
