//! `backstay machines`, `points` and `show`.
//!
//! Never knows: how rows are kept.

use backstay_format::rows::{Consistency, DiskAt, PointRow};
use backstay_format::units::PointNo;
use backstay_items::{self as items, disk::allocated};
use backstay_vault::points::Choice;
use backstay_vault::rows::Point;
use backstay_vault::{Vault, VaultError};
use serde_json::{Value, json};

use super::gaps::{self, Shown};
use crate::args::{At, Common};
use crate::failure::Failure;
use crate::output::{self, say, size};
use crate::remote::Glance;
use crate::spec::Spec;
use crate::{moment, spec};

pub(super) fn machines(common: &Common, vault: &Vault) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for machine in vault.machines()? {
        let newest = match vault.point_at(&machine, None) {
            Err(VaultError::NoPoint(_)) => None,
            newest => Some(newest?.row),
        };
        seen.push(Glance {
            points: vault.count_points(machine.id)?,
            newest: newest.as_ref().map(|row| row.time),
            disk_bytes: newest.map_or(0, |row| row.disks.iter().map(|disk| disk.size).sum()),
            gaps: vault.gaps(&machine)?,
            id: Some(machine.id.to_string()),
            name: machine.row.name,
        });
    }
    tell_machines(common, seen)
}

/// Tells of machines, wherever they are.
pub(super) fn tell_machines(common: &Common, seen: Vec<Glance>) -> Result<(), Failure> {
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for machine in seen {
        let gaps = Shown::new(machine.gaps);
        let (suspended, gap) = gaps.machine_json();
        values.push(json!({
            "machine": machine.name,
            "id": machine.id,
            "points": machine.points,
            "newest": machine.newest.map(moment::rfc3339),
            "disk_bytes": machine.disk_bytes,
            "suspended": suspended,
            "gap": gap,
        }));
        let newest = machine.newest.map_or("none".to_owned(), moment::show);
        rows.push(vec![machine.name, machine.points.to_string(), newest, size(machine.disk_bytes), gaps.state()]);
    }
    if common.json {
        return output::json(&values);
    }
    output::table(
        &["MACHINE", "POINTS", "NEWEST", "DISKS", "STATE"],
        rows,
        "no machine is protected yet: `backstay protect` does that",
    )
}

pub(super) fn points(common: &Common, vault: &Vault, (machine, limit): (&str, Option<u32>)) -> Result<(), Failure> {
    let machine = vault.machine(machine)?;
    let points = match limit {
        None => vault.points(machine.id)?,
        // One more, to know what is before them.
        Some(limit) => {
            let mut newest = vault.some_points(machine.id, &Choice::newest(limit as usize + 1))?;
            newest.reverse();
            newest
        }
    };
    tell_points(common, &points, limit, &Shown::of(vault, &machine)?)
}

/// Tells of points, oldest first. With a limit, of one more than it there is not told.
pub(super) fn tell_points(common: &Common, points: &[Point], limit: Option<u32>, gaps: &Shown) -> Result<(), Failure> {
    let first = limit.map_or(0, |limit| points.len().saturating_sub(limit as usize));
    let previous = |at: usize| at.checked_sub(1).map(|before| points[before].number);
    let told = || points.iter().enumerate().skip(first);
    if common.json {
        let one = |(at, point)| point_json(point, gaps, previous(at), at + 1 == points.len());
        return output::json(&told().map(one).collect::<Vec<_>>());
    }
    let row = |p: &Point| {
        vec![
            p.number.0.to_string(),
            moment::show(p.row.time),
            state(&p.row),
            size(p.row.changed * 4096),
            size(p.row.stored),
            p.row.note.clone(),
        ]
    };
    let mut rows = Vec::new();
    for (at, point) in told() {
        rows.extend(gaps.before(point.number, previous(at)).map(Shown::line));
        rows.push(row(point));
    }
    rows.extend(gaps.open().map(Shown::line));
    output::table(
        &["POINT", "TIME", "STATE", "CHANGED", "STORED", "NOTE"],
        rows,
        "no points yet: `backstay protect` makes them",
    )
}

/// What a point can be trusted for, in a word or two.
fn state(row: &PointRow) -> String {
    let unreadable: u64 = row.disks.iter().map(|d| d.unreadable).sum();
    let base = match row.consistency {
        Consistency::Still => "consistent",
        Consistency::Fuzzy => "fuzzy",
    };
    if unreadable == 0 { base.to_owned() } else { format!("{base}, {unreadable} pages unreadable") }
}

fn point_json(point: &Point, gaps: &Shown, previous: Option<PointNo>, is_newest: bool) -> Value {
    let (before, after) = gaps.point_json(point, previous, is_newest);
    let row = &point.row;
    let disk = |d: &backstay_format::rows::DiskAt| {
        json!({
            "disk": d.name,
            "source": d.source,
            "bytes": d.size,
            "sector_bytes": d.sector,
            "unreadable_pages": d.unreadable,
            "absent_pages": d.absent,
            "excluded_pages": d.excluded,
            "excluded": d.exclusions.iter().map(|e| json!({ "rule": e.rule, "bytes": e.bytes })).collect::<Vec<_>>(),
        })
    };
    json!({
        "point": point.number.0,
        "time": moment::rfc3339(row.time),
        "started": moment::rfc3339(row.started),
        "committed": moment::rfc3339(row.committed),
        "consistent": row.consistency == Consistency::Still,
        "note": row.note,
        "read_bytes": row.read,
        "changed_pages": row.changed,
        "stored_bytes": row.stored,
        "frozen_ms": (row.held > 0).then(|| row.held as f64 / 1e6),
        "disks": row.disks.iter().map(disk).collect::<Vec<_>>(),
        "gaps_before": before,
        "gap_after": after,
    })
}

