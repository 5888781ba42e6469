//! Rows about times without points: how often points were promised, for how long none are wanted, and where there are none.
//!
//! Never knows: when a time is a gap.

use super::VERSION;
use crate::codec::{DecodeError, Input, Output};
use crate::units::Timestamp;

/// How often points of a machine were promised by who made the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalRow {
    /// Nanoseconds from point to point.
    pub every: u64,
}

impl IntervalRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_varint(self.every);
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("interval", VERSION)?;
        let row = IntervalRow { every: input.varint()? };
        input.end()?;
        Ok(row)
    }
}

/// A time for which somebody wants no points of a machine. It stays when it is over, until the gap that it made is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspensionRow {
    /// When it began, by the clock of who asked for it.
    pub since: Timestamp,
    /// When it ends at the latest, by the same clock; not before it began.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

impl SuspensionRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_time(&mut out, self.since);
        put_time(&mut out, self.until);
        out.put_bytes(self.reason.as_bytes());
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("suspension", VERSION)?;
        let row = SuspensionRow { since: time(&mut input)?, until: time(&mut input)?, reason: input.text("reason")? };
        input.end()?;
        ordered(row.since, row.until).map(|()| row)
    }
}

/// Why there were no points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody was there to say.
    Unknown,
    /// Somebody wanted none.
    Suspended,
    /// The disks changed faster than they can be read.
    Busy,
    /// The store could not be reached or written.
    Store,
    /// The disks were compared with the last point first.
    Rescan,
    /// One point took longer to make than was promised from one to the next.
    Slow,
    /// The clock was set; there was no such time.
    Clock,
    /// Something else, in words.
    Failed,
}

const WHYS: [Why; 8] =
    [Why::Unknown, Why::Suspended, Why::Busy, Why::Store, Why::Rescan, Why::Slow, Why::Clock, Why::Failed];

/// A reason, from some moment of a gap on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// From when on.
    pub since: Timestamp,
    /// Why.
    pub why: Why,
    /// More for people; may be empty.
    pub text: String,
}

/// A time for which a timeline has no points. Its key has the number of the point that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    /// The moment of the point before.
    pub from: Timestamp,
    /// The moment of the point that ended it; not before `from`.
    pub to: Timestamp,
    /// Why, in the order of time; at least one.
    pub causes: Vec<Cause>,
}

impl GapRow {
    /// As a row's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_time(&mut out, self.from);
        put_time(&mut out, self.to);
        out.put_varint(self.causes.len() as u64);
        for cause in &self.causes {
            put_time(&mut out, cause.since);
            out.push(WHYS.iter().position(|why| *why == cause.why).unwrap_or(0) as u8);
            out.put_bytes(cause.text.as_bytes());
        }
        out
    }

    /// From a row's value.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(value);
        input.version("gap", VERSION)?;
        let (from, to) = (time(&mut input)?, time(&mut input)?);
        let count = input.count(10)?;
        let causes = (0..count).map(|_| cause(&mut input)).collect::<Result<Vec<_>, _>>()?;
        input.end()?;
        if !causes.is_sorted_by_key(|cause| cause.since) || causes.is_empty() {
            return Err(DecodeError::Invalid("causes of a gap"));
        }
        ordered(from, to).map(|()| GapRow { from, to, causes })
    }
}

fn cause(input: &mut Input<'_>) -> Result<Cause, DecodeError> {
    let since = time(input)?;
    let why = *WHYS.get(usize::from(input.u8()?)).ok_or(DecodeError::Invalid("cause of a gap"))?;
    Ok(Cause { since, why, text: input.text("cause")? })
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.0.to_le_bytes());
}

fn time(input: &mut Input<'_>) -> Result<Timestamp, DecodeError> {
    input.i64().map(Timestamp)
}

fn ordered(from: Timestamp, to: Timestamp) -> Result<(), DecodeError> {
    if from <= to { Ok(()) } else { Err(DecodeError::Invalid("a time that ends before it begins")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_the_page_says() {
        let interval = IntervalRow { every: 10_000_000_000 };
        let golden = [1, 0x80, 0xC8, 0xAF, 0xA0, 0x25];
        assert_eq!((interval.encode().as_slice(), IntervalRow::decode(&golden)), (&golden[..], Ok(interval)));

        let suspension = SuspensionRow { since: Timestamp(1), until: Timestamp(258), reason: "tape".into() };
        let golden =
            [&[1][..], &[1, 0, 0, 0, 0, 0, 0, 0], &[2, 1, 0, 0, 0, 0, 0, 0], &[4, b't', b'a', b'p', b'e']].concat();
        assert_eq!((suspension.encode(), SuspensionRow::decode(&golden)), (golden, Ok(suspension)));

        let cause = |since, why, text: &str| Cause { since: Timestamp(since), why, text: text.into() };
        let causes = vec![cause(3, Why::Unknown, ""), cause(4, Why::Suspended, "t"), cause(4, Why::Failed, "")];
        let gap = GapRow { from: Timestamp(2), to: Timestamp(9), causes };
        let golden = [
            &[1][..],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[9, 0, 0, 0, 0, 0, 0, 0],
            &[3],
            &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0, 0, 0, 0, 0, 1, 1, b't'],
            &[4, 0, 0, 0, 0, 0, 0, 0, 7, 0],
        ]
        .concat();
        assert_eq!((gap.encode(), GapRow::decode(&golden)), (golden.clone(), Ok(gap)));
        (0..golden.len()).for_each(|len| assert!(GapRow::decode(&golden[..len]).is_err(), "{len} bytes"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let gap = |from, to, sinces: &[i64]| {
            let cause = |since: &i64| Cause { since: Timestamp(*since), why: Why::Busy, text: String::new() };
            let causes = sinces.iter().map(cause).collect();
            GapRow::decode(&GapRow { from: Timestamp(from), to: Timestamp(to), causes }.encode())
        };
        assert!(gap(1, 1, &[1, 1]).is_ok());
        assert!(gap(2, 1, &[1]).is_err() && gap(1, 2, &[]).is_err() && gap(1, 5, &[3, 2]).is_err());
        let backwards = SuspensionRow { since: Timestamp(2), until: Timestamp(1), reason: String::new() };
        assert!(SuspensionRow::decode(&backwards.encode()).is_err());
    }
}
