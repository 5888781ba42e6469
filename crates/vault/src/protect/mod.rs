//! Protecting: making a point of a machine by rescan.
//!
//! Everything that is in use is read and compared with what the newest point says, what most likely changed first, and only
//! pages that differ are stored. A first capture is a rescan against nothing. Packs are committed on the way, so one that is
//! interrupted and started again finds what it stored; the point appears at the end, whole or not at all.
//!
//! Never knows: file systems (it is told what is in use), or whether anything writes to the source (it is told that, too).

mod base;
mod compare;
mod cut;
mod far;
mod follow;
mod likely;
mod making;
mod pass;
mod progress;
mod recount;
mod scan;
mod sink;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::volume::Volume;
use backstay_format::names::is_machine_name;
use backstay_format::rows::{Consistency, DiskAt, Exclusion, PointRow};
use backstay_format::units::{DiskNo, PointNo, Timestamp};

use crate::gap::Promise;
use crate::map::Map;
use crate::rows::{Machine, Point};
use crate::{Vault, VaultError};

use base::Base;
use far::FarScanner;
pub use far::{Far, FarFrame, FarSegment, Offer, Shown};
pub use follow::{Changed, FarChanged, Following, Told};
use likely::Order;
use making::{Making, Published};
pub use progress::{Counters, Progress};
use scan::{Plan, RescanScanner, Rescanner};

/// A disk to capture.
pub struct Source<'a> {
    /// Its name in the machine; the same name continues the same disk.
    pub name: String,
    /// Where it is read from, for people.
    pub origin: String,
    /// Its bytes.
    pub volume: &'a dyn Volume,
    /// Byte ranges in use, in order: only these are read. Everything else becomes absent.
    pub used: Vec<Range<u64>>,
    /// Byte ranges inside `used` that are left out by choice.
    pub excluded: Vec<Range<u64>>,
    /// The choices that led to `excluded`, for the point to tell.
    pub exclusions: Vec<Exclusion>,
}

/// What a point is to say of itself, known only once everything was read.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether something wrote to the sources meanwhile.
    pub consistency: Consistency,
    /// For each disk: what its file looks like, if nothing changed it since it was read; else empty.
    pub stamps: Vec<Vec<u8>>,
}

/// A capture to make.
pub struct Capture<'a> {
    /// The machine's name; made if there is none.
    pub machine: &'a str,
    /// Its disks: all of them.
    pub sources: Vec<Source<'a>>,
    /// For people.
    pub note: String,
    /// Asked after everything was read.
    pub verdict: &'a (dyn Fn() -> Verdict + Sync),
    /// Set from outside to stop.
    pub cancel: &'a AtomicBool,
    /// Told how far it is.
    pub progress: &'a Progress,
    /// When the next point will be, and what kept this one from being made earlier.
    pub promise: Promise,
}

/// A disk, but for who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFacts {
    /// Its name in the machine; the same name continues the same disk.
    pub name: String,
    /// Where it is read from, for people.
    pub origin: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of a sector.
    pub sector: u32,
    /// Bytes in use, as far as is known before it is read.
    pub used: u64,
    /// The choices by which some of it is left out.
    pub exclusions: Vec<Exclusion>,
}

/// A capture of disks that somebody else reads.
pub struct FarCapture<'a> {
    /// The machine's name; made if there is none.
    pub machine: &'a str,
    /// Its disks: all of them.
    pub disks: Vec<DiskFacts>,
    /// Reads them.
    pub far: &'a dyn Far,
    /// What the machine has shown already.
    pub shown: &'a Shown,
    /// For people.
    pub note: String,
    /// Asked after everything was read.
    pub verdict: &'a dyn Fn() -> Result<Verdict, VaultError>,
    /// Set from outside to stop.
    pub cancel: &'a AtomicBool,
    /// Told how far it is.
    pub progress: &'a Progress,
    /// When the next point will be, and what kept this one from being made earlier.
    pub promise: Promise,
}

/// A point that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The machine.
    pub machine: Machine,
    /// The point.
    pub point: Point,
    /// The map of the newest point before it is damaged, so the point does not rest on it: a stretch of the timeline begins here.
    pub started_over: bool,
}

/// How often to begin again when others commit to the same machine, or reclaim takes what we refer to.
const ATTEMPTS: u32 = 4;

impl Vault {
    /// Makes a point. On `Ok` it survives a power loss.
    ///
    /// # Errors
    /// [`VaultError::Cancelled`], [`VaultError::Source`], [`VaultError::Home`] (a full disk, for instance): what was stored stays and is
    /// found by the next capture, or reclaimed; no point appears. Pages that cannot be read are no error: the point says so.
    /// Nor is it one if the map of the newest point is damaged: the capture starts over from the sources.
    pub fn protect(&self, capture: &Capture<'_>) -> Result<Made, VaultError> {
        let verdict = || Ok((capture.verdict)());
        self.rescan(capture, Some(&verdict)).map(Rescanned::made)
    }

