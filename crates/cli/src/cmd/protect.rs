//! `backstay protect`.
//!
//! Never knows: what a rescan is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backstay_format::names::is_machine_name;
use backstay_format::rows::Consistency;
use backstay_vault::protect::{Capture, Made, Progress};
use backstay_vault::{Vault, VaultError};
use serde_json::json;

use crate::args::{Common, Protect};
use crate::failure::Failure;
use crate::output::{self, note, say, size};
use crate::progress::Meter;
use crate::source::{self, OpenSource};
use crate::stop::Stop;
use crate::store::{self, Location};
use crate::{failure, moment};

/// Points closer together than this would be all that the machine is busy with.
const LEAST: Duration = Duration::from_secs(1);

pub(super) fn run(common: &Common, args: &Protect) -> Result<(), Failure> {
    let every = moment::duration(&args.every)?;
    let every = Duration::try_from(every).unwrap_or_default();
    if every < LEAST {
        return Err(Failure::usage(format!("--every {} is too short; give at least 1s", args.every)));
    }
    let machine = match &args.machine {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    if !is_machine_name(&machine) {
        return Err(VaultError::BadName(machine).into());
    }
    let location = Location::of(common)?;
    // Before the passphrase is asked for: sources that cannot be captured.
    drop(source::open_all(&args.sources, location.folder())?);
    let vault = store::open(common)?;
    let stop = Stop::listen()?;
    if args.once {
        let made = capture(&vault, common, args, &machine, &stop)?;
        settle(&vault, &made);
        return report(common, &made);
    }
    keep_on(&vault, common, args, &machine, (&stop, every))
}

/// Makes points until asked to stop. A failure is told and tried again: a full disk or a lost network may come back. What
/// makes no sense or is not allowed ends it.
fn keep_on(
    vault: &Vault,
    common: &Common,
    args: &Protect,
    machine: &str,
    (stop, every): (&Stop, Duration),
) -> Result<(), Failure> {
    while !stop.asked() {
        let begun = std::time::Instant::now();
        match capture(vault, common, args, machine, stop) {
            Ok(made) => {
                settle(vault, &made);
                report(common, &made)?;
            }
            Err(_) if stop.asked() => break,
            Err(failure) if failure.is_final() => return Err(failure),
            Err(failure) => note!("backstay: no point this time: {failure}"),
        }
        stop.wait(every.saturating_sub(begun.elapsed()));
    }
    note!("stopped; the next protect goes on from the last point");
    Ok(())
}

fn capture(vault: &Vault, common: &Common, args: &Protect, machine: &str, stop: &Stop) -> Result<Made, Failure> {
    let opened = source::open_all(&args.sources, Location::of(common)?.folder())?;
    let progress = Progress::default();
    let meter = Meter::new(format!("protecting {machine}"), common.json);
    let done = AtomicBool::new(false);
    let verdict = || source::verdict(&opened);
    let capture = Capture {
        machine,
        sources: opened.iter().map(|s: &OpenSource| s.source(args.all_blocks)).collect(),
        note: args.note.clone(),
        verdict: &verdict,
        cancel: stop.flag(),
        progress: &progress,
    };
    let made = std::thread::scope(|scope| {
        let shown = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = progress.counters();
                meter.show(now.done, now.total);
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        let made = vault.protect(&capture);
        done.store(true, Ordering::Relaxed);
        shown.thread().unpark();
        made
    });
    made.map_err(|error| match error {
        VaultError::Cancelled => {
            Failure::new("interrupted: no point was made; what was stored is used by the next protect")
        }
        error => error.into(),
    })
}

/// Upkeep after a point. If it fails, the point is safe all the same.
fn settle(vault: &Vault, made: &Made) {
    if let Err(error) = vault.settle(made.machine.id) {
        note!("backstay: the point is safe, but upkeep of the store failed: {}", failure::sentence(&error));
    }
}

fn report(common: &Common, made: &Made) -> Result<(), Failure> {
    let row = &made.point.row;
    let unreadable: u64 = row.disks.iter().map(|d| d.unreadable).sum();
    if common.json {
        return output::json(&json!({
            "machine": made.machine.row.name,
            "point": made.point.number.0,
            "time": moment::rfc3339(row.time),
            "consistent": row.consistency == Consistency::Still,
            "read_bytes": row.read,
            "changed_pages": row.changed,
            "stored_bytes": row.stored,
            "unreadable_pages": unreadable,
            "started_over": made.started_over,
        }));
    }
    say!(
        "{}: point {} of {}: {} read, {} changed, {} stored",
        made.machine.row.name,
        made.point.number.0,
        moment::show(row.time),
        size(row.read),
        size(row.changed * 4096),
        size(row.stored),
    )?;
    if made.started_over {
        let what = "the map of the point before is damaged, so everything was read and this point does not rest on it";
        note!("note: {what}; `backstay check` says what is lost");
    }
    if row.consistency == Consistency::Fuzzy {
        let why = "the source was mounted or written while it was read";
        note!("note: {why}, so this point is fuzzy: parts of it may be of different times");
    }
    if unreadable > 0 {
        note!("note: {unreadable} pages of the source could not be read; the point names them");
    }
    Ok(())
}

fn host_name() -> Result<String, Failure> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        Err(Failure::usage("this host has no name; give the machine one with --machine"))
    } else {
        Ok(name)
    }
}
