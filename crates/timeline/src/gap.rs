//! Gaps: when a time without points is one, and for how long points are suspended.
//!
//! Never knows: why points were not made, or the clock: callers pass `now`.

use backstay_format::rows::gap::{Cause, GapRow, SuspensionRow, Why};
use backstay_format::units::Timestamp;

/// Whether a time without points is a gap, where one was promised `every` so many nanoseconds: at least one is missing.
pub fn is_gap(from: Timestamp, to: Timestamp, every: u64) -> bool {
    i128::from(to.0) - i128::from(from.0) > 2 * i128::from(every)
}

/// How long a suspension is meant to last, in nanoseconds.
pub fn length(suspension: &SuspensionRow) -> u64 {
    suspension.until.0.abs_diff(suspension.since.0)
}

/// Whether points are suspended. Where clocks differ, or jump, by less than the suspension's length, it ends at its end by this
/// clock; by more, it is over. So it never lasts for more than twice its length, if the clock goes on at all.
pub fn is_suspended(suspension: &SuspensionRow, now: Timestamp) -> bool {
    let earliest = i128::from(suspension.since.0) - i128::from(length(suspension));
    i128::from(now.0) >= earliest && now < suspension.until
}

/// The gap between two points, or a point and now. Times of it that no cause speaks of, from a beginning that is a gap by
/// itself, are [`Why::Unknown`]. Causes from after its end are left out.
pub fn gap((from, to): (Timestamp, Timestamp), every: u64, causes: impl IntoIterator<Item = Cause>) -> GapRow {
    let mut causes: Vec<Cause> = causes.into_iter().filter(|cause| cause.since <= to).collect();
    for cause in &mut causes {
        cause.since = cause.since.max(from);
    }
    causes.sort_by_key(|cause| cause.since);
    if causes.first().is_none_or(|first| is_gap(from, first.since, every)) {
        causes.insert(0, Cause { since: from, why: Why::Unknown, text: String::new() });
    }
    GapRow { from, to, causes }
}

/// A reason in a word, for programs.
pub fn word(why: Why) -> &'static str {
    match why {
        Why::Unknown => "unknown",
        Why::Suspended => "suspended",
        Why::Busy => "busy",
        Why::Store => "store",
        Why::Rescan => "rescan",
        Why::Slow => "slow",
        Why::Clock => "clock",
        Why::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(since: i64, why: Why) -> Cause {
        Cause { since: Timestamp(since), why, text: String::new() }
    }

    #[test]
    fn one_missing_point_makes_a_gap() {
        let is = |from, to| is_gap(Timestamp(from), Timestamp(to), 10);
        assert!(!is(100, 120) && is(100, 121));
        assert!(!is(100, 90), "a clock that was set back");
        assert!(is(i64::MIN, i64::MAX));
    }

    #[test]
    fn clocks_that_jump_never_suspend_for_more_than_twice_the_time() {
        let suspension = SuspensionRow { since: Timestamp(1000), until: Timestamp(1100), reason: String::new() };
        let is = |now| is_suspended(&suspension, Timestamp(now));
        assert!(is(1000) && is(1099) && !is(1100) && !is(5000));
        assert!(is(900), "somebody else's clock");
        assert!(!is(899) && !is(i64::MIN), "set back by more than it lasts");
        let longest = (-5000..5000).filter(|now| is(*now)).count();
        assert_eq!(longest, 200);
    }

    #[test]
    fn what_nobody_speaks_of_is_unknown() {
        let whys = |from, to, causes: &[Cause]| {
            let gap = gap((Timestamp(from), Timestamp(to)), 10, causes.to_vec());
            assert_eq!(GapRow::decode(&gap.encode()).as_ref(), Ok(&gap));
            gap.causes.iter().map(|c| (c.since.0, c.why)).collect::<Vec<_>>()
        };
        assert_eq!(whys(0, 100, &[]), [(0, Why::Unknown)]);
        assert_eq!(whys(0, 100, &[cause(20, Why::Busy)]), [(20, Why::Busy)]);
        assert_eq!(whys(0, 100, &[cause(21, Why::Busy)]), [(0, Why::Unknown), (21, Why::Busy)]);
        let late = [cause(101, Why::Busy), cause(-5, Why::Store)];
        assert_eq!(whys(0, 100, &late), [(0, Why::Store)]);
    }
}
