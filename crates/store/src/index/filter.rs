//! A filter: says of most ids that are not in a part that they are not, at a cost of one cache line.
//!
//! A split-block Bloom filter (J. Apple; as the Parquet format describes it): an id selects a block of 256 bits, and in
//! it one bit in each of eight words. Ids are hashes already, so they are not hashed again. At 12 bits an entry about
//! one foreign id in 200 passes.
//!
//! Never knows: where it is kept.

use super::entry::ShortId;

/// Bytes of a filter's block.
pub(super) const FILTER_BLOCK_LEN: usize = 32;

const BITS_PER_ENTRY: u64 = 12;

/// Odd numbers that spread 32 bits of the id over the words, from the Parquet format.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A filter in memory.
pub(super) struct Filter {
    blocks: Vec<[u32; 8]>,
}

impl Filter {
    /// Blocks of a filter for so many entries.
    pub(super) fn blocks_for(entries: u64) -> u32 {
        let bits = entries.saturating_mul(BITS_PER_ENTRY);
        u32::try_from(bits.div_ceil(256)).unwrap_or(u32::MAX)
    }

    /// An empty filter of `blocks` blocks.
    pub(super) fn new(blocks: u32) -> Filter {
        Filter { blocks: vec![[0; 8]; blocks as usize] }
    }

    /// Adds an id. A filter without blocks lets everything pass, so there is nothing to add.
    pub(super) fn insert(&mut self, id: ShortId) {
        let at = self.block_of(id);
        if let Some(block) = self.blocks.get_mut(at) {
            block.iter_mut().zip(bits(id)).for_each(|(word, bit)| *word |= bit);
        }
    }

    /// Whether the id may be among those added: `false` is certain.
    pub(super) fn may_hold(&self, id: ShortId) -> bool {
        let Some(block) = self.blocks.get(self.block_of(id)) else {
            return true;
        };
        let missing = block.iter().zip(bits(id)).fold(0, |missing, (word, bit)| missing | (bit & !word));
        missing == 0
    }

    fn block_of(&self, id: ShortId) -> usize {
        ((u128::from(id.low) * self.blocks.len() as u128) >> 64) as usize
    }

    /// Appends the filter at rest to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let words = self.blocks.iter().flatten();
        out.extend(words.flat_map(|word| word.to_le_bytes()));
    }

    /// A filter from bytes at rest; what does not fill a block at their end is ignored.
    pub(super) fn decode(bytes: &[u8]) -> Filter {
        let (blocks, _) = bytes.as_chunks::<FILTER_BLOCK_LEN>();
        let word = |b: &[u8; FILTER_BLOCK_LEN], w: usize| u32::from_le_bytes(std::array::from_fn(|at| b[4 * w + at]));
        Filter { blocks: blocks.iter().map(|b| std::array::from_fn(|w| word(b, w))).collect() }
    }

    /// Bytes in memory.
    pub(super) fn resident(&self) -> u64 {
        (self.blocks.len() * FILTER_BLOCK_LEN) as u64
    }
}

/// The bit of each word: by the low half of the id's first eight bytes. Its high half says little within a part, whose
/// ids begin alike.
fn bits(id: ShortId) -> [u32; 8] {
    let hash = id.high as u32;
    SALTS.map(|salt| 1 << (hash.wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(seed: u64, count: u64) -> impl Iterator<Item = ShortId> {
        let mix = |n: u64| {
            let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            n ^ (n >> 31)
        };
        (0..count).map(move |n| ShortId {
            // As in a part of many: the first bits are all the same.
            high: mix(seed + 2 * n) >> 12,
            low: mix(seed + 2 * n + 1),
        })
    }

    #[test]
    fn what_was_added_passes_and_little_else() {
        let mut filter = Filter::new(Filter::blocks_for(100_000));
        ids(0, 100_000).for_each(|id| filter.insert(id));
        assert!(ids(0, 100_000).all(|id| filter.may_hold(id)));
        let wrong = ids(1 << 40, 100_000).filter(|id| filter.may_hold(*id)).count();
        assert!(wrong < 1000, "{wrong} of 100000 pass");
    }

    #[test]
    fn a_filter_at_rest() {
        let mut filter = Filter::new(2);
        filter.insert(ShortId { high: 1, low: u64::MAX });
        let mut bytes = Vec::new();
        filter.encode(&mut bytes);
        // The second block; in each word the bit whose number is the salt's top five bits.
        let words = SALTS.map(|salt| 1u32 << (salt >> 27));
        let golden: Vec<u8> = [0; 8].into_iter().chain(words).flat_map(u32::to_le_bytes).collect();
        assert_eq!(bytes, golden);
        assert_eq!(Filter::decode(&bytes).blocks, filter.blocks);
    }

    #[test]
    fn a_filter_without_blocks_lets_everything_pass() {
        let mut filter = Filter::new(0);
        let id = ShortId { high: 1, low: 1 };
        assert!(filter.may_hold(id));
        filter.insert(id);
        assert!(filter.may_hold(id));
    }
}
