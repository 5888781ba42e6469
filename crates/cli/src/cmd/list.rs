//! `backstay machines`, `points` and `show`.
//!
//! Never knows: how rows are kept.

use backstay_format::rows::{Consistency, PointRow};
use backstay_format::units::PointNo;
use backstay_items::disk::allocated;
use backstay_vault::Vault;
use backstay_vault::rows::Point;
use serde_json::{Value, json};

use super::gaps::{self, Shown};
use crate::args::{At, Common};
use crate::failure::Failure;
use crate::output::{self, say, size};
use crate::{moment, spec};

pub(super) fn machines(common: &Common, vault: &Vault) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for machine in vault.machines()? {
        let points = vault.points(machine.id)?;
        let newest = points.last().map(|p| p.row.time);
        let bytes = points.last().map_or(0, |p| p.row.disks.iter().map(|d| d.size).sum());
        let gaps = Shown::of(vault, &machine)?;
        let (suspended, gap) = gaps.machine_json();
        values.push(json!({
            "machine": machine.row.name,
            "id": machine.id.to_string(),
            "points": points.len(),
            "newest": newest.map(moment::rfc3339),
            "disk_bytes": bytes,
            "suspended": suspended,
            "gap": gap,
        }));
        let newest = newest.map_or("none".to_owned(), moment::show);
        rows.push(vec![machine.row.name, points.len().to_string(), newest, size(bytes), gaps.state()]);
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

pub(super) fn points(common: &Common, vault: &Vault, machine: &str) -> Result<(), Failure> {
    let machine = vault.machine(machine)?;
    let points = vault.points(machine.id)?;
    let gaps = Shown::of(vault, &machine)?;
    let previous = |at: usize| at.checked_sub(1).map(|before| points[before].number);
    if common.json {
        let one = |(at, point)| point_json(point, &gaps, previous(at), at + 1 == points.len());
        return output::json(&points.iter().enumerate().map(one).collect::<Vec<_>>());
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
    for (at, point) in points.iter().enumerate() {
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
        "disks": row.disks.iter().map(disk).collect::<Vec<_>>(),
        "gaps_before": before,
        "gap_after": after,
    })
}

pub(super) fn show(common: &Common, vault: &Vault, at: &At) -> Result<(), Failure> {
    let found = spec::find(vault, at)?;
    let mut rows = Vec::new();
    let mut disks = Vec::new();
    for disk in spec::disks(vault, &found)? {
        let info = disk.info().clone();
        // Of a partition that is not there nothing can be shown.
        found.spec.partition.map(|number| spec::partition(&disk, number)).transpose()?;
        let mut on_it = allocated(&*disk);
        on_it.parts.retain(|part| found.spec.partition.is_none() || part.index == found.spec.partition);
        rows.push(vec![info.name.clone(), String::new(), size(info.size), String::new(), info.source.clone()]);
        let mut parts = Vec::new();
        for part in &on_it.parts {
            let len = part.place.end - part.place.start;
            let number = part.index.map_or("whole".to_owned(), |n| format!("p{n}"));
            rows.push(vec![String::new(), number, size(len), size(part.used), part.kind.to_owned()]);
            parts.push(json!({
                "partition": part.index, "offset": part.place.start, "bytes": len, "used_bytes": part.used,
                "kind": part.kind, "doubt": part.doubt,
            }));
        }
        disks.push(json!({ "disk": info.name, "parts": parts }));
    }
    let previous = vault.number_before(found.machine.id, found.point.number)?;
    let is_newest = vault.point_at(&found.machine, None)?.number == found.point.number;
    let gaps = Shown::of(vault, &found.machine)?;
    if common.json {
        let mut value = point_json(&found.point, &gaps, previous, is_newest);
        value["machine"] = json!(found.spec.machine);
        value["contents"] = json!(disks);
        return output::json(&value);
    }
    let row = &found.point.row;
    say!("machine  {}", found.spec.machine)?;
    say!("point    {} of {}", found.point.number.0, moment::show(row.time))?;
    say!("state    {}", state(row))?;
    say!("changed  {}, stored {}", size(row.changed * 4096), size(row.stored))?;
    if !row.note.is_empty() {
        say!("note     {}", row.note)?;
    }
    for gap in gaps.before(found.point.number, previous) {
        say!("before   a gap of {} since {}: {}", gaps::length(gap), moment::show(gap.from), gaps::why(gap))?;
    }
    if let Some(gap) = gaps.open().filter(|_| is_newest) {
        say!("after    a gap, {} long by now: {}", gaps::length(gap), gaps::why(gap))?;
    }
    output::table(&["DISK", "PART", "SIZE", "USED", "WHAT"], rows, "no disks")?;
    let is_meant = |name: &str| found.spec.disk.as_deref().is_none_or(|disk| disk == name);
    for disk in row.disks.iter().filter(|d| is_meant(&d.name)) {
        for exclusion in &disk.exclusions {
            say!("excluded from {}: {} by {}", disk.name, size(exclusion.bytes), exclusion.rule)?;
        }
    }
    Ok(())
}
