//! Answers of a server as what they are about: points, gaps, machines.
//!
//! Never knows: how they are shown.

use backstay_format::rows::gap::{Cause, GapRow, SuspensionRow, Why};
use backstay_format::rows::{Consistency, DiskAt, Exclusion, PointRow};
use backstay_format::units::{DiskNo, PointNo, Timestamp};
use backstay_timeline::gap::word;
use backstay_vault::gap::Gaps;
use backstay_vault::rows::Point;
use serde_json::Value;

use crate::failure::Failure;

/// A machine, at a glance.
pub(crate) struct Glance {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) points: u64,
    pub(crate) newest: Option<Timestamp>,
    pub(crate) disk_bytes: u64,
    pub(crate) gaps: Gaps,
}

fn lacking(what: &str) -> Failure {
    Failure::new(format!("the server answered without {what}: is it of another version?"))
}

/// A number.
pub(crate) fn number(value: &Value, name: &str) -> Result<u64, Failure> {
    value[name].as_u64().ok_or_else(|| lacking(name))
}

/// A text.
pub(crate) fn text(value: &Value, name: &str) -> Result<String, Failure> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| lacking(name))
}

/// A moment.
pub(crate) fn time(value: &Value, name: &str) -> Result<Timestamp, Failure> {
    let at = value[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let at = at.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    at.map(Timestamp).ok_or_else(|| lacking(name))
}

fn list<'v>(value: &'v Value, name: &str) -> Result<&'v Vec<Value>, Failure> {
    value.as_array().ok_or_else(|| lacking(name))
}

/// A point.
pub(crate) fn point(value: &Value) -> Result<Point, Failure> {
    let disks = list(&value["disks"], "disks")?.iter().map(disk).collect::<Result<_, _>>()?;
    let still = value["consistent"].as_bool().ok_or_else(|| lacking("consistent"))?;
    Ok(Point {
        number: PointNo(number(value, "point")?),
        row: PointRow {
            time: time(value, "time")?,
            started: time(value, "started")?,
            committed: time(value, "committed")?,
            consistency: if still { Consistency::Still } else { Consistency::Fuzzy },
            note: text(value, "note")?,
            disks,
            read: number(value, "read_bytes")?,
            changed: number(value, "changed_pages")?,
            stored: number(value, "stored_bytes")?,
            // Servers of before do not tell it.
            held: value["frozen_ms"].as_f64().map_or(0, |ms| (ms * 1e6).round() as u64),
        },
    })
}

fn disk(value: &Value) -> Result<DiskAt, Failure> {
    let small = |name: &str| number(value, name).and_then(|n| u32::try_from(n).map_err(|_| lacking(name)));
    let exclusion = |value: &Value| Ok(Exclusion { rule: text(value, "rule")?, bytes: number(value, "bytes")? });
    Ok(DiskAt {
        disk: DiskNo(small("number")?),
        name: text(value, "disk")?,
        source: text(value, "source")?,
        size: number(value, "bytes")?,
        sector: small("sector_bytes")?,
        unreadable: number(value, "unreadable_pages")?,
        absent: number(value, "absent_pages")?,
        excluded: number(value, "excluded_pages")?,
        stamp: Vec::new(),
        exclusions: list(&value["excluded"], "excluded")?.iter().map(exclusion).collect::<Result<_, Failure>>()?,
    })
}

/// The gaps of a timeline: those that ended, and one that lasts.
pub(crate) fn gaps(value: &Value) -> Result<Gaps, Failure> {
    let mut gaps = Gaps::default();
    for value in list(value, "gaps")? {
        match value["point"].as_u64() {
            Some(number) => gaps.closed.push((PointNo(number), gap(value)?)),
            None => gaps.open = Some(gap(value)?),
        }
    }
    Ok(gaps)
}

/// One that lasts ends now.
fn gap(value: &Value) -> Result<GapRow, Failure> {
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    let to = if value["to"].is_null() { Timestamp(now) } else { time(value, "to")? };
    let cause = |value: &Value| {
        Ok(Cause { since: time(value, "since")?, why: why(&text(value, "why")?), text: text(value, "text")? })
    };
    let causes = list(&value["causes"], "causes")?.iter().map(cause).collect::<Result<_, Failure>>()?;
    Ok(GapRow { from: time(value, "from")?, to, causes })
}

/// A reason that a newer server has, and this program does not know, is none that is known.
fn why(text: &str) -> Why {
    let all = [Why::Unknown, Why::Suspended, Why::Busy, Why::Store, Why::Rescan, Why::Slow, Why::Clock, Why::Failed];
    all.into_iter().find(|why| word(*why) == text).unwrap_or(Why::Unknown)
}

/// Machines, by name.
pub(crate) fn machines(value: &Value) -> Result<Vec<Glance>, Failure> {
    let mut machines = list(value, "machines")?.iter().map(glance).collect::<Result<Vec<_>, _>>()?;
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(machines)
}

fn glance(value: &Value) -> Result<Glance, Failure> {
    let there = |name: &str| !value[name].is_null();
    let suspended = there("suspended").then(|| suspension(&value["suspended"])).transpose()?;
    let open = there("gap").then(|| gap(&value["gap"])).transpose()?;
    Ok(Glance {
        name: text(value, "name")?,
        id: value["id"].as_str().map(str::to_owned),
        points: number(value, "points")?,
        newest: there("newest").then(|| time(value, "newest")).transpose()?,
        disk_bytes: number(value, "disk_bytes")?,
        gaps: Gaps { closed: Vec::new(), open, suspended },
    })
}

/// A suspension.
pub(crate) fn suspension(value: &Value) -> Result<SuspensionRow, Failure> {
    Ok(SuspensionRow { since: time(value, "since")?, until: time(value, "until")?, reason: text(value, "reason")? })
}
