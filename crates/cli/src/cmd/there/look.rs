//! Which point, disk and partition of a server's are meant, and `show`.
//!
//! Never knows: what is done with them.

use backstay_format::units::PointNo;
use backstay_vault::rows::Point;
use serde_json::Value;

use crate::args::{At, Common};
use crate::cmd::gaps::Shown;
use crate::cmd::list::{OnDisk, OnPart, ToShow, tell_point};
use crate::failure::Failure;
use crate::moment;
use crate::output::note;
use crate::remote::{Need, Remote, gaps, number, point, text};
use crate::spec::Spec;

/// What was meant on the command line, found.
pub(super) struct Found {
    pub(super) spec: Spec,
    pub(super) point: Point,
}

/// Finds the point, and says on standard error which it is.
pub(super) fn find(remote: &Remote, at: &At) -> Result<Found, Failure> {
    let (spec, time) = (Spec::parse(&at.machine)?, moment::parse(&at.at)?);
    let mut query = vec![("limit", "1".to_owned())];
    query.extend(time.map(|time| ("to", moment::rfc3339(time))));
    let page = points(remote, &spec.machine, &query)?;
    let Some(point) = page.into_iter().next() else {
        let name = &spec.machine;
        let any = time.is_some() && !points(remote, name, &[("limit", "1".to_owned())])?.is_empty();
        return Err(Failure::new(match any {
            true => format!("machine {name} has no point that is not later; `backstay points` lists them"),
            false => format!("machine {name} has no points yet; `backstay protect` makes them"),
        }));
    };
    note!("{} at {} (point {})", spec.machine, moment::show(point.row.time), point.number.0);
    Ok(Found { spec, point })
}

/// A page of points.
pub(super) fn points(remote: &Remote, machine: &str, query: &[(&str, String)]) -> Result<Vec<Point>, Failure> {
    let page = remote.get(Need::See, &["machines", machine, "points"], query)?;
    page["points"].as_array().into_iter().flatten().map(point).collect()
}

impl Found {
    /// The path of something of the point.
    pub(super) fn path<'p>(&'p self, number: &'p str, rest: &[&'p str]) -> Vec<&'p str> {
        [&["machines", &self.spec.machine, "points", number], rest].concat()
    }

    /// The number of the point, as it is written in paths.
    pub(super) fn number(&self) -> String {
        self.point.number.0.to_string()
    }

    /// The disk that is meant: the one that is named, or the only one.
    pub(super) fn disk(&self) -> Result<&str, Failure> {
        let machine = &self.spec.machine;
        let all = || {
            let names = self.point.row.disks.iter().map(|disk| format!("{machine}:{}", disk.name));
            names.collect::<Vec<_>>().join(", ")
        };
        match (&self.spec.disk, &self.point.row.disks[..]) {
            (Some(name), disks) => {
                disks.iter().find(|disk| disk.name == *name).map(|disk| disk.name.as_str()).ok_or_else(|| {
                    Failure::new(format!("machine {machine} has no disk {name} at that point; it has {}", all()))
                })
            }
            (None, [one]) => Ok(&one.name),
            (None, _) => Err(Failure::usage(format!("{machine} has several disks; name one: {}", all()))),
        }
    }

    /// What is on the disks that are meant.
    pub(super) fn contents(&self, remote: &Remote) -> Result<Vec<There>, Failure> {
        if self.spec.disk.is_some() {
            self.disk()?;
        }
        let number = self.number();
        let disks = remote.get(Need::Read, &self.path(&number, &["disks"]), &[])?;
        let mut all = Vec::new();
        for disk in disks.as_array().into_iter().flatten() {
            let name = text(disk, "disk")?;
            if self.spec.disk.as_deref().is_some_and(|meant| meant != name) {
                continue;
            }
            let parts = disk["parts"].as_array().into_iter().flatten().map(part);
            let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
            if let Some(number) = self.spec.partition {
                parts.retain(|part| part.at.partition == Some(number));
                if parts.is_empty() {
                    let what = format!("disk {name} has no partition {number}; `backstay show` lists what it has");
                    return Err(Failure::usage(what));
                }
            }
            all.push(There { disk: name, parts });
        }
        Ok(all)
    }
}

/// What is on a disk.
pub(super) struct There {
    pub(super) disk: String,
    pub(super) parts: Vec<PartThere>,
}

/// What is in a part of it.
pub(super) struct PartThere {
    pub(super) at: OnPart,
    /// Its files can be looked into.
    pub(super) has_files: bool,
}

fn part(value: &Value) -> Result<PartThere, Failure> {
    let partition = value["partition"].as_u64().and_then(|number| u32::try_from(number).ok());
    Ok(PartThere {
        at: OnPart {
            partition,
            offset: number(value, "offset")?,
            bytes: number(value, "bytes")?,
            used: number(value, "used_bytes")?,
            kind: text(value, "kind")?,
            doubt: value["doubt"].as_str().map(str::to_owned),
        },
        has_files: value["has_files"] == true,
    })
}

pub(super) fn show(common: &Common, remote: &Remote, at: &At) -> Result<(), Failure> {
    let found = find(remote, at)?;
    if found.spec.disk.is_some() {
        found.disk()?;
    }
    let contents = match found.contents(remote) {
        // Who runs the server need not be one who may look into points.
        Err(failure) if failure.is_refusal() => {
            note!("note: what is on the disks is not shown: {failure}");
            None
        }
        contents => Some(contents?.into_iter().map(|disk| on_disk(&found.point, disk)).collect()),
    };
    let machine = &found.spec.machine;
    let behind = [("limit", "1".to_owned()), ("cursor", found.number())];
    let previous: Option<PointNo> = points(remote, machine, &behind)?.first().map(|point| point.number);
    let newest = points(remote, machine, &[("limit", "1".to_owned())])?;
    let all = gaps(&remote.get(Need::See, &["machines", machine, "gaps"], &[])?)?;
    tell_point(
        common,
        &ToShow {
            spec: &found.spec,
            point: &found.point,
            previous,
            is_newest: newest.first().is_some_and(|newest| newest.number == found.point.number),
            gaps: Shown::new(all),
            contents,
        },
    )
}

fn on_disk(point: &Point, there: There) -> OnDisk {
    let known = point.row.disks.iter().find(|disk| disk.name == there.disk);
    OnDisk {
        bytes: known.map_or(0, |disk| disk.size),
        source: known.map_or_else(String::new, |disk| disk.source.clone()),
        name: there.disk,
        parts: there.parts.into_iter().map(|part| part.at).collect(),
    }
}
