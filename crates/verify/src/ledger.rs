//! Entries, states and parts of a ledger (ledger.md), as plain bytes.
//!
//! Never knows: what rows mean, or where objects lie. Opening is here, but
//! reading is `book`'s.

use crate::bytes::{Id, Input, Malformed};
use crate::crypt::join;

/// Which of a vault's two ledgers; the domain that its boxes are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Machines, points, spans, packs.
    Ledger,
    /// Data keys.
    KeyTable,
}

impl Domain {
    /// The last part of the folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::KeyTable => "keytable",
        }
    }

    /// What a box of this ledger is bound to.
    pub fn aad(self, what: &str, vault: Id, numbers: &[u64]) -> Vec<u8> {
        let mut aad = join(&[what.as_bytes(), self.name().as_bytes(), &vault.0]);
        for number in numbers {
            aad.extend_from_slice(&number.to_le_bytes());
        }
        aad
    }
}

/// A key of a row: 1 to 1024 bytes.
fn key<'a>(input: &mut Input<'a>) -> Result<&'a [u8], Malformed> {
    let key = input.bytes()?;
    match key.len() {
        1..=1024 => Ok(key),
        other => Err(Malformed::Value { field: "length of a row's key", value: other as u64 }),
    }
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The row's key.
    pub key: Vec<u8>,
    /// The value set; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// BLAKE3 of the payload of the entry before; zeros for the first.
    pub previous: [u8; 32],
    /// The writer's clock: nanoseconds since 1970.
    pub time: i64,
    /// What was done, for people.
    pub operation: String,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

/// Reads an entry's plaintext.
///
/// # Errors
/// For anything but what the page describes; a key that occurs twice too.
pub fn entry(plain: &[u8]) -> Result<Entry, Malformed> {
    let mut input = Input::new(plain);
    let previous = input.array()?;
    let time = input.i64()?;
    let operation = input.text()?;
    let count = input.count(3)?;
    let mut seen = std::collections::BTreeSet::new();
    let mut changes = Vec::with_capacity(count);
    for _ in 0..count {
        let action = input.u8()?;
        let key = key(&mut input)?;
        let value = match action {
            0 => None,
            1 => Some(input.bytes()?.to_vec()),
            other => {
                return Err(Malformed::Value { field: "action", value: other.into() });
            }
        };
        if !seen.insert(key) {
            return Err(Malformed::Rule("a key occurs twice in one entry"));
        }
        changes.push(Change { key: key.to_vec(), value });
    }
    input.end()?;
    Ok(Entry { previous, time, operation, changes })
}

/// Where a part of a state lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The key of its first row.
    pub first: Vec<u8>,
    /// The parts object it lies in.
    pub object: u64,
    /// Bytes from the start of that object's payload.
    pub offset: u64,
    /// Bytes there.
    pub length: u64,
    /// Bytes once decompressed.
    pub plain: u64,
    /// Rows in it.
    pub rows: u64,
}

/// The root of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// BLAKE3 of the payload of the entry that it includes last.
    pub last: [u8; 32],
    /// Its parts, in the order of keys.
    pub parts: Vec<Part>,
}

/// Reads a state root's plaintext.
///
/// # Errors
/// For anything but what the page describes; parts out of order too.
pub fn state(plain: &[u8]) -> Result<State, Malformed> {
    let mut input = Input::new(plain);
    let last = input.array()?;
    let count = input.count(14)?;
    let mut parts: Vec<Part> = Vec::with_capacity(count);
    for _ in 0..count {
        let part = Part {
            first: key(&mut input)?.to_vec(),
            object: input.u64()?,
            offset: input.varint()?,
            length: input.varint()?,
            plain: input.varint()?,
            rows: input.varint()?,
        };
        if parts.last().is_some_and(|before| before.first >= part.first) {
            return Err(Malformed::Rule("parts are not in the order of keys"));
        }
        parts.push(part);
    }
    input.end()?;
    Ok(State { last, parts })
}

/// A row's key and value.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// Reads the rows of a decompressed part.
///
/// # Errors
/// For rows out of order, and anything else that the page does not allow.
pub fn part(plain: &[u8]) -> Result<Vec<RawRow>, Malformed> {
    let mut input = Input::new(plain);
    let mut rows: Vec<RawRow> = Vec::new();
    while input.left() > 0 {
        let key = key(&mut input)?.to_vec();
        let value = input.bytes()?.to_vec();
        if rows.last().is_some_and(|(before, _)| *before >= key) {
            return Err(Malformed::Rule("rows are not in the order of keys"));
        }
        rows.push((key, value));
    }
    Ok(rows)
}
