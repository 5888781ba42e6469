//! `backstay restore`.
//!
//! Never knows: how bytes are found or written.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use backstay_env::real::disk::{self, Disk, FileVolume};
use backstay_env::volume::{Volume, VolumeMut};
use backstay_recover::restore::{Mode, Options, Patch, Report, copy};
use serde_json::json;

use crate::args::{Common, Restore};
use crate::failure::{Failure, sentence};
use crate::output::{self, size};
use crate::progress::Meter;
use crate::stop::Stop;
use crate::store::Location;
use crate::{spec, store};

use super::known;

pub(super) fn run(common: &Common, args: &Restore) -> Result<(), Failure> {
    if let Some(folder) = Location::of(common)?.folder() {
        check_target(&args.to, folder)?;
    }
    let vault = store::open(common)?;
    let found = spec::find(&vault, &args.at)?;
    let source = spec::volume(&vault, &found)?;
    let stop = Stop::listen()?;
    let known = if args.delta && !args.verify { known::changes_to(&vault, &found, &args.to)? } else { None };
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
    tell(common, args, &report)
}

/// Refuses targets that would destroy what they come from.
fn check_target(target: &Path, store: &Path) -> Result<(), Failure> {
    if !target.exists() {
        return Ok(());
    }
    let shown = target.display();
    if disk::holds_path(target, store)? {
        return Err(Failure::refused(format!("{shown} holds the store that is to be restored from; choose another target")));
    }
    let inside = target.canonicalize().ok().zip(store.canonicalize().ok()).is_some_and(|(t, s)| t.starts_with(s));
    if inside {
        return Err(Failure::refused(format!("{shown} is inside the store; choose another target")));
    }
    if disk::is_mounted(target)? {
        return Err(Failure::refused(format!("{shown} is mounted or in use; unmount it first")));
    }
    Ok(())
}

fn open_target(args: &Restore, size: u64) -> Result<(Box<dyn VolumeMut>, Mode), Failure> {
    let path = &args.to;
    if !path.exists() {
        if args.delta {
            return Err(Failure::usage(format!("{} is not there: --delta needs a target to compare with", path.display())));
        }
        return Ok((Box::new(FileVolume::create(path, size)?), Mode::OntoZeros));
    }
    let target = disk::open_for_writing(path)?;
    confirm(args)?;
    let mode = if args.delta { Mode::Delta } else { Mode::Whole };
    match target {
        Disk::File(file) if file.size() != size => {
            let resized = file.resize(size);
            let resized = resized.map_err(|e| Failure::new(format!("{} cannot be resized: {e}", path.display())))?;
            Ok((Box::new(resized), mode))
        }
        Disk::Device(device) if device.size() < size => Err(Failure::refused(format!(
            "{} has {}, {} are needed; choose a larger target",
            path.display(),
            output::size(device.size()),
            output::size(size),
        ))),
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
    eprint!("{what}. Type yes to go on: ");
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failure::refused("nothing was changed")),
    }
}

fn tell(common: &Common, args: &Restore, report: &Report) -> Result<(), Failure> {
    let counts = &report.counts;
    if common.json {
        let ranges = report.unreadable.iter();
        let ranges: Vec<_> = ranges.map(|u| json!({"from": u.range.start, "to": u.range.end, "why": u.why})).collect();
        output::json(&json!({
            "target": args.to.display().to_string(),
            "written_bytes": counts.written,
            "zeroed_bytes": counts.zeroed,
            "compared_bytes": counts.compared,
            "verified_bytes": counts.verified,
            "unreadable": ranges,
            "complete": report.is_complete(),
        }))?;
    } else {
        println!("{}: {} written, {} zeroed", args.to.display(), size(counts.written), size(counts.zeroed));
    }
    for lost in &report.unreadable {
        eprintln!("bytes {} to {} could not be restored: {}", lost.range.start, lost.range.end - 1, lost.why);
    }
    for range in &report.differing {
        eprintln!("bytes {} to {} do not read back as written", range.start, range.end - 1);
    }
    match () {
        () if report.cancelled => Err(Failure::new("interrupted: the target is incomplete; `--delta` goes on where it was")),
        () if !report.unreadable.is_empty() => Err(Failure::damaged("parts could not be restored; everything else was")),
        () if !report.differing.is_empty() => Err(Failure::damaged("the target does not hold what was written to it")),
        () => Ok(()),
    }
}
