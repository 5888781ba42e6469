//! TIME and durations as people write them.
//!
//! Never knows: points.

use backstay_format::units::Timestamp;
use jiff::{SignedDuration, Span, Zoned, civil};

use crate::failure::Failure;

const HELP: &str = "write RFC 3339, `2026-11-22 10:00:05`, `90s ago`, `5 minutes ago` or `latest`";

/// A moment on the command line; `None` is `latest`.
pub(crate) fn parse(text: &str) -> Result<Option<Timestamp>, Failure> {
    let text = text.trim();
    if text == "latest" {
        return Ok(None);
    }
    let bad = || Failure::usage(format!("{text:?} is not a time; {HELP}"));
    let stamp = if let Some(ago) = text.strip_suffix("ago") {
        let back = duration(ago.trim()).map_err(|_| bad())?;
        jiff::Timestamp::now().checked_sub(back).map_err(|_| bad())?
    } else if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        stamp
    } else {
        let local: civil::DateTime = text.parse().map_err(|_| bad())?;
        local.to_zoned(jiff::tz::TimeZone::system()).map_err(|_| bad())?.timestamp()
    };
    i64::try_from(stamp.as_nanosecond()).map(|n| Some(Timestamp(n))).map_err(|_| bad())
}

/// A duration such as `10s`, `24h` or `5 minutes`.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, Failure> {
    let bad = || Failure::usage(format!("{text:?} is not a length of time; write `10s`, `5 minutes`, `24h` or `30d`"));
    let span: Span = text.parse().map_err(|_| bad())?;
    let length =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).or_else(|_| span.to_duration(&Zoned::now()));
    let length = length.map_err(|_| bad())?;
    if length.is_negative() { Err(bad()) } else { Ok(length) }
}

/// A moment for people: local time, with fractions only where there are.
pub(crate) fn show(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(time.0.into()) {
        Ok(stamp) => {
            let zoned = stamp.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
        }
        Err(_) => "?".to_owned(),
    }
}

/// A length of time for people, in nanoseconds: `2h 5m`.
pub(crate) fn length(nanoseconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(nanoseconds / 1_000_000_000))
}

/// A moment for programs: RFC 3339.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(time.0.into()).map_or_else(|_| "?".to_owned(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_by_people() {
        assert_eq!(length(7_445_999_999_999), "2h 4m 5s");
        assert_eq!(length(0), "0s");
    }

    #[test]
    fn times_in_all_their_forms() {
        assert_eq!(parse("latest").unwrap(), None);
        assert_eq!(parse("1970-01-01T00:00:01Z").unwrap(), Some(Timestamp(1_000_000_000)));
        assert!(parse("2026-11-22 10:00:05").unwrap().is_some());
        let ago = parse("90s ago").unwrap().unwrap().0;
        let now = jiff::Timestamp::now().as_nanosecond() as i64;
        assert!((88..=100).contains(&((now - ago) / 1_000_000_000)));
        assert!(parse("5 minutes ago").unwrap().is_some());
        for bad in ["yesterdayish", "", "10", "ago", "-5s ago"] {
            assert_eq!(parse(bad).unwrap_err().status(), 2, "{bad}");
        }
    }
}
