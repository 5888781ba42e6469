//! The gaps of a timeline, in words and for programs.
//!
//! Never knows: what a gap is.

use backstay_format::rows::gap::{Cause, GapRow};
use backstay_format::units::PointNo;
use backstay_vault::Vault;
use backstay_vault::gap::Gaps;
use backstay_vault::rows::{Machine, Point};
use serde_json::{Value, json};

use super::suspend;
use crate::failure::Failure;
use crate::{cause, moment};

/// The gaps of a timeline, by the points that are there.
pub(super) struct Shown(Gaps);

impl Shown {
    pub(super) fn new(gaps: Gaps) -> Shown {
        Shown(gaps)
    }

    pub(super) fn of(vault: &Vault, machine: &Machine) -> Result<Shown, Failure> {
        Ok(Shown(vault.gaps(machine)?))
    }

    /// Those between a point and the one before it; points that were dropped since do not count.
    pub(super) fn before(&self, point: PointNo, previous: Option<PointNo>) -> impl Iterator<Item = &GapRow> {
        let inside = move |number: PointNo| number <= point && previous.is_none_or(|previous| number > previous);
        self.0.closed.iter().filter(move |(number, _)| inside(*number)).map(|(_, gap)| gap)
    }

    /// The one after the newest point, if it is one by now.
    pub(super) fn open(&self) -> Option<&GapRow> {
        self.0.open.as_ref()
    }

    /// What a list of machines says of it, in a few words.
    pub(super) fn state(&self) -> String {
        match (&self.0.suspended, &self.0.open) {
            (Some(row), _) => format!("suspended until {}", moment::show(row.until)),
            (None, Some(gap)) => format!("no point for {}", length(gap)),
            (None, None) => String::new(),
        }
    }

    /// What programs are told of a machine.
    pub(super) fn machine_json(&self) -> (Value, Value) {
        (json!(self.0.suspended.as_ref().map(suspend::described)), json!(self.0.open.as_ref().map(open_json)))
    }

    /// What programs are told of a point: the gaps before it, and the one after it.
    pub(super) fn point_json(&self, point: &Point, previous: Option<PointNo>, is_newest: bool) -> (Value, Value) {
        let before: Vec<Value> = self.before(point.number, previous).map(closed_json).collect();
        (json!(before), json!(self.open().filter(|_| is_newest).map(open_json)))
    }

    /// A line of a table of points.
    pub(super) fn line(gap: &GapRow) -> Vec<String> {
        let nothing = String::new;
        vec!["-".to_owned(), moment::show(gap.from), format!("gap of {}", length(gap)), nothing(), nothing(), why(gap)]
    }
}

/// How long it lasts, in words.
pub(super) fn length(gap: &GapRow) -> String {
    moment::length(gap.to.0.saturating_sub(gap.from.0))
}

/// Why, in words.
pub(super) fn why(gap: &GapRow) -> String {
    gap.causes.iter().map(cause::words).collect::<Vec<_>>().join("; then ")
}

fn closed_json(gap: &GapRow) -> Value {
    json!({
        "from": moment::rfc3339(gap.from),
        "to": moment::rfc3339(gap.to),
        "causes": gap.causes.iter().map(cause_json).collect::<Vec<_>>(),
    })
}

/// It has no end yet.
fn open_json(gap: &GapRow) -> Value {
    let mut value = closed_json(gap);
    value["to"] = Value::Null;
    value
}

fn cause_json(cause: &Cause) -> Value {
    json!({ "since": moment::rfc3339(cause.since), "why": backstay_timeline::gap::word(cause.why), "text": cause.text })
}
