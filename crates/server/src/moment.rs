//! Times as the API says them.
//!
//! Never knows: what happened then.

use backstay_format::units::Timestamp;

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// As RFC 3339. Those that no calendar has are told as the nearest one it does.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(at.0.into()).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// From RFC 3339.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp)
}

/// So many seconds later.
pub(crate) fn later(at: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(at.0.saturating_add_unsigned(seconds.saturating_mul(SECOND as u64)))
}