    /// As [`Vault::protect`], but makes no point: afterwards the timeline has what the disks hold, as far as they held still, for
    /// [`Vault::follow`] to go on from.
    ///
    /// # Errors
    /// As [`Vault::protect`].
    pub fn catch_up(&self, capture: &Capture<'_>) -> Result<Boundary, VaultError> {
        Ok(self.rescan(capture, None)?.boundary)
    }

    /// As [`Vault::protect`], of disks that somebody else reads.
    ///
    /// # Errors
    /// As [`Vault::protect`]; [`VaultError::Source`] also if whoever reads them does not answer, or not as it should.
    pub fn protect_far(&self, capture: &FarCapture<'_>) -> Result<Made, VaultError> {
        self.rescan(capture, Some(capture.verdict)).map(Rescanned::made)
    }

    /// As [`Vault::catch_up`], of disks that somebody else reads.
    ///
    /// # Errors
    /// As [`Vault::protect_far`].
    pub fn catch_up_far(&self, capture: &FarCapture<'_>) -> Result<Boundary, VaultError> {
        Ok(self.rescan(capture, None)?.boundary)
    }

    fn rescan(&self, what: &dyn Rescan, verdict: Asked<'_>) -> Result<Rescanned, VaultError> {
        let task = what.task();
        check_names(&task)?;
        let mut start_over = false;
        for _ in 0..ATTEMPTS {
            let view = self.ledger.refresh()?;
            match self.attempt((what, &task), start_over, verdict) {
                Err(VaultError::Overtaken) => {}
                // Others moved or reclaimed what the newest point refers to while it was compared with.
                Err(error) if self.is_outdated(&view, &error)? => {}
                Err(error) if error.is_damage() && !start_over => start_over = true,
                outcome => return outcome,
            }
            task.progress.restart();
        }
        Err(VaultError::Overtaken)
    }

    fn attempt(
        &self,
        (what, task): (&dyn Rescan, &Task<'_>),
        start_over: bool,
        verdict: Asked<'_>,
    ) -> Result<Rescanned, VaultError> {
        let started = self.seams.clock.now();
        let view = self.ledger.refresh()?;
        self.table.refresh()?;
        let base = Base::find(self, &view, task.machine, start_over)?;
        let names: Vec<&str> = task.disks.iter().map(|disk| disk.name.as_str()).collect();
        let disks = base.number_disks(&names);
        let plan = Plan::new(&task.disks, &disks);
        let progress = task.progress;
        progress.begin(plan.bytes());
        let (map, started_over) = (base.map.clone(), base.from < base.boundary);
        let known = base.machine.as_ref().zip(map.as_deref());
        let known = known.map(|(machine, map)| (&*view, machine.id, base.boundary, map));
        let order = Order::of(self, task, &plan, known);
        let mut making = Making::new(self, task.machine, (base, disks.clone()), self.new_ingest());
        let scanner = what.scanner(self, &plan, map.as_ref());
        let run = likely::look(&mut making, &*scanner, &order, progress)?;
        let at = disks_at(task, &disks, &*scanner);
        let verdict = verdict.map(|ask| ask()).transpose()?;
        let row = |_| {
            verdict.map(|verdict| {
                let time = self.seams.clock.now();
                point_row(task, (started, time), verdict, at.clone(), progress.counters())
            })
        };
        let (published, row) = making.publish(run, progress, (row, task.promise))?;
        let Published { machine, number } = published;
        let point = row.map(|row| Point { number, row });
        let begun = point.as_ref().map(|_| started);
        Ok(Rescanned { boundary: Boundary { machine, number, begun, disks: at }, point, started_over })
    }
}

/// Asked for a verdict once everything was read, if there is to be a point.
type Asked<'a> = Option<&'a dyn Fn() -> Result<Verdict, VaultError>>;

/// What became of a rescan.
struct Rescanned {
    boundary: Boundary,
    /// If there was a verdict.
    point: Option<Point>,
    started_over: bool,
}

impl Rescanned {
    fn made(self) -> Made {
        let point = self.point.expect("a verdict makes a point");
        Made { machine: self.boundary.machine, point, started_over: self.started_over }
    }
}

/// A rescan, whoever reads the disks.
trait Rescan {
    fn task(&self) -> Task<'_>;

