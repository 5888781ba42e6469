//! Hours of the day, in this machine's zone: `22:00-06:00`.
//!
//! Never knows: what is done in them.

use std::fmt;
use std::str::FromStr;

use backstay_format::units::Timestamp;
use jiff::tz::TimeZone;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// From one minute of the day up to another; over midnight if that is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hours {
    from: u16,
    to: u16,
}

impl Hours {
    /// Whether a moment is in them.
    pub(crate) fn hold(&self, at: Timestamp) -> bool {
        let Ok(stamp) = jiff::Timestamp::from_nanosecond(at.0.into()) else { return false };
        let time = stamp.to_zoned(TimeZone::system()).time();
        self.hold_minute(time.hour() as u16 * 60 + time.minute() as u16)
    }

    fn hold_minute(&self, minute: u16) -> bool {
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl FromStr for Hours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write hours of the day such as 22:00-06:00, not all and not none of them";
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let part = |text: &str, below: u16| {
                let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|number: &u16| digits && *number < below)
            };
            match (hour, minute) {
                ("24", "00") => Some(DAY),
                _ => Some(part(hour, 24)? * 60 + part(minute, 60)?),
            }
        };
        let (from, to) = text.split_once('-').ok_or(wrong)?;
        let (from, to) = (minute(from).ok_or(wrong)? % DAY, minute(to).ok_or(wrong)?);
        if from % DAY == to % DAY { Err(wrong) } else { Ok(Hours { from, to }) }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hours { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_over_midnight_and_not() {
        let holds = |text: &str, minute| text.parse::<Hours>().unwrap().hold_minute(minute);
        assert!(
            holds("08:00-18:30", 8 * 60) && holds("08:00-18:30", 18 * 60 + 29) && !holds("08:00-18:30", 18 * 60 + 30)
        );
        assert!(holds("22:00-06:00", 23 * 60) && holds("22:00-06:00", 0) && !holds("22:00-06:00", 6 * 60));
        assert!(holds("22:00-24:00", 1439) && !holds("22:00-24:00", 0));
        assert_eq!("22:00-06:00".parse::<Hours>().unwrap().to_string(), "22:00-06:00");
        for bad in ["", "8-18", "08:00", "08:00-08:00", "00:00-24:00", "25:00-26:00", "08:60-09:00", "8:00-9:00", "-"] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
    }
}
