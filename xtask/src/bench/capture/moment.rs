//! Moments as `backstay --json` writes them, as seconds since 1970.
//!
//! Never knows: what happened then.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 now.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Seconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.fraction]Z`.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|field| field.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':').map(|field| field.parse::<f64>().ok());
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
    // Days since 1970, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(days as f64 * 86_400.0 + hours * 3600.0 + minutes * 60.0 + seconds)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn known_moments() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(seconds("2000-02-29T12:00:00.5Z"), Some(951_825_600.5));
        assert_eq!(seconds("2026-11-22T18:45:00Z"), Some(1_795_373_100.0));
        assert_eq!(seconds("2026-11-22 18:45:00"), None);
    }
}
