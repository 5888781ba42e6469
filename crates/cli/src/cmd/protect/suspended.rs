//! A suspension as a process sees it that lives through it: it is told when it begins and ends, and ends in any case.
//!
//! The vault says until when it lasts, by a clock that may be another's and that people may set. So it is measured, too, by one
//! that nobody sets, from when it was first seen: it never lasts for longer than it was meant to.
//!
//! Never knows: what is suspended.

use std::time::{Duration, Instant};

use backstay_format::rows::gap::SuspensionRow;
use backstay_timeline::gap::length;
use serde_json::json;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{self, note};
use crate::target::Target;
use crate::{cmd, moment};

/// The suspension that was seen last, and when it was first seen.
#[derive(Default)]
pub(super) struct Suspended(Option<(SuspensionRow, Instant)>);

impl Suspended {
    /// Whether points of a machine are suspended now. Should the store not say, what it said last holds.
    pub(super) fn look(&mut self, common: &Common, target: &dyn Target, machine: &str) -> Result<bool, Failure> {
        let Ok(found) = target.suspension(machine) else {
            return Ok(self.0.as_ref().is_some_and(|(row, since)| !is_over(row, *since)));
        };
        match (found, &self.0) {
            (None, None) => Ok(false),
            (None, Some(_)) => {
                self.0 = None;
                note!("{machine} is not suspended any more");
                Ok(false)
            }
            (Some(row), Some((seen, since))) if row == *seen => {
                let over = is_over(&row, *since);
                if over {
                    // For everybody else, too.
                    target.suspension_is_over(machine);
                }
                Ok(!over)
            }
            (Some(row), _) => {
                tell(common, machine, &row)?;
                self.0 = Some((row, Instant::now()));
                Ok(true)
            }
        }
    }
}

fn is_over(row: &SuspensionRow, since: Instant) -> bool {
    since.elapsed() >= Duration::from_nanos(length(row))
}

fn tell(common: &Common, machine: &str, row: &SuspensionRow) -> Result<(), Failure> {
    note!("{machine} is suspended until {}: {}; no points are made until then", moment::show(row.until), row.reason);
    match common.json {
        true => output::json(&json!({ "machine": machine, "suspended": cmd::suspend::described(row) })),
        false => Ok(()),
    }
}