    /// What scans the segments of a plan and compares them with a map.
    fn scanner<'p>(&'p self, vault: &'p Vault, plan: &'p Plan, map: Option<&'p Arc<Map>>) -> Box<dyn Rescanner + 'p>;
}

impl Rescan for Capture<'_> {
    fn task(&self) -> Task<'_> {
        let Capture { machine, note, cancel, progress, promise, .. } = self;
        let disks = self.sources.iter().map(DiskFacts::of).collect();
        let used = self.sources.iter().map(|source| &source.used[..]).collect();
        Task { machine, disks, used, note, cancel, progress, promise }
    }

    fn scanner<'p>(&'p self, vault: &'p Vault, plan: &'p Plan, map: Option<&'p Arc<Map>>) -> Box<dyn Rescanner + 'p> {
        Box::new(RescanScanner::new(vault, self, plan, map))
    }
}

impl Rescan for FarCapture<'_> {
    fn task(&self) -> Task<'_> {
        let FarCapture { machine, disks, note, cancel, progress, promise, .. } = self;
        Task { machine, disks: disks.clone(), used: Vec::new(), note, cancel, progress, promise }
    }

    fn scanner<'p>(&'p self, vault: &'p Vault, plan: &'p Plan, map: Option<&'p Arc<Map>>) -> Box<dyn Rescanner + 'p> {
        Box::new(FarScanner::of_rescan(vault, self, plan, map))
    }
}

/// What is to be made of a rescan.
struct Task<'a> {
    machine: &'a str,
    disks: Vec<DiskFacts>,
    /// Byte ranges in use, of each disk; of none if only who reads them knows.
    used: Vec<&'a [Range<u64>]>,
    note: &'a str,
    cancel: &'a AtomicBool,
    progress: &'a Progress,
    promise: &'a Promise,
}

impl DiskFacts {
    fn of(source: &Source<'_>) -> DiskFacts {
        DiskFacts {
            name: source.name.clone(),
            origin: source.origin.clone(),
            size: source.volume.size(),
            sector: source.volume.sector_size(),
            used: source.used.iter().map(|range| range.end - range.start).sum(),
            exclusions: source.exclusions.clone(),
        }
    }
}

/// Where a span ends, and the disks as they were there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The machine.
    pub machine: Machine,
    /// The number at which the span ends; a point's, or of none.
    pub number: PointNo,
    /// When the making of that point began; `None` if it is none.
    pub begun: Option<Timestamp>,
    /// Its disks.
    pub disks: Vec<DiskAt>,
}

/// How a point in the making is known again, should nobody know what became of it.
///
/// Others may make a point of the same number instead, which leaves out other things; but not one that was begun at the same
/// nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InMaking {
    /// The number that it gets, if nobody else is quicker.
    pub number: PointNo,
    /// When it was begun.
    pub begun: Timestamp,
}

impl Boundary {
    /// Whether this is where that point's span ends.
    pub fn is(&self, made: &InMaking) -> bool {
        (self.number, self.begun) == (made.number, Some(made.begun))
    }
}

fn disks_at(task: &Task<'_>, disks: &[DiskNo], scanner: &dyn Rescanner) -> Vec<DiskAt> {
    let sources = task.disks.iter().zip(disks).enumerate();
    let at = |(index, (source, disk)): (usize, (&DiskFacts, &DiskNo))| {
        let seen = scanner.seen(index);
        DiskAt {
            disk: *disk,
            name: source.name.clone(),
            source: source.origin.clone(),
            size: source.size,
            sector: source.sector,
            unreadable: seen.unreadable.load(Ordering::Relaxed),
            absent: seen.absent.load(Ordering::Relaxed),
            excluded: seen.excluded.load(Ordering::Relaxed),
            stamp: Vec::new(),
            exclusions: source.exclusions.clone(),
        }
    };
    sources.map(at).collect()
}

fn point_row(
    task: &Task<'_>,
    (started, time): (Timestamp, Timestamp),
    verdict: Verdict,
    mut disks: Vec<DiskAt>,
    counters: Counters,
) -> PointRow {
    disks.iter_mut().zip(verdict.stamps).for_each(|(disk, stamp)| disk.stamp = stamp);
    disks.sort_by_key(|d| d.disk);
    PointRow {
        // Still sources are as they were all the time; of others, the newest write is what the point may show.
        time,
        started,
        committed: time,
        consistency: verdict.consistency,
        note: task.note.to_owned(),
        disks,
        read: counters.read,
        changed: counters.changed_pages,
        stored: counters.stored,
        // What is compared is read while it is written to, or while nothing can write to it.
        held: 0,
    }
}

fn check_names(task: &Task<'_>) -> Result<(), VaultError> {
    let names = task.disks.iter().map(|disk| disk.name.as_str()).chain([task.machine]);
    match names.into_iter().find(|n| !is_machine_name(n)) {
        Some(bad) => Err(VaultError::BadName(bad.to_owned())),
        None => Ok(()),
    }
}
