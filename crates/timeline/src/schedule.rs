//! Retention schedules: all points for a while, then one a minute, an hour, a day, a month, a year.
//!
//! Never knows: where a schedule was written down, or the clock: callers pass `now`.

use backstay_format::units::Timestamp;

/// Nanoseconds.
pub type Nanos = i64;

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 86_400 * SECOND;

/// A calendar period, in UTC: what one point is kept of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// The number of the period that a moment is in.
    pub fn of(self, time: Timestamp) -> i64 {
        match self {
            Period::Minute => time.0.div_euclid(60 * SECOND),
            Period::Hour => time.0.div_euclid(3600 * SECOND),
            Period::Day => time.0.div_euclid(DAY),
            Period::Month => {
                let (year, month) = month_of(time.0.div_euclid(DAY));
                year * 12 + month - 1
            }
            Period::Year => month_of(time.0.div_euclid(DAY)).0,
        }
    }
}

/// Year and month (1 to 12) of a day counted from 1970-01-01 in the proleptic Gregorian calendar. After H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 of them.
fn month_of(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// How long which points are kept, counted back from now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// All points, for so long.
    pub all: Nanos,
    /// Of each period one point, the newest, for so long.
    pub tiers: Vec<(Period, Nanos)>,
}

impl Schedule {
    /// Whether it keeps anything but the newest point.
    pub fn is_empty(&self) -> bool {
        self.all == 0 && self.tiers.iter().all(|(_, length)| *length == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_the_calendar() {
        for (day, expected) in
            [(0, (1970, 1)), (30, (1970, 1)), (31, (1970, 2)), (-1, (1969, 12)), (20_779, (2026, 11))]
        {
            assert_eq!(month_of(day), expected, "day {day}");
        }
        assert_eq!(month_of(11_016), (2000, 2), "2000-02-29");
        assert_eq!(month_of(11_017), (2000, 3));
    }
}
