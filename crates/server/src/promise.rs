//! What is promised of a machine, by whom, and whether it is kept. Pure.
//!
//! Never knows: where promises are kept, or the clock.

use backstay_format::units::Timestamp;
use backstay_timeline::gap::is_gap;

use crate::moment::SECOND;

/// Who promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// An administrator, of this machine.
    Machine,
    /// An administrator, of all machines.
    Default,
    /// The machine itself: so often it makes points.
    Itself,
}

/// A promise: no longer than this without a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Nanoseconds.
    pub(crate) every: u64,
    pub(crate) by: By,
}

impl Promise {
    /// What holds: `own`, in seconds, what was promised of the machine; `usual`, in seconds, of all; `said`, in nanoseconds, what it
    /// says itself. Zero: nothing is promised.
    pub(crate) fn of(own: Option<u64>, usual: Option<u64>, said: Option<u64>) -> Option<Promise> {
        let nanos = |seconds: u64| seconds.saturating_mul(SECOND as u64);
        let own = own.map(|seconds| Promise { every: nanos(seconds), by: By::Machine });
        let usual = usual.map(|seconds| Promise { every: nanos(seconds), by: By::Default });
        let said = said.map(|every| Promise { every, by: By::Itself });
        own.or(usual).or(said).filter(|promise| promise.every > 0)
    }

    /// Whether it is broken by a time without points. What a machine says of itself is kept until a point is missing.
    pub(crate) fn is_broken(self, from: Timestamp, to: Timestamp) -> bool {
        match self.by {
            By::Itself => is_gap(from, to, self.every),
            By::Machine | By::Default => i128::from(to.0) - i128::from(from.0) > i128::from(self.every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_promise_holds() {
        let of = |own, usual, said| Promise::of(own, usual, said).map(|promise| (promise.every, promise.by));
        let second = SECOND as u64;
        assert_eq!(of(Some(60), Some(900), Some(second)), Some((60 * second, By::Machine)));
        assert_eq!(of(None, Some(900), Some(second)), Some((900 * second, By::Default)));
        assert_eq!(of(None, None, Some(second)), Some((second, By::Itself)));
        assert_eq!(
            (of(Some(0), Some(900), Some(1)), of(None, None, Some(0)), of(None, None, None)),
            (None, None, None)
        );
    }

    #[test]
    fn it_is_broken_when_it_is_over() {
        let at = |seconds: i64| Timestamp(seconds * SECOND);
        let own = Promise::of(Some(60), None, None).unwrap();
        let said = Promise::of(None, None, Some(60 * SECOND as u64)).unwrap();
        assert!(!own.is_broken(at(0), at(60)) && own.is_broken(at(0), at(61)));
        assert!(!said.is_broken(at(0), at(120)) && said.is_broken(at(0), at(121)));
        assert!(!own.is_broken(at(500), at(0)), "a clock that was set back");
    }
}
