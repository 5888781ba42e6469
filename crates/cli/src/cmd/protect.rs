//! `backstay protect`.
//!
//! Never knows: what a rescan is.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstay_capture::freeze::group::Limits;
use backstay_capture::hooks::{Application, Invocation, MariaDb, PostgreSql, Script};
use backstay_capture::point::{Settings, Stillness};
use backstay_format::names::is_machine_name;
use backstay_format::rows::Consistency;
use backstay_vault::protect::{Capture, Made, Progress, Source};
use backstay_vault::{Vault, VaultError};
use serde_json::json;

use crate::args::{Common, Protect};
use crate::exclude::Exclude;
use crate::failure::Failure;
use crate::live::{self, Live, LivePoint, Missed, Refused};
use crate::output::{self, note, say, size};
use crate::progress::Meter;
use crate::source::{self, OpenSource};
use crate::stop::Stop;
use crate::store::{self, Location};
use crate::{failure, moment};

/// Points closer together than this would be all that the machine is busy with.
const LEAST: Duration = Duration::from_secs(1);
/// A disk in use that must be compared as a whole is left alone for so many times as long as that took.
const SPARED: u32 = 9;

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
    let limits = limits(&args.max_freeze)?;
    drop(applications(args)?);
    let location = Location::of(common)?;
    // Before the passphrase is asked for: sources that cannot be captured.
    check_choices(&args.exclude, &source::open_all(&args.sources, location.folder())?)?;
    let vault = store::open(common)?;
    let stop = Stop::listen()?;
    let spares = args.sources.iter().any(is_device) && !args.rescan;
    let mut protecting = Protecting {
        vault: &vault,
        common,
        args,
        machine: &machine,
        stop: &stop,
        limits,
        spares,
        told: BTreeSet::new(),
    };
    if args.once {
        let made = protecting.capture()?;
        settle(&vault, &made);
        return report(common, &made, None);
    }
    match protecting.live()? {
        Some(live) if args.unfollow => live.detach(),
        _ if args.unfollow => Err(Failure::new("no changes are followed here")),
        Some(live) => protecting.follow(live, every),
        None => protecting.keep_on(every),
    }
}

fn limits(max_freeze: &str) -> Result<Limits, Failure> {
    let frozen = Duration::try_from(moment::duration(max_freeze)?).unwrap_or_default();
    let limits = Limits::new(frozen, Duration::from_secs(2));
    limits.ok_or_else(|| Failure::usage(format!("--max-freeze {max_freeze}: give at most 5s, and more than nothing")))
}

/// What is told of each freeze.
fn applications(args: &Protect) -> Result<Vec<Box<dyn Application>>, Failure> {
    let limit = Duration::try_from(moment::duration(&args.hook_limit)?).unwrap_or_default();
    if limit.is_zero() {
        return Err(Failure::usage(format!("--hook-limit {} leaves no time", args.hook_limit)));
    }
    let mut all: Vec<Box<dyn Application>> = Vec::new();
    if args.before.is_some() || args.after.is_some() {
        let run = |text: &Option<String>| text.as_ref().map(|text| Invocation::shell(text, limit));
        all.push(Box::new(Script::new("script", run(&args.before), run(&args.after))));
    }
    for connection in &args.postgres {
        let server = PostgreSql::new(connection, limit);
        all.push(Box::new(server.map_err(|e| Failure::usage(format!("--postgres: {e}")))?));
    }
    for connection in &args.mariadb {
        let server = MariaDb::new(connection, limit);
        all.push(Box::new(server.map_err(|e| Failure::usage(format!("--mariadb: {e}")))?));
    }
    Ok(all)
}

/// A disk that a choice names and that is not protected is a slip of the pen.
fn check_choices(choices: &[Exclude], sources: &[OpenSource]) -> Result<(), Failure> {
    let names: Vec<&str> = sources.iter().map(OpenSource::name).collect();
    let unknown = |e: &&Exclude| e.disk.as_deref().is_some_and(|disk| !names.contains(&disk));
    match choices.iter().find(unknown) {
        None => Ok(()),
        Some(choice) => Err(Failure::usage(format!(
            "--exclude {}: there is no disk {} here, only {}",
            choice.text,
            choice.disk.as_deref().unwrap_or_default(),
            names.join(", ")
        ))),
    }
}

