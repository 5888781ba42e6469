//! Guessing is made slow: after some failures in a row, whoever goes on has to wait, longer each time. Pure: callers pass `now`.
//!
//! Never knows: what is guessed, or the clock.

use std::collections::HashMap;

use backstay_format::units::Timestamp;

use crate::moment::SECOND;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 5;
/// The longest wait, in seconds: somebody who is guessed at must not be shut out for long.
const LONGEST: u64 = 60;
/// Failures are forgotten after so long without one.
const FORGOTTEN: i64 = 3600 * SECOND;
/// Names and addresses that are remembered.
const MOST: usize = 10_000;
/// So many in a row are a series that people are told of.
pub(crate) const SERIES: u32 = 10;

/// Failures in a row, by who they are blamed on.
#[derive(Debug, Default)]
pub(crate) struct Throttle(HashMap<String, Tries>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    failures: u32,
    last: Timestamp,
}

impl Throttle {
    /// Seconds to wait before the next try; 0: it may be now.
    pub(crate) fn wait(&mut self, whom: &str, now: Timestamp) -> u64 {
        let Some(tries) = self.0.get_mut(whom) else { return 0 };
        // A clock that was set back makes nobody wait for longer than the pause, from when that is seen.
        tries.last = tries.last.min(now);
        let pause = (tries.failures > FREE).then(|| (1 << (tries.failures - FREE - 1).min(16)).min(LONGEST));
        let passed = now.0.saturating_sub(tries.last.0) / SECOND;
        let passed = u64::try_from(passed).unwrap_or(0);
        pause.unwrap_or(0).saturating_sub(passed)
    }

    /// A try failed; how many by now.
    pub(crate) fn failed(&mut self, whom: &str, now: Timestamp) -> u32 {
        let forgotten = |tries: &Tries| now.0.saturating_sub(tries.last.0) > FORGOTTEN;
        if self.0.len() >= MOST {
            self.0.retain(|_, tries| !forgotten(tries));
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        let tries = self.0.entry(whom.to_owned()).or_insert(Tries { failures: 0, last: now });
        if forgotten(tries) {
            tries.failures = 0;
        }
        *tries = Tries { failures: tries.failures.saturating_add(1), last: now };
        tries.failures
    }

    /// Whether nothing failed for so long that it is forgotten.
    pub(crate) fn is_quiet(&self, whom: &str, now: Timestamp) -> bool {
        self.0.get(whom).is_none_or(|tries| now.0.saturating_sub(tries.last.0) > FORGOTTEN)
    }

    /// A try succeeded.
    pub(crate) fn succeeded(&mut self, whom: &str) {
        self.0.remove(whom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_costs_more() {
        let mut throttle = Throttle::default();
        let at = |seconds: i64| Timestamp(seconds * SECOND);
        let waits: Vec<u64> = (0..14)
            .map(|_| {
                throttle.failed("ada", at(100));
                throttle.wait("ada", at(100))
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(
            (throttle.wait("ada", at(130)), throttle.wait("ada", at(160)), throttle.wait("bob", at(100))),
            (30, 0, 0)
        );
        assert!(!throttle.is_quiet("ada", at(200)) && throttle.is_quiet("ada", at(3800)));
        assert_eq!((throttle.wait("ada", at(0)), throttle.wait("ada", at(60))), (60, 0), "a clock that was set back");
        throttle.succeeded("ada");
        assert!(throttle.is_quiet("ada", at(100)));
        assert_eq!((throttle.wait("ada", at(100)), throttle.failed("ada", at(100))), (0, 1));
        assert_eq!(throttle.failed("ada", at(4000)), 1, "an hour later it is forgotten");
    }

    #[test]
    fn many_names_take_no_more_memory() {
        let mut throttle = Throttle::default();
        for name in 0..3 * MOST {
            throttle.failed(&name.to_string(), Timestamp(name as i64));
        }
        assert!(throttle.0.len() <= MOST);
    }
}
