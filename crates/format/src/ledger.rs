//! Entries, states and parts of a ledger, once unsealed (`docs/format/ledger.md`).
//!
//! Never knows: what rows mean.

use crate::codec::{DecodeError, Input, Output};
use crate::units::{Digest, Timestamp};

/// The longest key of a row, in bytes.
pub const MAX_KEY: usize = 1024;

/// One change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row's key: 1 to [`MAX_KEY`] bytes.
    pub key: Vec<u8>,
    /// Its new value; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// What one commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Digest of the entry before it.
    pub previous: Digest,
    /// The writer's clock.
    pub time: Timestamp,
    /// What it was for, for people.
    pub operation: String,
    /// Applied in order, all or none.
    pub changes: Vec<Change>,
}

impl Entry {
    /// The plaintext of an entry's box.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.previous.0.to_vec();
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.put_bytes(self.operation.as_bytes());
        out.put_varint(self.changes.len() as u64);
        for change in &self.changes {
            out.push(u8::from(change.value.is_some()));
            out.put_bytes(&change.key);
            if let Some(value) = &change.value {
                out.put_bytes(value);
            }
        }
        out
    }

    /// From the plaintext of an entry's box.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let previous = Digest(input.array()?);
        let time = Timestamp(input.i64()?);
        let operation = input.text("operation")?;
        let count = input.count(3)?;
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let action = input.u8()?;
            let key = key(&mut input)?.to_vec();
            let value = match action {
                0 => None,
                1 => Some(input.bytes()?.to_vec()),
                _ => return Err(DecodeError::Invalid("action")),
            };
            changes.push(Change { key, value });
        }
        input.end()?;
        Ok(Entry { previous, time, operation, changes })
    }
}

fn key<'a>(input: &mut Input<'a>) -> Result<&'a [u8], DecodeError> {
    let key = input.bytes()?;
    if (1..=MAX_KEY).contains(&key.len()) { Ok(key) } else { Err(DecodeError::Invalid("length of a key")) }
}

/// Where a part of a state lies, and which rows it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRef {
    /// Key of its first row.
    pub first_key: Vec<u8>,
    /// Number of the parts object.
    pub object: u64,
    /// Bytes from the start of that object's payload.
    pub offset: u64,
    /// Bytes there.
    pub len: u64,
    /// Bytes once decompressed.
    pub plain: u64,
    /// Rows in it.
    pub rows: u64,
}

/// The root of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Digest of the newest entry in it.
    pub last: Digest,
    /// Its parts, in the order of keys.
    pub parts: Vec<PartRef>,
}

impl State {
    /// The plaintext of a root's box.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.last.0.to_vec();
        out.put_varint(self.parts.len() as u64);
        for part in &self.parts {
            out.put_bytes(&part.first_key);
            out.extend_from_slice(&part.object.to_le_bytes());
            [part.offset, part.len, part.plain, part.rows].iter().for_each(|v| out.put_varint(*v));
        }
        out
    }

    /// From the plaintext of a root's box.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] when parts are out of order.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let last = Digest(input.array()?);
        let count = input.count(14)?;
        let mut parts: Vec<PartRef> = Vec::with_capacity(count);
        for _ in 0..count {
            let part = PartRef {
                first_key: key(&mut input)?.to_vec(),
                object: input.u64()?,
                offset: input.varint()?,
                len: input.varint()?,
                plain: input.varint()?,
                rows: input.varint()?,
            };
            if parts.last().is_some_and(|before| before.first_key >= part.first_key) {
                return Err(DecodeError::Invalid("order of parts"));
            }
            parts.push(part);
        }
        input.end()?;
        Ok(State { last, parts })
    }
}

/// Appends a row to a part's plaintext.
pub fn put_row(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.put_bytes(key);
    out.put_bytes(value);
}

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows, in the order of keys.
pub type Rows = Vec<Row>;

/// The rows of a part's plaintext.
///
/// # Errors
/// [`DecodeError::Invalid`] when they are out of order.
pub fn decode_part(bytes: &[u8]) -> Result<Rows, DecodeError> {
    let mut input = Input(bytes);
    let mut rows: Rows = Vec::new();
    while !input.0.is_empty() {
        let key = key(&mut input)?;
        if rows.last().is_some_and(|(before, _)| before.as_slice() >= key) {
            return Err(DecodeError::Invalid("order of rows"));
        }
        rows.push((key.to_vec(), input.bytes()?.to_vec()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_entry() {
        let entry = Entry {
            previous: Digest([9; 32]),
            time: Timestamp(258),
            operation: "init".into(),
            changes: vec![
                Change { key: b"a".to_vec(), value: Some(b"xy".to_vec()) },
                Change { key: b"b".to_vec(), value: None },
            ],
        };
        let mut golden = vec![9; 32];
        golden.extend([2, 1, 0, 0, 0, 0, 0, 0, 4, b'i', b'n', b'i', b't', 2]);
        golden.extend([1, 1, b'a', 2, b'x', b'y', 0, 1, b'b']);
        assert_eq!(entry.encode(), golden);
        assert_eq!(Entry::decode(&golden), Ok(entry));
    }

    #[test]
    fn golden_state() {
        let part = PartRef { first_key: b"k".to_vec(), object: 3, offset: 0, len: 300, plain: 1, rows: 2 };
        let state = State { last: Digest([1; 32]), parts: vec![part] };
        let mut golden = vec![1; 32];
        golden.extend([1, 1, b'k', 3, 0, 0, 0, 0, 0, 0, 0, 0, 0xac, 2, 1, 2]);
        assert_eq!(state.encode(), golden);
        assert_eq!(State::decode(&golden), Ok(state));
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        let mut part = Vec::new();
        put_row(&mut part, b"b", b"");
        put_row(&mut part, b"a", b"");
        assert_eq!(decode_part(&part), Err(DecodeError::Invalid("order of rows")));
    }
}