/// A machine that is being protected.
struct Protecting<'a> {
    vault: &'a Vault,
    common: &'a Common,
    args: &'a Protect,
    machine: &'a str,
    stop: &'a Stop,
    /// How long file systems may be held still.
    limits: Limits,
    /// Whether the sources are disks in use, which comparing must not wear out.
    spares: bool,
    /// Notes that were printed: each is told once.
    told: BTreeSet<String>,
}

impl<'a> Protecting<'a> {
    /// Begins to follow the changes of the sources, or says why that cannot be.
    fn live(&self) -> Result<Option<Live<'a>>, Failure> {
        if self.args.rescan || !self.args.sources.iter().any(is_device) {
            return Ok(None);
        }
        let refused = |why: &str| {
            note!("note: changes cannot be followed: {why}; each point compares whole disks instead, at a slower pace");
            Ok(None)
        };
        if !self.args.exclude.is_empty() {
            return refused("--exclude looks up files anew for each point");
        }
        let what = live::What {
            vault: self.vault,
            store: self.common.store.as_deref().unwrap_or_default(),
            machine: self.machine,
            note: &self.args.note,
            all_blocks: self.args.all_blocks,
            sources: self.args.sources.iter().map(|path| (path.clone(), source::name_of(path))).collect(),
            applications: applications(self.args)?,
            settings: Settings { limits: self.limits, ..Settings::default() },
            cancel: self.stop.flag(),
        };
        match Live::open(what) {
            Ok(live) => Ok(Some(live)),
            Err(Refused::Impossible(why)) => refused(&why),
            Err(Refused::InUse) => Err(Failure::refused(format!(
                "another process follows {} already; stop it first, or give this machine another --machine name",
                self.machine
            ))),
        }
    }

    /// Makes points of what changes until asked to stop.
    fn follow(&mut self, mut live: Live<'_>, every: Duration) -> Result<(), Failure> {
        while !self.stop.asked() {
            let begun = Instant::now();
            match self.follow_once(&mut live) {
                Ok(LivePoint { made, still }) => {
                    settle(self.vault, &made);
                    report(self.common, &made, Some(&still))?;
                }
                Err(_) if self.stop.asked() => break,
                Err(Missed::Final(failure)) => return Err(failure),
                Err(Missed::Later(why)) => note!("backstay: no point this time: {why}"),
                Err(Missed::Rescan(why)) => {
                    note!("note: changes may have been missed: {why}; the disks are compared with the last point");
                    continue;
                }
            }
            self.stop.wait(every.saturating_sub(begun.elapsed()));
        }
        note!("stopped; changes go on being followed in the kernel, for the next protect to go on from");
        Ok(())
    }

    fn follow_once(&self, live: &mut Live<'_>) -> Result<LivePoint, Missed> {
        if live.needs_rescan() {
            let progress = Progress::default();
            let meter = Meter::new(format!("comparing the disks of {}", self.machine), self.common.json);
            watched(&meter, &progress, || live.rescan(&progress))?;
        }
        live.point()
    }
    /// Makes points until asked to stop. A failure is told and tried again: a full disk or a lost network may come back. What
    /// makes no sense or is not allowed ends it.
    fn keep_on(&mut self, every: Duration) -> Result<(), Failure> {
        while !self.stop.asked() {
            let begun = Instant::now();
            match self.capture() {
                Ok(made) => {
                    settle(self.vault, &made);
                    report(self.common, &made, None)?;
                }
                Err(_) if self.stop.asked() => break,
                Err(failure) if failure.is_final() => return Err(failure),
                Err(failure) => note!("backstay: no point this time: {failure}"),
            }
            let took = begun.elapsed();
            self.stop.wait(every.saturating_sub(took).max(self.breather(took)));
        }
        note!("stopped; the next protect goes on from the last point");
        Ok(())
    }

    /// How long a disk in use is left alone after it was read in so much time.
    fn breather(&self, took: Duration) -> Duration {
        if self.spares { took * SPARED } else { Duration::ZERO }
    }

    fn capture(&mut self) -> Result<Made, Failure> {
        let opened = source::open_all(&self.args.sources, Location::of(self.common)?.folder())?;
        let sources = self.sources(&opened);
        let progress = Progress::default();
        let verdict = || source::verdict(&opened);
        let capture = Capture {
            machine: self.machine,
            sources,
            note: self.args.note.clone(),
            verdict: &verdict,
            cancel: self.stop.flag(),
            progress: &progress,
        };
        let meter = Meter::new(format!("protecting {}", self.machine), self.common.json);
        let made = watched(&meter, &progress, || self.vault.protect(&capture));
        made.map_err(|error| match error {
            VaultError::Cancelled => {
                Failure::new("interrupted: no point was made; what was stored is used by the next protect")
            }
            error => error.into(),
        })
    }

    /// What is to be captured, and what not: resolved anew for each point, for files move.
    fn sources<'o>(&mut self, opened: &'o [OpenSource]) -> Vec<Source<'o>> {
        let choices = &self.args.exclude;
        let (mut sources, mut notes, mut met) = (Vec::new(), Vec::new(), BTreeSet::new());
        for open in opened {
            let (source, resolved) = open.source(self.args.all_blocks, choices, self.stop.flag());
            let doubt = |why: &String| format!("--exclude leaves out less than it might on {}, {why}", open.name());
            notes.extend(resolved.found.doubts.iter().map(doubt));
            met.extend(resolved.met);
            sources.push(source);
        }
        let idle = choices.iter().enumerate().filter(|(index, _)| !met.contains(index));
        notes.extend(idle.map(|(_, choice)| format!("--exclude {} names no file now", choice.text)));
        for note in notes.into_iter().filter(|_| !self.stop.asked()) {
            if !self.told.contains(&note) {
                note!("note: {note}");
                self.told.insert(note);
            }
        }
        sources
    }
}

