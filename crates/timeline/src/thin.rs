//! Thinning: which points of a timeline a schedule lets go. Pure: callers pass `now`.
//!
//! Invariants: the newest point stays, whatever the schedule says; what one schedule keeps, the same schedule keeps later or
//! lets go for good, so running it often or seldom ends in the same points.
//! Never knows: spans, or whether a point was dropped.

use std::collections::BTreeSet;

use backstay_format::units::{PointNo, Timestamp};

use crate::schedule::Schedule;

/// The points to drop. `points` in the order of their numbers.
pub fn thin(points: &[(PointNo, Timestamp)], schedule: &Schedule, now: Timestamp) -> BTreeSet<PointNo> {
    let Some((newest, _)) = points.last() else { return BTreeSet::new() };
    let mut keep = BTreeSet::from([*newest]);
    let age = |time: Timestamp| now.0.saturating_sub(time.0);
    keep.extend(points.iter().filter(|(_, t)| age(*t) <= schedule.all).map(|(n, _)| *n));
    for (period, length) in &schedule.tiers {
        let mut seen = BTreeSet::new();
        for (number, time) in points.iter().rev().filter(|(_, t)| age(*t) <= *length) {
            if seen.insert(period.of(*time)) {
                keep.insert(*number);
            }
        }
    }
    points.iter().map(|(n, _)| *n).filter(|n| !keep.contains(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Period::{Day, Hour, Month};

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const DAY: i64 = 24 * HOUR;

    /// `points`: hours before now, oldest first; gives those that stay.
    fn check(schedule: Schedule, points: &[i64], kept: &[i64]) {
        let now = Timestamp(1_000 * DAY + 12 * HOUR);
        let stamped: Vec<_> =
            points.iter().enumerate().map(|(i, h)| (PointNo(i as u64 + 1), Timestamp(now.0 - h * HOUR))).collect();
        let drop = thin(&stamped, &schedule, now);
        let stay: Vec<i64> = points
            .iter()
            .enumerate()
            .filter(|(i, _)| !drop.contains(&PointNo(*i as u64 + 1)))
            .map(|(_, h)| *h)
            .collect();
        assert_eq!(stay, kept);
    }

    #[test]
    fn all_for_a_day_then_one_a_day() {
        let schedule = Schedule { all: DAY, tiers: vec![(Day, 5 * DAY)] };
        check(schedule, &[200, 100, 99, 60, 50, 40, 30, 20, 10, 0], &[99, 40, 20, 10, 0]);
    }

    #[test]
    fn the_newest_stays_whatever_the_schedule_says() {
        check(Schedule::default(), &[5000, 4000, 3000], &[3000]);
    }

    #[test]
    fn running_often_or_seldom_ends_in_the_same_points() {
        let schedule = Schedule { all: 2 * HOUR, tiers: vec![(Hour, DAY), (Day, 20 * DAY), (Month, 400 * DAY)] };
        let times: Vec<Timestamp> = (0..4000).map(|i| Timestamp(900 * DAY + i * 600 * SECOND)).collect();
        let end = times[times.len() - 1];
        let all: Vec<_> = times.iter().enumerate().map(|(i, t)| (PointNo(i as u64 + 1), *t)).collect();
        let once = thin(&all, &schedule, end);
        let mut left: Vec<(PointNo, Timestamp)> = Vec::new();
        for point in &all {
            left.push(*point);
            let drop = thin(&left, &schedule, point.1);
            left.retain(|(n, _)| !drop.contains(n));
        }
        let kept: Vec<PointNo> = all.iter().map(|(n, _)| *n).filter(|n| !once.contains(n)).collect();
        assert_eq!(left.iter().map(|(n, _)| *n).collect::<Vec<_>>(), kept);
    }
}
