//! Rows about times without points (rows.md).
//!
//! Never knows: points.

use crate::bytes::{Input, Malformed};

/// A time for which somebody wants no points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Nanoseconds since 1970.
    pub since: i64,
    /// When it ends at the latest.
    pub until: i64,
    /// Why.
    pub reason: String,
}

/// Why there were no points, from some moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Nanoseconds since 1970.
    pub since: i64,
    /// 0 to 7, as the page says.
    pub why: u8,
    /// For people.
    pub text: String,
}

/// A time without points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The moment of the point before.
    pub from: i64,
    /// The moment of the point that ended it.
    pub to: i64,
    /// Why, in the order of time.
    pub causes: Vec<Cause>,
}

pub(super) fn suspension(input: &mut Input<'_>) -> Result<Suspension, Malformed> {
    let row = Suspension { since: input.i64()?, until: input.i64()?, reason: input.text()? };
    in_order(row.since, row.until)?;
    Ok(row)
}

pub(super) fn gap(input: &mut Input<'_>) -> Result<Gap, Malformed> {
    let (from, to) = (input.i64()?, input.i64()?);
    in_order(from, to)?;
    let mut causes: Vec<Cause> = Vec::new();
    for _ in 0..input.count(10)? {
        let cause = Cause { since: input.i64()?, why: input.u8()?, text: input.text()? };
        if cause.why > 7 {
            return Err(Malformed::Value { field: "cause of a gap", value: cause.why.into() });
        }
        if causes.last().is_some_and(|before| before.since > cause.since) {
            return Err(Malformed::Rule("causes of a gap are not in the order of time"));
        }
        causes.push(cause);
    }
    match causes.is_empty() {
        true => Err(Malformed::Rule("a gap has no cause")),
        false => Ok(Gap { from, to, causes }),
    }
}

fn in_order(from: i64, to: i64) -> Result<(), Malformed> {
    if from <= to { Ok(()) } else { Err(Malformed::Rule("a time ends before it begins")) }
}
