//! Units and identifiers: a type for each, so that none is taken for another.

use std::fmt;

/// Bytes in a page, the unit of everything about a disk's content.
pub const PAGE_SIZE: usize = 4096;

/// Pages that `bytes` fill, the last one perhaps in part.
pub fn pages_in(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE as u64)
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

identifier!(
    /// A store.
    StoreId, 16
);
identifier!(
    /// A vault of a store.
    VaultId, 16
);
identifier!(
    /// A protected machine.
    MachineId, 16
);
identifier!(
    /// A pack: a run of sealed frames with one data key.
    PackId, 16
);
identifier!(
    /// An object of a home that holds packs.
    ObjectId, 16
);
identifier!(
    /// A bucket of data keys that expire together.
    BucketId, 16
);
identifier!(
    /// The keyed hash of a chunk's plaintext.
    ChunkId, 32
);
identifier!(
    /// A BLAKE3 hash that is not keyed: protects from accidents, not from people.
    Digest, 32
);

impl ChunkId {
    /// The first four bytes, as extents carry them.
    pub fn tag(&self) -> Tag {
        Tag([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

identifier!(
    /// The first four bytes of a chunk's id.
    Tag, 4
);

impl Digest {
    /// Hashes parts as if they were one.
    pub fn of(parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        parts.iter().for_each(|p| {
            hasher.update(p);
        });
        Digest(*hasher.finalize().as_bytes())
    }

    /// The first 16 bytes.
    pub fn short(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out.copy_from_slice(&self.0[..16]);
        out
    }
}

/// A moment: nanoseconds since 1970-01-01T00:00:00Z by some clock, which may be wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A disk's number in its machine, from 1; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskNo(pub u32);

/// A point's number in its machine's timeline, from 1, never used twice; 0 is the beginning, where all disks were empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointNo(pub u64);

impl PointNo {
    /// Before the first point.
    pub const BEGINNING: PointNo = PointNo(0);
}

/// A page of a disk, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(pub u64);

impl PageNo {
    /// Bytes from the start of the disk. Pages of real disks lie below 2^52, so this does not overflow for them;
    /// decoders bound what they accept.
    pub fn offset(self) -> u64 {
        self.0 * PAGE_SIZE as u64
    }
}

/// The number of a frame in its pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNo(pub u32);

/// The number of a chunk in its pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkNo(pub u32);
