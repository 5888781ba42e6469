//! Rows of the ledger against each other.
//!
//! Never knows: what packs hold.

use std::collections::BTreeMap;

use crate::bytes::{Id, hex};
use crate::reader::Reader;
use crate::report::{Kind, Report};

pub(super) fn check(reader: &Reader, report: &mut Report) {
    let catalog = &reader.catalog;
    for (key, fault) in &catalog.bad {
        report.find(Kind::Row, format!("ledger, row {}", hex(key)), fault);
    }
    report.seen.rows += catalog.bad.len() as u64
        + (catalog.machines.len() + catalog.names.len() + catalog.points.len() + catalog.spans.len()) as u64
        + (catalog.packs.len() + catalog.refers.len() + catalog.garbage.len() + catalog.banned.len()) as u64
        + (catalog.intervals.len() + catalog.suspensions.len() + catalog.gaps.len()) as u64;
    names(reader, report);
    machines(reader, report);
    gaps(reader, report);
    places(reader, report);
    owners(reader, report);
}

/// Rows `n` and machines' names, both ways.
fn names(reader: &Reader, report: &mut Report) {
    let catalog = &reader.catalog;
    for (name, id) in &catalog.names {
        if catalog.machines.get(id).is_none_or(|machine| machine.name != *name) {
            report.find(Kind::Row, format!("name {name:?}"), format!("machine {id} is not there, or called otherwise"));
        }
    }
    for (id, machine) in &catalog.machines {
        if catalog.names.get(&machine.name) != Some(id) {
            report.find(Kind::Row, format!("machine {id}"), format!("no row finds it by its name {:?}", machine.name));
        }
    }
}

/// Numbers are below the machine's next ones.
fn machines(reader: &Reader, report: &mut Report) {
    let catalog = &reader.catalog;
    for (&(id, number), point) in &catalog.points {
        let place = format!("point {number} of machine {id}");
        let Some(machine) = catalog.machines.get(&id) else {
            report.find(Kind::Row, place, "the machine has no row");
            continue;
        };
        if number >= machine.next_point {
            report.find(Kind::Row, &place, format!("the machine's next point is {}", machine.next_point));
        }
        for disk in point.disks.iter().filter(|disk| disk.number >= machine.next_disk) {
            let text = format!("disk {}, but the machine's next disk is {}", disk.number, machine.next_disk);
            report.find(Kind::Row, &place, text);
        }
    }
    for key in catalog.spans.keys() {
        match catalog.machines.get(&key.machine) {
            None => report.find(Kind::Row, key, "the machine has no row"),
            Some(machine) if key.to >= machine.next_point => {
                report.find(Kind::Row, key, format!("the machine's next point is {}", machine.next_point));
            }
            Some(_) => {}
        }
    }
}

/// Rows `e`, `q` and `a` are of machines that are there, gaps of numbers that were given.
fn gaps(reader: &Reader, report: &mut Report) {
    let catalog = &reader.catalog;
    let of = catalog.intervals.keys().chain(catalog.suspensions.keys());
    for id in of.filter(|id| !catalog.machines.contains_key(id)) {
        report.find(Kind::Row, format!("machine {id}"), "something is said of when it has points, but it has no row");
    }
    for &(id, number) in catalog.gaps.keys() {
        if catalog.machines.get(&id).is_none_or(|machine| number >= machine.next_point) {
            report.find(
                Kind::Row,
                format!("gap of machine {id}"),
                format!("it is ended by point {number}, which never was"),
            );
        }
    }
}

/// Packs do not overlap in their objects, no object is banned, each has a key.
fn places(reader: &Reader, report: &mut Report) {
    let mut objects: BTreeMap<Id, Vec<(u64, u64, Id)>> = BTreeMap::new();
    for (&pack, place) in &reader.catalog.packs {
        objects.entry(place.object).or_default().push((place.offset, place.length, pack));
        if reader.catalog.banned.contains(&place.object) {
            report.find(Kind::Row, format!("pack {pack}"), format!("its object {} is banned", place.object));
        }
        if !reader.packs.keys.contains_key(&pack) {
            report.find(Kind::Key, format!("pack {pack}"), "it has no data key");
        }
    }
    for packs in objects.values_mut() {
        packs.sort_unstable();
        for pair in packs.windows(2) {
            let [(offset, length, one), (next, _, other)] = *pair else {
                continue;
            };
            if offset + length > next {
                report.find(Kind::Row, format!("pack {other}"), format!("it overlaps pack {one} in their object"));
            }
        }
    }
}

/// Rows `r` belong to spans that are there; what they name has a row `k`.
fn owners(reader: &Reader, report: &mut Report) {
    for (pack, span) in &reader.catalog.refers {
        if !reader.catalog.spans.contains_key(span) {
            report.find(Kind::Reference, span, format!("a row says that it refers to pack {pack}, but it has no row"));
        }
        if !reader.catalog.packs.contains_key(pack) {
            report.find(Kind::Reference, span, format!("it refers to pack {pack}, which has no row"));
        }
    }
}
