//! A clock that one seed replays.
//!
//! Never knows: real time.

use std::sync::{Mutex, PoisonError};

use super::random::Dice;
use crate::time::{Clock, Timestamp};

/// 2026-11-22T00:00:00Z: where a simulated clock starts.
const START: i64 = 1_795_305_600_000_000_000;
const DAY: u64 = 86_400_000_000_000;

/// A clock that moves by a random microsecond to second with each reading, and may jump.
#[derive(Debug)]
pub struct SimClock(Mutex<State>);

#[derive(Debug)]
struct State {
    now: i64,
    dice: Dice,
    jumps_ppm: u32,
}

impl SimClock {
    /// A clock that never jumps by itself.
    pub fn seeded(seed: u64) -> SimClock {
        SimClock::jumping(seed, 0)
    }

    /// A clock that with `jumps_ppm` readings of a million jumps by up to a day, forwards or back.
    pub fn jumping(seed: u64, jumps_ppm: u32) -> SimClock {
        SimClock(Mutex::new(State { now: START, dice: Dice::seeded(seed), jumps_ppm }))
    }

    /// Moves the clock by `nanoseconds`, back if negative.
    pub fn advance(&self, nanoseconds: i64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.saturating_add(nanoseconds);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut step = 1_000 + state.dice.below(1_000_000_000) as i64;
        let jumps_ppm = state.jumps_ppm;
        if state.dice.chance(jumps_ppm) {
            step = state.dice.below(2 * DAY) as i64 - DAY as i64;
        }
        state.now = state.now.saturating_add(step);
        Timestamp(state.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(clock: &SimClock) -> Vec<Timestamp> {
        (0..1000).map(|_| clock.now()).collect()
    }

    #[test]
    fn one_seed_replays_one_clock() {
        assert_eq!(readings(&SimClock::jumping(7, 9000)), readings(&SimClock::jumping(7, 9000)));
        assert_ne!(readings(&SimClock::jumping(7, 9000)), readings(&SimClock::jumping(8, 9000)));
    }

    #[test]
    fn only_a_jumping_clock_goes_back() {
        assert!(readings(&SimClock::seeded(1)).is_sorted());
        assert!(!readings(&SimClock::jumping(1, 100_000)).is_sorted());
    }
}
