//! Seeded randomness.
//!
//! Never knows: who asks. The same seed gives the same bytes in the same order, on every machine and for ever.

use std::sync::{Mutex, PoisonError};

use crate::random::Random;

/// A million parts: the unit of every `_ppm`.
const MILLION: u64 = 1_000_000;

/// A small generator (SplitMix64). For simulation: anyone can guess what it gives.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator that starts from `seed`.
    pub fn seeded(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number, each equally likely.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each (almost) equally likely.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        ((u128::from(self.roll()) * u128::from(bound)) >> 64) as u64
    }

    /// True `ppm` times in a million. Rolls even if `ppm` is 0, so that a fault switched off changes nothing else.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(MILLION) < u64::from(ppm)
    }

    /// Fills `buf`.
    pub fn fill(&mut self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Randomness that one seed replays.
#[derive(Debug)]
pub struct SimRandom(Mutex<Dice>);

impl SimRandom {
    /// A source that starts from `seed`.
    pub fn seeded(seed: u64) -> SimRandom {
        SimRandom(Mutex::new(Dice::seeded(seed)))
    }
}

impl Random for SimRandom {
    fn fill(&self, buf: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64_and_stays_so() {
        // From the reference code of its author, seed 1234567.
        let mut dice = Dice::seeded(1_234_567);
        let known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!([dice.roll(), dice.roll(), dice.roll(), dice.roll()], known);
    }

    #[test]
    fn chances_are_about_as_said() {
        let mut dice = Dice::seeded(1);
        let hits = (0..100_000).filter(|_| dice.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !dice.chance(0)));
        assert!((0..1000).all(|_| dice.chance(1_000_000)));
        assert!((0..1000).all(|_| dice.below(3) < 3));
    }
}
