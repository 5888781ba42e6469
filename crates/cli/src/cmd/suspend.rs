//! `backstay suspend` and `resume`.
//!
//! Never knows: who makes points, or where.

use backstay_format::rows::gap::SuspensionRow;
use serde_json::{Value, json};

use crate::args::{Common, Suspend};
use crate::failure::Failure;
use crate::output::{self, say};
use crate::{moment, store};

/// Bytes of a reason.
const WORDS: usize = 300;

pub(super) fn suspend(common: &Common, args: &Suspend) -> Result<(), Failure> {
    let (reason, length) = (reason_of(args)?, length_of(args)?);
    let row = store::open(common)?.suspend(&args.machine, reason, length)?;
    tell_suspended(common, &args.machine, &row)
}

/// How long it lasts at most, in nanoseconds.
pub(super) fn length_of(args: &Suspend) -> Result<u64, Failure> {
    match u64::try_from(moment::duration(&args.max)?.as_nanos()).unwrap_or(u64::MAX) {
        0 => Err(Failure::usage(format!("--max {} is no time; a suspension ends by itself after it", args.max))),
        length => Ok(length),
    }
}

/// Why.
pub(super) fn reason_of(args: &Suspend) -> Result<&str, Failure> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.len() > WORDS || reason.chars().any(char::is_control) {
        return Err(Failure::usage(format!("--reason is one line of at most {WORDS} bytes, and not empty")));
    }
    Ok(reason)
}

/// Tells of a suspension that was made.
pub(super) fn tell_suspended(common: &Common, machine: &str, row: &SuspensionRow) -> Result<(), Failure> {
    match common.json {
        true => output::json(&json!({ "machine": machine, "suspended": described(row) })),
        false => {
            say!(
                "{machine} is suspended until {}; `backstay resume {machine}` ends it earlier",
                moment::show(row.until)
            )
        }
    }
}

pub(super) fn resume(common: &Common, machine: &str) -> Result<(), Failure> {
    let ended = store::open(common)?.resume(machine)?;
    tell_resumed(common, machine, ended.as_ref().map(described))
}

/// Tells of a suspension that was ended, if there was one.
pub(super) fn tell_resumed(common: &Common, machine: &str, ended: Option<Value>) -> Result<(), Failure> {
    match (common.json, ended) {
        (true, ended) => output::json(&json!({ "machine": machine, "was_suspended": ended })),
        (false, Some(_)) => say!("{machine} is not suspended any more"),
        (false, None) => say!("{machine} was not suspended"),
    }
}

/// A suspension for programs.
pub(super) fn described(row: &SuspensionRow) -> Value {
    json!({ "since": moment::rfc3339(row.since), "until": moment::rfc3339(row.until), "reason": row.reason })
}
