//! One entry of the index: the first 16 bytes of a chunk's id, and where the chunk is.
//!
//! Never knows: where entries are kept.

use std::fmt;

use backstay_format::units::ChunkId;

/// The first 16 bytes of a chunk's id, in the order of its bytes. Two chunks that share them are not told apart: of
/// 10^9 chunks with random ids any two do with a probability of 2^-69.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ShortId {
    /// The first eight bytes, big-endian.
    pub(super) high: u64,
    /// The eight bytes after them, big-endian.
    pub(super) low: u64,
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl From<&ChunkId> for ShortId {
    fn from(id: &ChunkId) -> ShortId {
        let bytes = &id.0;
        ShortId {
            high: u64::from_be_bytes(std::array::from_fn(|at| bytes[at])),
            low: u64::from_be_bytes(std::array::from_fn(|at| bytes[8 + at])),
        }
    }
}

/// Where a chunk is. Entries are sorted by all fields, so that those of one id lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) id: ShortId,
    /// A place in the table of packs of whoever holds the entry.
    pub(super) pack: u32,
    /// The number of the chunk in the pack.
    pub(super) chunk: u32,
}

impl Entry {
    /// Bytes of an entry at rest.
    pub(super) const LEN: usize = 24;

    /// The entry at rest.
    pub(super) fn encode(&self) -> [u8; Entry::LEN] {
        let mut out = [0; Entry::LEN];
        out[..8].copy_from_slice(&self.id.high.to_be_bytes());
        out[8..16].copy_from_slice(&self.id.low.to_be_bytes());
        out[16..20].copy_from_slice(&self.pack.to_le_bytes());
        out[20..].copy_from_slice(&self.chunk.to_le_bytes());
        out
    }

    /// An entry from bytes at rest: any bytes are one.
    pub(super) fn decode(bytes: &[u8; Entry::LEN]) -> Entry {
        Entry {
            id: ShortId::decode(bytes),
            pack: u32::from_le_bytes(std::array::from_fn(|at| bytes[16 + at])),
            chunk: u32::from_le_bytes(std::array::from_fn(|at| bytes[20 + at])),
        }
    }
}

impl ShortId {
    /// The id of an entry at rest, without the rest of it.
    pub(super) fn decode(bytes: &[u8; Entry::LEN]) -> ShortId {
        ShortId {
            high: u64::from_be_bytes(std::array::from_fn(|at| bytes[at])),
            low: u64::from_be_bytes(std::array::from_fn(|at| bytes[8 + at])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_at_rest() {
        let mut id = [0xff; 32];
        id[..16].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let entry = Entry { id: ShortId::from(&ChunkId(id)), pack: 0x0102_0304, chunk: 258 };
        let golden = [
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, // id
            4, 3, 2, 1, // pack
            2, 1, 0, 0, // chunk
        ];
        assert_eq!(entry.encode(), golden);
        assert_eq!(Entry::decode(&golden), entry);
    }

    #[test]
    fn entries_sort_as_the_bytes_of_their_ids() {
        let id = |first: u8, ninth: u8| {
            let mut id = [0; 32];
            (id[0], id[8]) = (first, ninth);
            ShortId::from(&ChunkId(id))
        };
        assert!(id(1, 255) < id(2, 0));
        assert!(id(1, 0) < id(1, 1));
    }
}
