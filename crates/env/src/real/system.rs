//! The system's clock and randomness.
//!
//! Never knows: what they are used for.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::random::Random;
use crate::time::{Clock, Timestamp};

/// The wall clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock set outside the years that a [`Timestamp`] knows gives the nearest one it does.
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).map(|after| i64::try_from(after.as_nanos()).unwrap_or(i64::MAX));
        let until = |before: std::time::SystemTimeError| i64::try_from(before.duration().as_nanos());
        Timestamp(since.unwrap_or_else(|before| until(before).map_or(i64::MIN, |before| -before)))
    }
}

/// The kernel's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    /// When the kernel has no `getrandom`: nothing may go on with guessable keys.
    fn fill(&self, buf: &mut [u8]) {
        let mut left = buf;
        while !left.is_empty() {
            match getrandom(&mut *left, GetRandomFlags::empty()) {
                Ok(filled) => left = &mut left[filled..],
                Err(Errno::INTR) => {}
                Err(e) => panic!("the kernel gives no randomness: {e}"),
            }
        }
    }
}
