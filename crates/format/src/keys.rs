//! Key slots and rows of the key table (`docs/format/keys.md`). Sealed parts are opaque boxes here.
//!
//! Never knows: how a box is sealed or opened.

use crate::codec::{DecodeError, Input, Output};
use crate::units::{BucketId, PackId, Timestamp, VaultId};

/// Bytes by which a box is longer than its message.
pub const BOX_OVERHEAD: usize = 32;

/// How hard a passphrase is to guess: the cost of Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// One way to open a vault: a passphrase and what it unwraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// The vault it opens.
    pub vault: VaultId,
    /// Cost of the passphrase's hash.
    pub cost: Argon2Cost,
    /// Salt of the passphrase's hash.
    pub salt: [u8; 16],
    /// When the slot was made.
    pub created: Timestamp,
    /// Whose passphrase it is, for people. At most 64 bytes.
    pub label: String,
    /// The vault's keys, sealed with the slot key.
    pub sealed_keys: [u8; 64 + BOX_OVERHEAD],
}

impl KeySlot {
    /// As a twin's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.vault.0.to_vec();
        let Argon2Cost { memory_kib, passes, lanes } = self.cost;
        [memory_kib, passes, lanes].iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out.put_bytes(self.label.as_bytes());
        out.extend_from_slice(&self.sealed_keys);
        out
    }

    /// From a twin's payload.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for a cost that would stop this machine.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(payload);
        let vault = VaultId(input.array()?);
        let cost = Argon2Cost { memory_kib: input.u32()?, passes: input.u32()?, lanes: input.u32()? };
        let sane = (8..=4 << 20).contains(&cost.memory_kib)
            && (1..=64).contains(&cost.passes)
            && (1..=64).contains(&cost.lanes)
            && cost.memory_kib >= 8 * cost.lanes;
        if !sane {
            return Err(DecodeError::Invalid("cost of the passphrase's hash"));
        }
        let salt = input.array()?;
        let created = Timestamp(input.i64()?);
        let label = input.text("label")?;
        if label.len() > 64 {
            return Err(DecodeError::Invalid("label"));
        }
        let sealed_keys = input.array()?;
        input.end()?;
        Ok(KeySlot { vault, cost, salt, created, label, sealed_keys })
    }
}

/// A row of the key table, as written in the key of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKey {
    /// A bucket key.
    Bucket(BucketId),
    /// The data key of a pack.
    DataKey(PackId),
}

impl TableKey {
    /// As a row's key.
    pub fn encode(&self) -> Vec<u8> {
        let (tag, id) = match self {
            TableKey::Bucket(id) => (b'b', &id.0),
            TableKey::DataKey(id) => (b'd', &id.0),
        };
        [&[tag], &id[..]].concat()
    }

    /// From a row's key.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for another kind of row.
    pub fn decode(key: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(key);
        let tag = input.u8()?;
        let id = input.array()?;
        input.end()?;
        match tag {
            b'b' => Ok(TableKey::Bucket(BucketId(id))),
            b'd' => Ok(TableKey::DataKey(PackId(id))),
            _ => Err(DecodeError::Invalid("kind of row")),
        }
    }
}

/// A bucket: data keys that expire together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketRow {
    /// The class of items.
    pub class: String,
    /// Month from 1970-01; 0: never.
    pub expiry: u32,
    /// Counts the holds placed on it.
    pub hold_epoch: u64,
    /// Its key, sealed with the wrap key.
    pub sealed_key: [u8; 32 + BOX_OVERHEAD],
}

impl BucketRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_bytes(self.class.as_bytes());
        out.extend_from_slice(&self.expiry.to_le_bytes());
        out.extend_from_slice(&self.hold_epoch.to_le_bytes());
        out.extend_from_slice(&self.sealed_key);
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        let row = BucketRow {
            class: input.text("class")?,
            expiry: input.u32()?,
            hold_epoch: input.u64()?,
            sealed_key: input.array()?,
        };
        input.end()?;
        Ok(row)
    }
}

/// The data key of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKeyRow {
    /// The bucket whose key opens it.
    pub bucket: BucketId,
    /// The key, sealed with the bucket's key.
    pub sealed_key: [u8; 32 + BOX_OVERHEAD],
}

impl DataKeyRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        [&self.bucket.0[..], &self.sealed_key].concat()
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        let row = DataKeyRow { bucket: BucketId(input.array()?), sealed_key: input.array()? };
        input.end()?;
        Ok(row)
    }
}
