//! A limit on how fast disks are read, for work that must not get in the way of a machine.
//!
//! Never knows: what is read, or why.

use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstay_env::real::system::SystemClock;
use backstay_env::time::Clock as _;
use backstay_env::volume::{Piece, Span, Volume};
use backstay_format::units::Timestamp;

use crate::args::How;
use crate::hours::Hours;

/// How long who waits does not look whether it should go on waiting.
const GLANCE: Duration = Duration::from_millis(100);

/// Bytes a second, as written: `50MiB/s`, `50M`, `800KiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BytesPerSecond(u64);

impl FromStr for BytesPerSecond {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write a rate such as 50MiB/s; at least 1MiB/s";
        let plain = text.trim().strip_suffix("/s").unwrap_or(text.trim());
        let digits = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
        let number: u64 = plain[..digits].parse().map_err(|_| wrong)?;
        let unit = match plain[digits..].trim() {
            "" | "B" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            _ => return Err(wrong),
        };
        let bytes = number.checked_mul(unit).ok_or(wrong)?;
        if bytes < 1 << 20 { Err(wrong) } else { Ok(BytesPerSecond(bytes)) }
    }
}

/// A rate at hours of the day: `08:00-18:00=10MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateAt {
    hours: Hours,
    rate: BytesPerSecond,
}

impl FromStr for RateAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (hours, rate) = text.split_once('=').ok_or("write hours and a rate such as 08:00-18:00=10MiB/s")?;
        Ok(RateAt { hours: hours.parse()?, rate: rate.parse()? })
    }
}

/// Lets so many bytes a second pass, of all who read together.
pub(crate) struct Rate {
    usual: Option<BytesPerSecond>,
    at: Vec<RateAt>,
    /// When all that was let pass so far has had its time.
    paid: Mutex<Instant>,
}

impl Rate {
    /// What the command line says; `None`: as fast as can be.
    pub(crate) fn of(how: &How) -> Option<Rate> {
        let some = how.max_rate.is_some() || !how.max_rate_at.is_empty();
        some.then(|| Rate::new(how.max_rate, how.max_rate_at.clone()))
    }

    fn new(usual: Option<BytesPerSecond>, at: Vec<RateAt>) -> Rate {
        Rate { usual, at, paid: Mutex::new(Instant::now()) }
    }

    /// The lowest that holds at a moment.
    fn limit(&self, now: Timestamp) -> Option<BytesPerSecond> {
        let held = self.at.iter().filter(|at| at.hours.hold(now)).map(|at| at.rate);
        held.chain(self.usual).min_by_key(|rate| rate.0)
    }

    /// Waits until these bytes may pass, or `cancel` is set.
    fn wait(&self, bytes: usize, cancel: &AtomicBool) {
        let Some(limit) = self.limit(SystemClock.now()) else { return };
        let begin = self.reserve(bytes, limit, Instant::now());
        loop {
            let left = begin.saturating_duration_since(Instant::now());
            if left.is_zero() || cancel.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(left.min(GLANCE));
        }
    }

    /// When these bytes may pass, which are asked for now. Time in which nobody asked is not made up for.
    fn reserve(&self, bytes: usize, limit: BytesPerSecond, now: Instant) -> Instant {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = now.max(*paid);
        *paid = begin + Duration::from_secs_f64(bytes as f64 / limit.0 as f64);
        begin
    }
}

/// A volume that is read no faster than a rate allows, if there is one.
pub(crate) struct Limited<'a> {
    pub(crate) volume: &'a dyn Volume,
    pub(crate) rate: Option<&'a Rate>,
    /// Nobody waits any more.
    pub(crate) cancel: &'a AtomicBool,
}

impl Volume for Limited<'_> {
    fn size(&self) -> u64 {
        self.volume.size()
    }

    fn sector_size(&self) -> u32 {
        self.volume.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if let Some(rate) = self.rate {
            rate.wait(buf.len(), self.cancel);
        }
        self.volume.read_at(offset, buf)
    }

    fn read_many(&self, pieces: &mut [Piece<'_>]) {
        if let Some(rate) = self.rate {
            rate.wait(pieces.iter().map(|piece| piece.bytes.len()).sum(), self.cancel);
        }
        self.volume.read_many(pieces);
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        self.volume.spans(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        let bytes = |text: &str| text.parse::<BytesPerSecond>().ok().map(|rate| rate.0);
        assert_eq!(bytes("50MiB/s"), Some(50 << 20));
        assert_eq!(bytes("2G"), Some(2 << 30));
        assert_eq!(bytes(" 1048576 "), Some(1 << 20));
        for bad in ["", "fast", "-5M", "1KiB/s", "5MB/s", "99999999999999G", "5M/h"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_readers_together_keep_to_it() {
        let limit = BytesPerSecond(1 << 20);
        let rate = Rate::new(Some(limit), vec![]);
        let start = Instant::now();
        let after = |bytes, now| rate.reserve(bytes, limit, now) - start;
        let first = after(1 << 20, start);
        assert!(first <= Duration::from_millis(1));
        assert_eq!(after(2 << 20, start), first + Duration::from_secs(1));
        assert_eq!(after(1, start), first + Duration::from_secs(3));
        // After a pause nothing is waited for, and nothing is saved up.
        let later = start + Duration::from_secs(100);
        assert_eq!(after(1 << 20, later), Duration::from_secs(100));
        assert_eq!(after(1, later), Duration::from_secs(101));
    }

    #[test]
    fn who_is_told_to_stop_does_not_wait() {
        let limit = BytesPerSecond(1 << 20);
        let rate = Rate::new(Some(limit), vec![]);
        rate.reserve(usize::MAX >> 20, limit, Instant::now());
        rate.wait(1, &AtomicBool::new(true));
    }

    #[test]
    fn the_lowest_of_the_hour_counts() {
        let at = |text: &str| text.parse::<RateAt>().unwrap();
        let mib = |number: u64| Some(BytesPerSecond(number << 20));
        // Between them, hours that are all of the day.
        let all = |rate: &str| vec![at(&format!("00:00-12:00={rate}")), at(&format!("12:00-00:00={rate}"))];
        let now = SystemClock.now();
        assert_eq!(Rate::new(mib(5), all("9MiB/s")).limit(now), mib(5));
        assert_eq!(Rate::new(mib(50), all("9MiB/s")).limit(now), mib(9));
        assert_eq!(Rate::new(None, all("9MiB/s")).limit(now), mib(9));
        assert_eq!(Rate::new(None, all("9MiB/s")[..0].to_vec()).limit(now), None);
        assert!("08:00=9MiB/s".parse::<RateAt>().is_err() && "08:00-09:00=9".parse::<RateAt>().is_err());
    }
}
