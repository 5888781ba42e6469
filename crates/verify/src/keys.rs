//! Key slots and rows of the key table (keys.md).
//!
//! Never knows: where slots and rows are kept.

use crate::bytes::{Id, Input, Malformed};
use crate::crypt::{Key, NotOpened, join, open_box, slot_key};

/// A key slot as it lies in the store: one passphrase's way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The vault it opens.
    pub vault: Id,
    /// Argon2id memory in KiB.
    pub memory: u32,
    /// Argon2id passes.
    pub passes: u32,
    /// Argon2id lanes.
    pub lanes: u32,
    /// Argon2id salt.
    pub salt: [u8; 16],
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Whose passphrase it is.
    pub label: String,
    /// The sealed keys.
    pub sealed: [u8; 96],
}

/// Reads a key slot's payload.
///
/// # Errors
/// For anything that the page does not allow, Argon2 numbers past its bounds
/// among them.
pub fn slot(payload: &[u8]) -> Result<Slot, Malformed> {
    let mut input = Input::new(payload);
    let vault = input.id()?;
    let memory = within(&mut input, "memory", 0, 4_194_304)?;
    let passes = within(&mut input, "passes", 1, 64)?;
    let lanes = within(&mut input, "lanes", 1, 64)?;
    let salt = input.array()?;
    let created = input.i64()?;
    let label = input.text()?;
    if label.len() > 64 {
        return Err(Malformed::Value { field: "length of label", value: label.len() as u64 });
    }
    let sealed = input.array()?;
    input.end()?;
    Ok(Slot { vault, memory, passes, lanes, salt, created, label, sealed })
}

fn within(input: &mut Input<'_>, field: &'static str, least: u32, most: u32) -> Result<u32, Malformed> {
    let value = input.u32()?;
    if (least..=most).contains(&value) { Ok(value) } else { Err(Malformed::Value { field, value: value.into() }) }
}

/// The keys of a vault.
#[derive(Debug, Clone)]
pub struct VaultKeys {
    /// Opens the ledger.
    pub ledger: Key,
    /// Opens the key table.
    pub table: Key,
    /// Opens bucket keys.
    pub wrap: Key,
    /// Makes ids of chunks.
    pub chunk: Key,
}

/// Opens a slot. Takes Argon2's time and memory, at most 4 GiB.
///
/// # Errors
/// `NotOpened` if the passphrase is not this slot's.
pub fn open_slot(slot: &Slot, store: Id, passphrase: &[u8]) -> Result<VaultKeys, NotOpened> {
    let key = slot_key(passphrase, &slot.salt, slot.memory, slot.passes, slot.lanes).ok_or(NotOpened)?;
    let aad = join(&[b"backstay slot 1", &store.0, &slot.vault.0]);
    let both = open_box(&key, &aad, &slot.sealed)?;
    let (vault, dedup) = both.split_first_chunk::<32>().ok_or(NotOpened)?;
    let vault = Key(*vault);
    let dedup = Key(dedup.try_into().map_err(|_| NotOpened)?);
    Ok(VaultKeys {
        ledger: vault.derive("backstay 2026-11 ledger"),
        table: vault.derive("backstay 2026-11 key table"),
        wrap: vault.derive("backstay 2026-11 bucket wrap"),
        chunk: dedup.derive("backstay 2026-11 chunk id"),
    })
}

/// A row of the key table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRow {
    /// A bucket of data keys that are destroyed together.
    Bucket {
        /// Its identifier.
        id: Id,
        /// Class of what its packs hold.
        class: String,
        /// Month counted from 1970-01, 0 for none.
        expiry: u32,
        /// Hold epoch.
        epoch: u64,
        /// The sealed bucket key.
        sealed: [u8; 64],
    },
    /// The data key of a pack.
    Data {
        /// The pack.
        pack: Id,
        /// The bucket whose key seals it.
        bucket: Id,
        /// The sealed data key.
        sealed: [u8; 64],
    },
}

/// Reads a row of the key table.
///
/// # Errors
/// For any key or value that the page does not describe.
pub fn row(key: &[u8], value: &[u8]) -> Result<KeyRow, Malformed> {
    let mut name = Input::new(key);
    let mut input = Input::new(value);
    let row = match name.u8()? {
        b'b' => KeyRow::Bucket {
            id: name.id()?,
            class: input.text()?,
            expiry: input.u32()?,
            epoch: input.u64()?,
            sealed: input.array()?,
        },
        b'd' => KeyRow::Data { pack: name.id()?, bucket: input.id()?, sealed: input.array()? },
        other => {
            return Err(Malformed::Value { field: "kind of row", value: other.into() });
        }
    };
    name.end()?;
    input.end()?;
    Ok(row)
}

/// Opens a bucket's key.
///
/// # Errors
/// `NotOpened` for a box of another vault or bucket.
pub fn open_bucket(wrap: &Key, bucket: Id, sealed: &[u8]) -> Result<Key, NotOpened> {
    open_key(wrap, &join(&[b"backstay bucket 1", &bucket.0]), sealed)
}

/// Opens a pack's data key.
///
/// # Errors
/// `NotOpened` for a box of another bucket or pack.
pub fn open_data(bucket: &Key, pack: Id, sealed: &[u8]) -> Result<Key, NotOpened> {
    open_key(bucket, &join(&[b"backstay data key 1", &pack.0]), sealed)
}

fn open_key(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Key, NotOpened> {
    let plain = open_box(key, aad, sealed)?;
    Ok(Key(plain.try_into().map_err(|_| NotOpened)?))
}
