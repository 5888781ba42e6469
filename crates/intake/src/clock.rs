//! An agent's times by the server's clock: the two need not agree, nor either stand still.
//!
//! Never knows: what happened at these times.

use backstay_format::units::Timestamp;

/// The longest that a moment may lie back: 400 days.
const LONGEST: i64 = 400 * 86_400_000_000_000;

/// Tells an agent's times by the server's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    here: Timestamp,
    there: i64,
}

impl Shift {
    /// When it is `here` on the server, it is `there` at the agent.
    pub(crate) fn new(here: Timestamp, there: i64) -> Shift {
        Shift { here, there }
    }

    /// The moment that it was at the agent; not in the future, and not too long ago.
    pub(crate) fn moment(&self, there: i64) -> Timestamp {
        let ago = self.there.saturating_sub(there).clamp(0, LONGEST);
        Timestamp(self.here.0.saturating_sub(ago))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lie_in_the_past_by_the_clock_here() {
        let shift = Shift::new(Timestamp(1_000_000), 5_000);
        assert_eq!(shift.moment(4_000), Timestamp(999_000));
        assert_eq!(shift.moment(6_000), Timestamp(1_000_000), "the future is now");
        assert_eq!(shift.moment(i64::MIN).0, 1_000_000 - LONGEST, "not too long ago");
        assert_eq!(Shift::new(Timestamp(7), i64::MIN).moment(i64::MAX), Timestamp(7));
    }
}
