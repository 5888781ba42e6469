//! Twins: small objects kept twice (`docs/format/twin.md`).
//!
//! Never knows: what the payload is, beyond its kind.

use crate::codec::{DecodeError, Input};
use crate::units::{Digest, StoreId, Timestamp};

const MAGIC: [u8; 8] = *b"BKSTTWIN";
const VERSION: u32 = 1;
/// Bytes before the payload of each copy.
pub const HEADER_LEN: usize = 72;
const ALIGN: usize = 4096;

/// What a twin holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The store's header.
    StoreHeader = 1,
    /// A key slot.
    KeySlot = 2,
    /// A ledger entry.
    Entry = 3,
    /// The root of a ledger state.
    State = 4,
    /// Parts of a ledger state.
    Parts = 5,
    /// Which server serves a vault.
    Claim = 6,
    /// What a server needs to go on elsewhere.
    Kept = 7,
}

/// The pieces of the object that holds `payload`: to be written one after the other.
pub struct Encoded<'a> {
    header: Vec<u8>,
    padding: Vec<u8>,
    payload: &'a [u8],
}

impl Encoded<'_> {
    /// The pieces in order.
    pub fn parts(&self) -> [&[u8]; 5] {
        [&self.header, self.payload, &self.padding, &self.header, self.payload]
    }
}

/// Wraps a payload.
pub fn encode(kind: Kind, store: StoreId, payload: &[u8]) -> Encoded<'_> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(kind as u32).to_le_bytes());
    header.extend_from_slice(&store.0);
    header.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    let digest = Digest::of(&[&header, payload]);
    header.extend_from_slice(&digest.0);
    let len = HEADER_LEN + payload.len();
    Encoded { header, padding: vec![0; len.next_multiple_of(ALIGN) - len], payload }
}

/// Where the second copy of an object of `size` bytes starts.
pub fn second_copy(size: u64) -> u64 {
    size.div_ceil(2).next_multiple_of(ALIGN as u64)
}

/// A payload, and whether both copies of it are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The payload of the first whole copy.
    pub payload: &'a [u8],
    /// The store that it says it belongs to.
    pub store: StoreId,
    /// False: one copy is damaged. The object should be written again.
    pub both: bool,
    /// The payload of the second copy, if both are whole and they differ: one of them belongs to another object of the same
    /// kind, written here by mistake. Only what is in them tells which.
    pub other: Option<&'a [u8]>,
}

/// Unwraps an object. `store`: `None` to accept any, as the reader of the store's header must.
///
/// # Errors
/// What is wrong with the first copy, when neither is whole.
pub fn decode(object: &[u8], kind: Kind, store: Option<StoreId>) -> Result<Decoded<'_>, DecodeError> {
    let middle = second_copy(object.len() as u64) as usize;
    let first = copy(object, kind, store);
    let second = object.get(middle..).ok_or(DecodeError::Truncated).and_then(|b| copy(b, kind, store));
    match (first, second) {
        (Ok(a), Ok(b)) => {
            let both = a == b;
            Ok(Decoded { payload: a.1, store: a.0, both, other: (!both).then_some(b.1) })
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(Decoded { payload: one.1, store: one.0, both: false, other: None }),
        (Err(error), Err(_)) => Err(error),
    }
}

fn copy(bytes: &[u8], kind: Kind, store: Option<StoreId>) -> Result<(StoreId, &[u8]), DecodeError> {
    let mut input = Input(bytes);
    if input.array()? != MAGIC {
        return Err(DecodeError::Magic("Backstay object"));
    }
    let version = input.u32()?;
    let found_kind = input.u32()?;
    let found_store = StoreId(input.array()?);
    let len = input.u64()?;
    let digest = Digest(input.array()?);
    let payload = input.take(usize::try_from(len).map_err(|_| DecodeError::Truncated)?)?;
    let digested = bytes.get(..HEADER_LEN - 32).ok_or(DecodeError::Truncated)?;
    if Digest::of(&[digested, payload]) != digest {
        return Err(DecodeError::Digest("object"));
    }
    if version != VERSION {
        return Err(DecodeError::Version { what: "object", found: version, newest: VERSION });
    }
    if found_kind != kind as u32 {
        return Err(DecodeError::Foreign("object of another kind"));
    }
    if store.is_some_and(|s| s != found_store) {
        return Err(DecodeError::Foreign("object of another store"));
    }
    Ok((found_store, payload))
}

/// The store's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreHeader {
    /// When the store was made.
    pub created: Timestamp,
}

impl StoreHeader {
    /// As a twin's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = 0u32.to_le_bytes().to_vec();
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out
    }

    /// From a twin's payload.
    ///
    /// # Errors
    /// [`DecodeError::Features`] for a store that needs a newer program.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(payload);
        match input.u32()? {
            0 => {}
            bits => {
                return Err(DecodeError::Features { what: "store", bits });
            }
        }
        let created = Timestamp(input.i64()?);
        input.end()?;
        Ok(StoreHeader { created })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId([7; 16]);

    fn object(payload: &[u8]) -> Vec<u8> {
        encode(Kind::Entry, STORE, payload).parts().concat()
    }

    #[test]
    fn golden_bytes() {
        let bytes = object(b"hello");
        assert_eq!(bytes.len(), 4096 + 77);
        assert_eq!(&bytes[..16], b"BKSTTWIN\x01\0\0\0\x03\0\0\0");
        assert_eq!(&bytes[16..40], [&[7u8; 16][..], &[5, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(&bytes[72..77], b"hello");
        assert!(bytes[77..4096].iter().all(|b| *b == 0));
        assert_eq!(bytes[..77], bytes[4096..]);
    }

    #[test]
    fn either_copy_is_enough_at_every_size_around_the_alignment() {
        for len in (0..40).chain(4000..4130).chain(8100..8200) {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let whole = object(&payload);
            let start = second_copy(whole.len() as u64) as usize;
            assert_eq!(start, (HEADER_LEN + len).next_multiple_of(4096), "payload of {len}");
            assert!(decode(&whole, Kind::Entry, Some(STORE)).unwrap().both);
            for (from, to) in [(0, start), (start, whole.len())] {
                let mut broken = whole.clone();
                broken[from..to].fill(0xee);
                let decoded = decode(&broken, Kind::Entry, Some(STORE)).unwrap();
                assert_eq!((decoded.payload, decoded.both), (&payload[..], false));
            }
        }
    }

    #[test]
    fn strangers_are_refused() {
        let bytes = object(b"x");
        assert_eq!(decode(&bytes, Kind::State, Some(STORE)), Err(DecodeError::Foreign("object of another kind")));
        assert_eq!(
            decode(&bytes, Kind::Entry, Some(StoreId([8; 16]))),
            Err(DecodeError::Foreign("object of another store"))
        );
        assert_eq!(decode(&[], Kind::Entry, None), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0; 9000], Kind::Entry, None), Err(DecodeError::Magic("Backstay object")));
    }
}
