//! `files`, through a server: it reads the file systems, and sends what was asked for.
//!
//! Never knows: how names are shown.

use std::fs;
use std::path::Path;

use backstay_format::units::Timestamp;
use reqwest::Method;
use serde_json::Value;

use super::look::{self, Found};
use crate::args::{Common, Files};
use crate::cmd::files::{Copied, Listed, target_of, tell_copied, tell_found, tell_listed};
use crate::failure::Failure;
use crate::output::note;
use crate::progress::Meter;
use crate::remote::{Need, Remote, number, text, time, unpack};
use crate::stop::Stop;

/// Where in a point, as a server is asked.
type Place = Vec<(&'static str, String)>;

pub(super) fn run(common: &Common, remote: &Remote, command: &Files) -> Result<(), Failure> {
    let at = match command {
        Files::Ls { at, .. } | Files::Find { at, .. } | Files::Get { at, .. } => at,
    };
    let found = look::find(remote, at)?;
    let place = place(remote, &found, &at.machine)?;
    match command {
        Files::Ls { path, .. } => ls(common, remote, (&found, place), path),
        Files::Find { pattern, .. } => find(common, remote, (&found, place), pattern),
        Files::Get { path, to, .. } => get(common, remote, (&found, place), (path, to)),
    }
}

/// The file system that is meant: of the partition that is named, or the only one there is.
fn place(remote: &Remote, found: &Found, named: &str) -> Result<Place, Failure> {
    let of = |disk: &str, partition: Option<u32>| {
        let disk = [("disk", disk.to_owned())].into_iter();
        disk.chain(partition.map(|number| ("partition", number.to_string()))).collect()
    };
    if let Some(number) = found.spec.partition {
        return Ok(of(found.disk()?, Some(number)));
    }
    let mut all: Vec<(String, Place)> = Vec::new();
    for disk in found.contents(remote)? {
        for part in disk.parts.iter().filter(|part| part.has_files) {
            let name = format!("{}:{}", found.spec.machine, disk.disk);
            let name = part.at.partition.map_or_else(|| name.clone(), |number| format!("{name}:{number}"));
            all.push((name, of(&disk.disk, part.at.partition)));
        }
    }
    match all.len() {
        0 => Err(Failure::new(format!(
            "{named} holds no file system that can be read; `backstay show` tells what it holds"
        ))),
        1 => Ok(all.remove(0).1),
        _ => {
            let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            Err(Failure::usage(format!("{named} has several file systems; name one: {}", names.join(", "))))
        }
    }
}

fn with_path(mut place: Place, path: &str) -> Place {
    place.push(("path", path.to_owned()));
    place
}

fn ls(common: &Common, remote: &Remote, (found, place): (&Found, Place), path: &str) -> Result<(), Failure> {
    let number = found.number();
    let listed = remote.get(Need::Read, &found.path(&number, &["files"]), &with_path(place, path))?;
    let entries = listed["entries"].as_array().into_iter().flatten().map(entry);
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    if let [one] = &mut entries[..]
        && one.kind != "directory"
        && Path::new(path).file_name().is_some_and(|name| name.to_string_lossy() == one.name)
    {
        // A file is listed as it was named.
        path.clone_into(&mut one.name);
    }
    tell_listed(common, &entries)?;
    if listed["cut"] == true {
        note!("note: there are more names than are listed");
    }
    Ok(())
}

fn entry(value: &Value) -> Result<Listed, Failure> {
    let small = |name: &str| number(value, name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let modified: Timestamp = time(value, "modified")?;
    Ok(Listed {
        name: text(value, "name")?,
        kind: text(value, "kind")?,
        bytes: number(value, "bytes")?,
        permissions: small("permissions")?,
        owner: (small("uid")?, small("gid")?),
        modified,
        target: value["target"].as_str().map(str::to_owned),
    })
}

fn find(common: &Common, remote: &Remote, (found, place): (&Found, Place), pattern: &str) -> Result<(), Failure> {
    let number = found.number();
    let mut query = place;
    query.push(("pattern", pattern.to_owned()));
    let said = remote.get(Need::Read, &found.path(&number, &["find"]), &query)?;
    let texts = |name: &str| -> Vec<String> {
        said[name].as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    if said["cut"] == true {
        note!("note: there are more names than are listed; look for them with a longer pattern");
    }
    tell_found(common, pattern, texts("paths"), &texts("unreadable"))
}

fn get(
    common: &Common,
    remote: &Remote,
    (found, place): (&Found, Place),
    (path, to): (&str, &Path),
) -> Result<(), Failure> {
    let target = target_of(path, to)?;
    let stop = Stop::listen()?;
    let number = found.number();
    let query = with_path(place, path);
    let request = remote.request(Need::Read, Method::GET, &found.path(&number, &["archive"]), &query);
    let answer = remote.send(request)?;
    let meter = Meter::new(format!("copying {path}"), common.json);
    let go_on = |files, bytes| {
        meter.so_far(files, bytes);
        !stop.asked()
    };
    let name = path.split('/').rfind(|name| !name.is_empty() && *name != ".").unwrap_or_default();
    let mut done = unpack(answer, (name, &target), &go_on)?;
    drop(meter);
    if done.cut && done.trouble.is_empty() {
        done.trouble.push(format!("{}: the server ended before all of it came", target.display()));
    }
    let is_file = fs::symlink_metadata(&target).map_or(true, |about| about.is_file());
    let copied = Copied {
        files: done.files,
        bytes: done.bytes,
        skipped: done.skipped,
        left_out: done.left_out,
        trouble: done.trouble,
    };
    tell_copied(common, (path, &target, is_file), &copied)
}