/// What lies on a disk.
pub(super) struct OnDisk {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) source: String,
    pub(super) parts: Vec<OnPart>,
}

/// What lies in a partition, or on a whole disk.
pub(super) struct OnPart {
    pub(super) partition: Option<u32>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) used: u64,
    pub(super) kind: String,
    pub(super) doubt: Option<String>,
}

/// What is told of a point.
pub(super) struct ToShow<'s> {
    pub(super) spec: &'s Spec,
    pub(super) point: &'s Point,
    pub(super) previous: Option<PointNo>,
    pub(super) is_newest: bool,
    pub(super) gaps: Shown,
    /// What is on its disks; `None`: that may not be seen.
    pub(super) contents: Option<Vec<OnDisk>>,
}

pub(super) fn show(common: &Common, vault: &Vault, at: &At) -> Result<(), Failure> {
    let found = spec::find(vault, at)?;
    let mut contents = Vec::new();
    for disk in spec::disks(vault, &found)? {
        // Of a partition that is not there nothing can be shown.
        found.spec.partition.map(|number| spec::partition(&disk, number)).transpose()?;
        let mut on_it = allocated(&*disk);
        on_it.parts.retain(|part| found.spec.partition.is_none() || part.index == found.spec.partition);
        let part = |part: items::disk::Part| OnPart {
            partition: part.index,
            offset: part.place.start,
            bytes: part.place.end - part.place.start,
            used: part.used,
            kind: part.kind.to_owned(),
            doubt: part.doubt,
        };
        let info = disk.info();
        contents.push(OnDisk {
            name: info.name.clone(),
            bytes: info.size,
            source: info.source.clone(),
            parts: on_it.parts.into_iter().map(part).collect(),
        });
    }
    tell_point(
        common,
        &ToShow {
            spec: &found.spec,
            point: &found.point,
            previous: vault.number_before(found.machine.id, found.point.number)?,
            is_newest: vault.point_at(&found.machine, None)?.number == found.point.number,
            gaps: Shown::of(vault, &found.machine)?,
            contents: Some(contents),
        },
    )
}

/// Tells of one point.
pub(super) fn tell_point(common: &Common, shown: &ToShow<'_>) -> Result<(), Failure> {
    let ToShow { spec, point, previous, is_newest, gaps, contents } = shown;
    if common.json {
        let mut value = point_json(point, gaps, *previous, *is_newest);
        value["machine"] = json!(spec.machine);
        value["contents"] = json!(contents.as_ref().map(|disks| disks.iter().map(disk_json).collect::<Vec<_>>()));
        return output::json(&value);
    }
    let row = &point.row;
    say!("machine  {}", spec.machine)?;
    say!("point    {} of {}", point.number.0, moment::show(row.time))?;
    say!("state    {}", state(row))?;
    say!("changed  {}, stored {}", size(row.changed * 4096), size(row.stored))?;
    if row.held > 0 {
        say!("frozen   writers were held still for {:.1} ms", row.held as f64 / 1e6)?;
    }
    if !row.note.is_empty() {
        say!("note     {}", row.note)?;
    }
    for gap in gaps.before(point.number, *previous) {
        say!("before   a gap of {} since {}: {}", gaps::length(gap), moment::show(gap.from), gaps::why(gap))?;
    }
    if let Some(gap) = gaps.open().filter(|_| *is_newest) {
        say!("after    a gap, {} long by now: {}", gaps::length(gap), gaps::why(gap))?;
    }
    let is_meant = |name: &str| spec.disk.as_deref().is_none_or(|disk| disk == name);
    let rows = match contents {
        Some(disks) => disks.iter().flat_map(disk_rows).collect(),
        None => row.disks.iter().filter(|disk| is_meant(&disk.name)).map(bare_row).collect(),
    };
    output::table(&["DISK", "PART", "SIZE", "USED", "WHAT"], rows, "no disks")?;
    for disk in row.disks.iter().filter(|d| is_meant(&d.name)) {
        for exclusion in &disk.exclusions {
            say!("excluded from {}: {} by {}", disk.name, size(exclusion.bytes), exclusion.rule)?;
        }
    }
    Ok(())
}

fn disk_json(disk: &OnDisk) -> Value {
    let part = |part: &OnPart| {
        json!({
            "partition": part.partition, "offset": part.offset, "bytes": part.bytes, "used_bytes": part.used,
            "kind": part.kind, "doubt": part.doubt,
        })
    };
    json!({ "disk": disk.name, "parts": disk.parts.iter().map(part).collect::<Vec<_>>() })
}

fn disk_rows(disk: &OnDisk) -> Vec<Vec<String>> {
    let nothing = String::new;
    let mut rows = vec![vec![disk.name.clone(), nothing(), size(disk.bytes), nothing(), disk.source.clone()]];
    for part in &disk.parts {
        let number = part.partition.map_or("whole".to_owned(), |number| format!("p{number}"));
        rows.push(vec![nothing(), number, size(part.bytes), size(part.used), part.kind.clone()]);
    }
    rows
}

/// A disk of which nothing more is known.
fn bare_row(disk: &DiskAt) -> Vec<String> {
    let nothing = String::new;
    vec![disk.name.clone(), nothing(), size(disk.size), nothing(), disk.source.clone()]
}