/// Does something while a meter shows how far it is.
fn watched<T>(meter: &Meter, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let shown = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = progress.counters();
                meter.show(now.done, now.total);
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        let made = work();
        done.store(true, Ordering::Relaxed);
        shown.thread().unpark();
        made
    })
}

/// Upkeep after a point. If it fails, the point is safe all the same.
fn settle(vault: &Vault, made: &Made) {
    if let Err(error) = vault.settle(made.machine.id) {
        note!("backstay: the point is safe, but upkeep of the store failed: {}", failure::sentence(&error));
    }
}

fn report(common: &Common, made: &Made, still: Option<&Stillness>) -> Result<(), Failure> {
    let row = &made.point.row;
    let unreadable: u64 = row.disks.iter().map(|d| d.unreadable).sum();
    let excluded: u64 = row.disks.iter().map(|d| d.excluded).sum();
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
            "excluded_pages": excluded,
            "started_over": made.started_over,
            "frozen_ms": still.map(|still| still.held.as_secs_f64() * 1000.0),
            "read_while_frozen_bytes": still.map(|still| still.residue),
        }));
    }
    let left_out = if excluded == 0 { String::new() } else { format!(", {} excluded", size(excluded * 4096)) };
    let held = still.map(|still| format!(", held still for {} ms", still.held.as_millis())).unwrap_or_default();
    say!(
        "{}: point {} of {}: {} read, {} changed, {} stored{left_out}{held}",
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
        let why = match still {
            Some(_) => "something wrote to the disks although their file systems were held still",
            None => "the source was mounted or written while it was read",
        };
        note!("note: {why}, so this point is fuzzy: parts of it may be of different times");
    }
    if unreadable > 0 {
        note!("note: {unreadable} pages of the source could not be read; the point names them");
    }
    Ok(())
}

fn is_device(path: impl AsRef<Path>) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.file_type().is_block_device())
}

fn host_name() -> Result<String, Failure> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        Err(Failure::usage("this host has no name; give the machine one with --machine"))
    } else {
        Ok(name)
    }
}
