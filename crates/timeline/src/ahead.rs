//! Retention ahead: until when a schedule keeps the points that there are. Pure: callers pass moments.
//!
//! Periods nest: the newest point of a day is the newest of its hour, too. So of points of one age the finest tier that still
//! lasts for them says which stay, and no other tier keeps any besides.
//!
//! Never knows: spans, or when points are dropped.

use backstay_format::units::Timestamp;

use crate::schedule::{Nanos, Period, Schedule};

/// What a schedule keeps of points of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of them.
    All,
    /// The newest of each period.
    One(Period),
    /// None.
    None,
}

/// Until when a point is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The last moment at which it is.
    pub until: Timestamp,
    /// As the newest of which period it is kept last; `None`: as all points are.
    pub of: Option<Period>,
}

impl Schedule {
    /// What is kept of points that are so old.
    pub fn share(&self, age: Nanos) -> Share {
        if age <= self.all {
            return Share::All;
        }
        let lasting = self.tiers.iter().filter(|(_, length)| age <= *length);
        lasting.map(|(period, _)| *period).min().map_or(Share::None, Share::One)
    }

    /// Until when a point of a moment is kept, given the moment of the next newer one: of which periods it is the newest then. The
    /// newest of all stays in any case.
    pub fn kept(&self, time: Timestamp, newer: Timestamp) -> Kept {
        let as_all = Kept { until: Timestamp(time.0.saturating_add(self.all)), of: None };
        let newest_of = self.tiers.iter().filter(|(period, _)| period.of(time) != period.of(newer));
        let kept = newest_of.map(|(period, length)| {
            let until = Timestamp(time.0.saturating_add(*length));
            Kept { until, of: Some(*period) }
        });
        kept.fold(as_all, |last, kept| if kept.until > last.until { kept } else { last })
    }

    /// Whether a point of a moment is left at another, given the moment of the next newer one.
    pub fn leaves(&self, time: Timestamp, newer: Timestamp, at: Timestamp) -> bool {
        match self.share(at.0.saturating_sub(time.0)) {
            Share::All => true,
            Share::One(period) => period.of(time) != period.of(newer),
            Share::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Period::{Day, Hour, Minute, Month, Year};
    use crate::thin::thin;
    use backstay_format::units::PointNo;

    const MINUTE: i64 = 60_000_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    /// Whatever is said ahead is what thinning does when that moment has come.
    #[test]
    fn what_is_said_is_what_thinning_does() {
        let tiers = vec![(Minute, 3 * HOUR), (Hour, 2 * DAY), (Day, 30 * DAY), (Month, 200 * DAY), (Year, 900 * DAY)];
        let schedules = [
            Schedule { all: HOUR, tiers },
            Schedule { all: 2 * DAY, tiers: vec![(Day, DAY), (Hour, 20 * DAY)] },
            Schedule { all: 0, tiers: vec![(Month, 400 * DAY)] },
            Schedule { all: i64::MAX, tiers: Vec::new() },
            Schedule::default(),
        ];
        // Closer and closer together, as a timeline is that was thinned before.
        let mut times: Vec<i64> =
            (0..900).map(|i: i64| 20_000 * DAY - i * i * 4 * MINUTE - i * 7_000_000_000).collect();
        times.reverse();
        let points: Vec<_> = times.iter().enumerate().map(|(i, t)| (PointNo(i as u64 + 1), Timestamp(*t))).collect();
        let newest = points[points.len() - 1].1;
        for schedule in &schedules {
            for later in [0, MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY, 40 * DAY, 300 * DAY, 5_000 * DAY] {
                let at = Timestamp(newest.0 + later);
                let gone = thin(&points, schedule, at);
                for pair in points.windows(2) {
                    let ((number, time), (_, newer)) = (pair[0], pair[1]);
                    let stays = !gone.contains(&number);
                    assert_eq!(schedule.leaves(time, newer, at), stays, "{schedule:?} {time:?} {later}");
                    assert_eq!(schedule.kept(time, newer).until >= at, stays, "{schedule:?} {time:?} {later}");
                }
            }
        }
    }

    #[test]
    fn the_tier_that_lasts_longest_is_told() {
        let schedule = Schedule { all: HOUR, tiers: vec![(Hour, DAY), (Day, 30 * DAY)] };
        let noon = 10 * DAY + 12 * HOUR;
        let kept = |newer| schedule.kept(Timestamp(noon), Timestamp(newer));
        assert_eq!(kept(noon + MINUTE), Kept { until: Timestamp(noon + HOUR), of: None });
        assert_eq!(kept(noon + HOUR), Kept { until: Timestamp(noon + DAY), of: Some(Hour) });
        assert_eq!(kept(noon + DAY), Kept { until: Timestamp(noon + 30 * DAY), of: Some(Day) });
    }
}
