//! A block: up to 170 sorted entries in 4096 bytes, with a checksum that also says where the block belongs.
//!
//! Never knows: objects, or what lies beside it.

use twox_hash::XxHash3_64;

use super::entry::{Entry, ShortId};

/// Bytes of a block.
pub(super) const BLOCK_LEN: usize = 4096;

/// Entries in a block that is full.
pub(super) const BLOCK_ENTRIES: usize = (BLOCK_LEN - HEADER_LEN) / Entry::LEN;

/// Checksum u64, part u32, block u32.
const HEADER_LEN: usize = 16;

const _: () = assert!(HEADER_LEN + BLOCK_ENTRIES * Entry::LEN == BLOCK_LEN); // no room is lost

/// Where a block belongs: a block that was read from elsewhere does not pass for this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// Differs from run to run.
    pub(super) seed: u64,
    /// The part in the run.
    pub(super) part: u32,
    /// The block in the part.
    pub(super) block: u32,
}

/// Makes blocks, one entry after the other.
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
}

impl BlockBuilder {
    pub(super) fn new() -> BlockBuilder {
        let mut bytes = Vec::with_capacity(BLOCK_LEN);
        bytes.resize(HEADER_LEN, 0);
        BlockBuilder { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() == BLOCK_LEN
    }

    /// Adds an entry to a block that is not full; entries come in their order.
    pub(super) fn push(&mut self, entry: &Entry) {
        assert!(!self.is_full(), "an entry too many for a block");
        self.bytes.extend_from_slice(&entry.encode());
    }

    /// Appends the finished block to `out`, and starts anew.
    pub(super) fn seal(&mut self, spot: Spot, out: &mut Vec<u8>) {
        self.bytes.resize(BLOCK_LEN, 0);
        self.bytes[8..12].copy_from_slice(&spot.part.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&spot.block.to_le_bytes());
        let sum = checksum(spot, &self.bytes[8..]);
        self.bytes[..8].copy_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        self.bytes.truncate(HEADER_LEN);
    }
}

/// A block that passed its checksum, or `None`. `count`: entries it should have, at most [`BLOCK_ENTRIES`].
pub(super) fn open(bytes: &[u8; BLOCK_LEN], spot: Spot, count: usize) -> Option<Block<'_>> {
    let (sum, rest) = bytes.split_first_chunk()?;
    let (part, body) = rest.split_first_chunk()?;
    let (block, _) = body.split_first_chunk()?;
    let whole = u64::from_le_bytes(*sum) == checksum(spot, rest)
        && u32::from_le_bytes(*part) == spot.part
        && u32::from_le_bytes(*block) == spot.block;
    whole.then(|| trusted(bytes, count))
}

/// A block that needs no check: it was just made, or checked since it was read.
pub(super) fn trusted(bytes: &[u8; BLOCK_LEN], count: usize) -> Block<'_> {
    let (entries, _) = bytes[HEADER_LEN..].as_chunks::<{ Entry::LEN }>();
    let count = count.min(BLOCK_ENTRIES);
    Block { entries: &entries[..count] }
}

/// The entries of a block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    entries: &'a [[u8; Entry::LEN]],
}

impl<'a> Block<'a> {
    /// All entries, in order.
    pub(super) fn entries(self) -> impl Iterator<Item = Entry> + 'a {
        self.entries.iter().map(Entry::decode)
    }

    /// The entries with this id.
    pub(super) fn with_id(self, id: ShortId) -> impl Iterator<Item = Entry> + 'a {
        let first = self.entries.partition_point(|e| ShortId::decode(e) < id);
        let from = &self.entries[first..];
        from.iter().map(Entry::decode).take_while(move |e| e.id == id)
    }
}

fn checksum(spot: Spot, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes) ^ spot.seed
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOT: Spot = Spot { seed: 0x0123_4567_89ab_cdef, part: 3, block: 9 };

    fn entry(n: u64) -> Entry {
        Entry { id: ShortId { high: n / 2, low: n }, pack: n as u32, chunk: 7 }
    }

    fn sealed(entries: u64) -> Box<[u8; BLOCK_LEN]> {
        let mut builder = BlockBuilder::new();
        (0..entries).for_each(|n| builder.push(&entry(n)));
        let mut out = Vec::new();
        builder.seal(SPOT, &mut out);
        assert!(builder.is_empty());
        out.into_boxed_slice().try_into().unwrap()
    }

    #[test]
    fn a_block_gives_back_what_was_put_in() {
        for count in [0, 1, 2, 169, 170] {
            let bytes = sealed(count);
            let block = open(&bytes, SPOT, count as usize).unwrap();
            assert!(block.entries().eq((0..count).map(entry)));
            for n in 0..count {
                assert!(block.with_id(entry(n).id).eq([entry(n)]));
            }
            assert_eq!(block.with_id(entry(count).id).count(), 0);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = sealed(100);
        for bit in 0..BLOCK_LEN * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes, SPOT, 100).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(open(&bytes, SPOT, 100).is_some());
    }

    #[test]
    fn a_block_from_elsewhere_is_noticed() {
        let bytes = sealed(100);
        let elsewhere = [Spot { seed: 1, ..SPOT }, Spot { part: 4, ..SPOT }, Spot { block: 8, ..SPOT }];
        for spot in elsewhere {
            assert!(open(&bytes, spot, 100).is_none(), "{spot:?}");
        }
    }

    /// The checksum is at rest: another version of its crate must not change it.
    #[test]
    fn the_checksum_stays() {
        let bytes = sealed(1);
        assert_eq!(bytes[..8], GOLDEN_SUM);
    }

    const GOLDEN_SUM: [u8; 8] = [0x70, 0xae, 0x69, 0xfa, 0x64, 0xe8, 0x94, 0xf0];
}
