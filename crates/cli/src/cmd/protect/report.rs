//! What `protect` says of each point, and of each that there is not.
//!
//! Never knows: how points are made.

use std::time::Duration;

use backstay_capture::point::Stillness;
use backstay_format::rows::Consistency;
use backstay_format::rows::gap::Why;
use backstay_vault::protect::Made;
use serde_json::json;

use crate::args::Common;
use crate::failure::Failure;
use crate::moment;
use crate::output::{self, note, say, size};

/// A point was made.
pub(super) fn made(common: &Common, made: &Made, took: Duration, still: Option<&Stillness>) -> Result<(), Failure> {
    let row = &made.point.row;
    let unreadable: u64 = row.disks.iter().map(|d| d.unreadable).sum();
    let excluded: u64 = row.disks.iter().map(|d| d.excluded).sum();
    if common.json {
        return output::json(&json!({
            "machine": made.machine.row.name,
            "point": made.point.number.0,
            "time": moment::rfc3339(row.time),
            "consistent": row.consistency == Consistency::Still,
            "read_bytes": row.read,
            "changed_pages": row.changed,
            "stored_bytes": row.stored,
            "unreadable_pages": unreadable,
            "excluded_pages": excluded,
            "started_over": made.started_over,
            "took_ms": took.as_secs_f64() * 1000.0,
            "frozen_ms": still.map(|still| still.held.as_secs_f64() * 1000.0),
            "read_while_frozen_bytes": still.map(|still| still.residue),
        }));
    }
    let left_out = if excluded == 0 { String::new() } else { format!(", {} excluded", size(excluded * 4096)) };
    let held = still.map(|still| format!(", held still for {} ms", still.held.as_millis())).unwrap_or_default();
    say!(
        "{}: point {} of {}: {} read, {} changed, {} stored{left_out}{held}",
        made.machine.row.name,
        made.point.number.0,
        moment::show(row.time),
        size(row.read),
        size(row.changed * 4096),
        size(row.stored),
    )?;
    if made.started_over {
        let what = "the map of the point before is damaged, so everything was read and this point does not rest on it";
        note!("note: {what}; `backstay check` says what is lost");
    }
    if row.consistency == Consistency::Fuzzy {
        let why = match still {
            Some(_) => "something wrote to the disks although their file systems were held still",
            None => "the source was mounted or written while it was read",
        };
        note!("note: {why}, so this point is fuzzy: parts of it may be of different times");
    }
    if unreadable > 0 {
        note!("note: {unreadable} pages of the source could not be read; the point names them");
    }
    Ok(())
}

/// There is no point this time.
pub(super) fn missed(common: &Common, machine: &str, why: Why, text: &str) -> Result<(), Failure> {
    note!("backstay: no point this time: {text}");
    match common.json {
        true => output::json(
            &json!({ "machine": machine, "missed": { "why": backstay_timeline::gap::word(why), "text": text } }),
        ),
        false => Ok(()),
    }
}
