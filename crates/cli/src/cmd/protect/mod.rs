//! `backstay protect`.
//!
//! Never knows: what a rescan is.

mod attended;
mod follow;
mod outside;
mod report;
mod settings;
mod suspended;

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstay_capture::freeze::group::Limits;
use backstay_capture::point::Settings;
use backstay_format::names::is_machine_name;
use backstay_format::rows::gap::Why;
use backstay_vault::VaultError;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Made, Progress, Source};

use self::attended::Attendant;
pub(super) use self::settings::every;
use self::settings::{applications, check_choices, limits};
use self::suspended::Suspended;
use crate::args::{Common, Protect};
use crate::cause::Lapse;
use crate::failure::Failure;
use crate::live::{self, Live, Refused};
use crate::output::note;
use crate::progress::Meter;
use crate::rate::{Limited, Rate};
use crate::source::{self, OpenSource};
use crate::stop::Stop;
use crate::store::{self, Location};
use crate::target::Target;

/// A disk in use that must be compared as a whole is left alone for so many times as long as that took.
const SPARED: u32 = 9;

pub(super) fn run(common: &Common, args: &Protect) -> Result<(), Failure> {
    if let Some(spec) = outside::spec(args)? {
        return outside::run(common, args, &spec);
    }
    let every = every(args)?;
    let machine = match &args.machine {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    if !is_machine_name(&machine) {
        return Err(VaultError::BadName(machine).into());
    }
    limits(args)?;
    drop(applications(args)?);
    let location = Location::of(common)?;
    // Before the passphrase is asked for: sources that cannot be captured.
    check_choices(&args.how.exclude, &source::open_all(&args.sources, location.folder())?)?;
    let vault = settings::tuned(store::open(common)?, args);
    let store = common.store.as_deref().unwrap_or_default();
    keep(common, args, &Goal { target: &vault, store, folder: location.folder(), machine: &machine }, every)
}

/// Where points go.
pub(super) struct Goal<'a> {
    pub(super) target: &'a dyn Target,
    /// Names the store, for people or programs.
    pub(super) store: &'a str,
    /// The store's folder, if it has one here: what holds it cannot be captured.
    pub(super) folder: Option<&'a Path>,
    pub(super) machine: &'a str,
}

/// Protects the sources until asked to stop, or once.
pub(super) fn keep(common: &Common, args: &Protect, goal: &Goal<'_>, every: Duration) -> Result<(), Failure> {
    let limits = limits(args)?;
    let rate = Rate::of(&args.how);
    let stop = Stop::listen()?;
    // Who says how fast it may read has said what is bearable.
    let spares = args.sources.iter().any(is_device) && !args.how.rescan && rate.is_none();
    let cancel = AtomicBool::new(false);
    let mut protecting = Protecting {
        target: goal.target,
        store: goal.store,
        folder: goal.folder,
        common,
        args,
        machine: goal.machine,
        stop: &stop,
        cancel: &cancel,
        limits,
        rate: rate.as_ref(),
        spares,
        told: BTreeSet::new(),
        lapse: Lapse::default(),
        suspended: Suspended::default(),
    };
    if args.how.once {
        return protecting.once();
    }
    match protecting.live()? {
        Some(live) if args.how.unfollow => {
            live.detach()?;
            Ok(goal.target.promise_nothing(goal.machine)?)
        }
        _ if args.how.unfollow => Err(Failure::new("no changes are followed here")),
        Some(live) => protecting.follow(live, every),
        None => protecting.keep_on(every),
    }
}

/// A machine that is being protected.
struct Protecting<'a> {
    target: &'a dyn Target,
    store: &'a str,
    folder: Option<&'a Path>,
    common: &'a Common,
    args: &'a Protect,
    machine: &'a str,
    stop: &'a Stop,
    /// Set when what is being done should end: somebody asked to stop, or suspended the machine.
    cancel: &'a AtomicBool,
    /// How long file systems may be held still.
    limits: Limits,
    /// How fast disks may be read.
    rate: Option<&'a Rate>,
    /// Whether the sources are disks in use, which comparing must not wear out.
    spares: bool,
    /// Notes that were printed: each is told once.
    told: BTreeSet<String>,
    /// Why there was no point lately.
    lapse: Lapse,
    suspended: Suspended,
}

