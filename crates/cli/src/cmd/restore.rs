//! `backstay restore`.
//!
//! Never knows: how bytes are found or written.

use std::io::IsTerminal as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use backstay_env::real::disk::{self, Disk, DiskError, FileVolume};
use backstay_env::volume::{Volume, VolumeMut};
use backstay_recover::restore::{Mode, Options, Patch, Report, copy};
use backstay_vault::Vault;
use backstay_vault::rows::Point;
use serde_json::json;

use crate::args::{Common, Restore};
use crate::failure::{Failure, sentence};
use crate::output::{self, note, say, size};
use crate::progress::Meter;
use crate::stop::Stop;
use crate::store::Location;
use crate::{moment, spec, store};

use super::integrity::agreed;
use super::known;

pub(super) fn run(common: &Common, args: &Restore) -> Result<(), Failure> {
    check_target(&args.to, Location::of(common)?.folder())?;
    store::reading(common, |vault| restore(common, vault, args))
}

fn restore(common: &Common, vault: &Vault, args: &Restore) -> Result<(), Failure> {
    let found = spec::find(vault, &args.at)?;
    let source = spec::volume(vault, &found)?;
    let known = if args.delta && !args.verify { known::changes_to(vault, &found, &args.to)? } else { None };
    write(common, args, &Meant { machine: &found.spec.machine, point: &found.point }, (source, known))
}

/// What is restored, in words.
pub(super) struct Meant<'m> {
    pub(super) machine: &'m str,
    pub(super) point: &'m Point,
}

/// Writes a volume to the target, or only the ranges in which they are known to differ, and tells what came of it.
pub(super) fn write(
    common: &Common,
    args: &Restore,
    meant: &Meant<'_>,
    (source, known): (Arc<dyn Volume>, Option<Vec<Range<u64>>>),
) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let (target, mode) = open_target(args, source.size())?;
    let (source, mode): (Arc<dyn Volume>, Mode) = match known {
        Some(ranges) => (Arc::new(Patch::new(source, ranges)), Mode::Patch),
        None => (source, mode),
    };
    let meter = Meter::new("restoring", common.json);
    let options = Options { verify: args.verify, ..Options::new(mode) };
    let progress = |p: backstay_recover::restore::Progress| meter.show(p.done, p.total);
    let report = copy(&*source, &*target, options, &progress, stop.flag());
    drop(meter);
    let report = report.map_err(|e| Failure::new(format!("{}: {}", args.to.display(), sentence(&e))))?;
    tell(common, args, meant, &report)
}

/// Refuses targets that would destroy what they come from.
pub(super) fn check_target(target: &Path, store: Option<&Path>) -> Result<(), Failure> {
    let shown = target.display();
    if store.is_some_and(|store| is_inside(target, store)) {
        return Err(Failure::refused(format!("{shown} is inside the store; choose another target")));
    }
    if !target.exists() {
        return Ok(());
    }
    if let Some(store) = store.filter(|s| s.exists())
        && disk::holds_path(target, store)?
    {
        return Err(Failure::refused(format!(
            "{shown} holds the store that is to be restored from; choose another target"
        )));
    }
    if disk::is_mounted(target)? {
        return Err(Failure::refused(format!("{shown} is mounted or in use; unmount it first")));
    }
    Ok(())
}

/// Whether a path, which need not be there yet, lies in the store's folder.
fn is_inside(path: &Path, store: &Path) -> bool {
    let folder = || path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let real = path.canonicalize().ok().or_else(|| folder()?.canonicalize().ok());
    real.zip(store.canonicalize().ok()).is_some_and(|(path, store)| path.starts_with(store))
}

fn open_target(args: &Restore, size: u64) -> Result<(Box<dyn VolumeMut>, Mode), Failure> {
    let path = &args.to;
    if !path.exists() {
        if args.delta {
            return Err(Failure::usage(format!(
                "{} is not there: --delta needs a target to compare with",
                path.display()
            )));
        }
        let created = FileVolume::create(path, size).map_err(|error| match error {
            DiskError::Missing(path) => {
                Failure::new(format!("{} cannot be made: its folder is not there", path.display()))
            }
            error => error.into(),
        });
        return Ok((Box::new(created?), Mode::OntoZeros));
    }
    let target = disk::open_for_writing(path)?;
    if let Disk::Device(device) = &target
        && device.size() < size
    {
        let (has, needs) = (output::size(device.size()), output::size(size));
        let what = format!("{} has {has} ({} bytes), {needs} ({size} bytes) are needed", path.display(), device.size());
        return Err(Failure::refused(format!("{what}; choose a larger target")));
    }
    confirm(args)?;
    let mode = if args.delta { Mode::Delta } else { Mode::Whole };
    match target {
        Disk::File(file) if file.size() != size => {
            let resized = file.resize(size);
            let resized = resized.map_err(|e| Failure::new(format!("{} cannot be resized: {e}", path.display())))?;
            Ok((Box::new(resized), mode))
        }
        other => Ok((Box::new(other), mode)),
    }
}

fn confirm(args: &Restore) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let what = format!("{} will be overwritten", args.to.display());
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(format!("{what}; say --yes if that is wanted")));
    }
    agreed(&format!("{what}. Type yes to go on:"))
}

fn tell(common: &Common, args: &Restore, meant: &Meant<'_>, report: &Report) -> Result<(), Failure> {
    let counts = &report.counts;
    if common.json {
        let differing = report.differing.iter().map(|r| json!({"from": r.start, "to": r.end}));
        let differing: Vec<_> = differing.collect();
        let ranges = report.unreadable.iter();
        let ranges: Vec<_> = ranges.map(|u| json!({"from": u.range.start, "to": u.range.end, "why": u.why})).collect();
        output::json(&json!({
            "machine": meant.machine,
            "point": meant.point.number.0,
            "time": moment::rfc3339(meant.point.row.time),
            "target": args.to.display().to_string(),
            "written_bytes": counts.written,
            "zeroed_bytes": counts.zeroed,
            "compared_bytes": counts.compared,
            "verified_bytes": counts.verified,
            "unreadable": ranges,
            "differing": differing,
            "complete": report.is_complete(),
        }))?;
    } else {
        say!("{}: {} written, {} zeroed", args.to.display(), size(counts.written), size(counts.zeroed))?;
    }
    for lost in &report.unreadable {
        note!("bytes {} to {} could not be restored: {}", lost.range.start, lost.range.end - 1, lost.why);
    }
    for range in &report.differing {
        note!("bytes {} to {} do not read back as written", range.start, range.end - 1);
    }
    match () {
        () if report.cancelled => {
            Err(Failure::new("interrupted: the target is incomplete; `--delta` goes on where it was"))
        }
        () if !report.unreadable.is_empty() => {
            Err(Failure::damaged("parts could not be restored; everything else was"))
        }
        () if !report.differing.is_empty() => Err(Failure::damaged("the target does not hold what was written to it")),
        () => Ok(()),
    }
}
