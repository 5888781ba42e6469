//! Random numbers from a seed, the same on every machine and for ever (splitmix64).
//!
//! Never knows: what the numbers are for. Not for secrets.

/// A stream of numbers that depends on the seed alone.
pub(super) struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub(super) fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, near enough to even for choosing test data.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Overwrites the buffer.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published reference output of splitmix64 for seed 1234567.
    #[test]
    fn known_answers() {
        let mut random = Random::seeded(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