impl<'a> Protecting<'a> {
    /// Begins to follow the changes of the sources, or says why that cannot be.
    fn live(&self) -> Result<Option<Live<'a>>, Failure> {
        if self.args.how.rescan || !self.args.sources.iter().any(is_device) {
            return Ok(None);
        }
        let refused = |why: &str| {
            note!("note: changes cannot be followed: {why}; each point compares whole disks instead, at a slower pace");
            Ok(None)
        };
        let what = live::What {
            target: self.target,
            store: self.store,
            machine: self.machine,
            note: &self.args.how.note,
            all_blocks: self.args.how.all_blocks,
            sources: self.args.sources.iter().map(|path| (path.clone(), source::name_of(path))).collect(),
            choices: &self.args.how.exclude,
            applications: applications(self.args)?,
            settings: Settings { limits: self.limits, ..Settings::default() },
            rate: self.rate,
            cancel: self.cancel,
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

    /// Makes one point, unless the machine is suspended.
    fn once(&mut self) -> Result<(), Failure> {
        if self.is_suspended()? {
            return Ok(());
        }
        let begun = Instant::now();
        let made = self.capture(Promise::default()).map_err(|(failure, _)| failure)?;
        let took = begun.elapsed();
        report::made(self.common, &made, took, None)?;
        settle(self.target, &made);
        Ok(())
    }

    /// Makes points until asked to stop. A failure is told and tried again: a full disk or a lost network may come back. What
    /// makes no sense or is not allowed ends it.
    fn keep_on(&mut self, every: Duration) -> Result<(), Failure> {
        let mut took = None;
        while !self.stop.asked() {
            if self.is_suspended()? {
                self.stop.wait(every.min(attended::LOOK));
                continue;
            }
            let begun = Instant::now();
            match self.capture(self.slow_promise(every, took)) {
                Ok(made) => {
                    let took = begun.elapsed();
                    self.lapse.made();
                    report::made(self.common, &made, took, None)?;
                    settle(self.target, &made);
                }
                Err(_) if self.stop.asked() => break,
                Err((failure, _)) if failure.is_final() => return Err(failure),
                Err(_) if self.was_called_off() => continue,
                Err((failure, why)) => {
                    let text = failure.to_string();
                    self.lapse.missed((why, &text), begun.elapsed());
                    report::missed(self.common, self.machine, why, &text)?;
                }
            }
            let long = begun.elapsed();
            took = Some(long);
            self.stop.wait(every.saturating_sub(long).max(self.breather(long)));
        }
        note!("stopped; the next protect goes on from the last point");
        Ok(())
    }

    /// How long a disk in use is left alone after it was read in so much time.
    fn breather(&self, took: Duration) -> Duration {
        if self.spares { took * SPARED } else { Duration::ZERO }
    }

    /// What can be promised of disks that are compared: at their pace, once it is known.
    fn slow_promise(&self, every: Duration, took: Option<Duration>) -> Promise {
        match took {
            None if self.spares => Promise { every: 0, ..self.lapse.promise(every) },
            took => self.lapse.promise(took.map_or(every, |took| every.max(took + self.breather(took)))),
        }
    }

    /// Whether the machine is suspended; said when that changes.
    fn is_suspended(&mut self) -> Result<bool, Failure> {
        let suspended = self.suspended.look(self.common, self.target, self.machine)?;
        if suspended {
            self.lapse.rested();
        }
        Ok(suspended)
    }

    fn attendant(&self) -> Attendant<'a> {
        Attendant { target: self.target, machine: self.machine, stop: self.stop, cancel: self.cancel }
    }

    /// Whether what ended last was ended for a suspension.
    fn was_called_off(&self) -> bool {
        self.cancel.load(Ordering::Relaxed) && !self.stop.asked()
    }

    fn capture(&mut self, promise: Promise) -> Result<Made, (Failure, Why)> {
        let opened = source::open_all(&self.args.sources, self.folder);
        let opened = opened.map_err(|failure| (failure, Why::Failed))?;
        let progress = Progress::default();
        let meter = Meter::new(format!("protecting {}", self.machine), self.common.json);
        let verdict = || source::verdict(&opened);
        let (rate, cancel) = (self.rate, self.cancel);
        let made = self.attendant().during(Some((&meter, &progress)), || {
            let mut sources = self.sources(&opened);
            let volumes: Vec<_> = sources.iter().map(|s| Limited { volume: s.volume, rate, cancel }).collect();
            sources.iter_mut().zip(&volumes).for_each(|(source, volume)| source.volume = volume);
            self.target.protect(&Capture {
                machine: self.machine,
                sources,
                note: self.args.how.note.clone(),
                verdict: &verdict,
                cancel: self.cancel,
                progress: &progress,
                promise,
            })
        });
        made.map_err(|trouble| match trouble.is_cancelled() {
            true => {
                let what = "interrupted: no point was made; what was stored is used by the next protect";
                (Failure::new(what), Why::Failed)
            }
            false => {
                let why = trouble.why();
                (trouble.into(), why)
            }
        })
    }

    /// What is to be captured, and what not: resolved anew for each point, for files move.
    fn sources<'o>(&mut self, opened: &'o [OpenSource]) -> Vec<Source<'o>> {
        let choices = &self.args.how.exclude;
        let (mut sources, mut notes, mut met) = (Vec::new(), Vec::new(), BTreeSet::new());
        for open in opened {
            let (source, resolved) = open.source(self.args.how.all_blocks, choices, self.cancel);
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

/// Upkeep after a point. If it fails, the point is safe all the same.
fn settle(target: &dyn Target, made: &Made) {
    if let Err(trouble) = target.settle(made) {
        note!("backstay: the point is safe, but upkeep of the store failed: {trouble}");
    }
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
