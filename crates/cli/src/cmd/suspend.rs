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
    let length = u64::try_from(moment::duration(&args.max)?.as_nanos()).unwrap_or(u64::MAX);
    if length == 0 {
        return Err(Failure::usage(format!("--max {} is no time; a suspension ends by itself after it", args.max)));
    }
    let reason = args.reason.trim();
    if reason.is_empty() || reason.len() > WORDS || reason.chars().any(char::is_control) {
        return Err(Failure::usage(format!("--reason is one line of at most {WORDS} bytes, and not empty")));
    }
    let row = store::open(common)?.suspend(&args.machine, reason, length)?;
    match common.json {
        true => output::json(&json!({ "machine": args.machine, "suspended": described(&row) })),
        false => say!(
            "{} is suspended until {}; `backstay resume {}` ends it earlier",
            args.machine,
            moment::show(row.until),
            args.machine
        ),
    }
}

pub(super) fn resume(common: &Common, machine: &str) -> Result<(), Failure> {
    let ended = store::open(common)?.resume(machine)?;
    match (common.json, ended) {
        (true, ended) => output::json(&json!({ "machine": machine, "was_suspended": ended.as_ref().map(described) })),
        (false, Some(_)) => say!("{machine} is not suspended any more"),
        (false, None) => say!("{machine} was not suspended"),
    }
}

/// A suspension for programs.
pub(super) fn described(row: &SuspensionRow) -> Value {
    json!({ "since": moment::rfc3339(row.since), "until": moment::rfc3339(row.until), "reason": row.reason })
}
