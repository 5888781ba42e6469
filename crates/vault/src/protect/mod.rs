//! Protecting: making a point of a machine by rescan.
//!
//! Everything that is in use is read and compared with what the newest point says, and only pages that differ are stored. A first
//! capture is a rescan against nothing. Packs are committed on the way, so one that is interrupted and started again finds
//! what it stored; the point appears at the end, whole or not at all.
//!
//! Never knows: file systems (it is told what is in use), or whether anything writes to the source (it is told that, too).

mod base;
mod compare;
mod cut;
mod follow;
mod making;
mod progress;
mod recount;
mod scan;
mod segment;
mod sink;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::volume::Volume;
use backstay_format::names::is_machine_name;
use backstay_format::rows::{Consistency, DiskAt, Exclusion, PointRow};
use backstay_format::units::{DiskNo, PointNo, Timestamp, pages_in};
use backstay_timeline::run::RunBuilder;

use crate::gap::Promise;
use crate::rows::{Machine, Point};
use crate::{Vault, VaultError};

use base::Base;
pub use follow::{Changed, Following, Told};
use making::{Making, Published};
pub use progress::{Counters, Progress};
use scan::{Plan, RescanScanner};

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
        let verdict = || (capture.verdict)();
        let (boundary, point, started_over) = self.rescan(capture, Some(&verdict))?;
        let point = point.expect("a verdict makes a point");
        Ok(Made { machine: boundary.machine, point, started_over })
    }

    /// As [`Vault::protect`], but makes no point: afterwards the timeline has what the disks hold, as far as they held still, for
    /// [`Vault::follow`] to go on from.
    ///
    /// # Errors
    /// As [`Vault::protect`].
    pub fn catch_up(&self, capture: &Capture<'_>) -> Result<Boundary, VaultError> {
        Ok(self.rescan(capture, None)?.0)
    }

    fn rescan(&self, capture: &Capture<'_>, verdict: Asked<'_>) -> Result<Rescanned, VaultError> {
        check_names(capture)?;
        let mut start_over = false;
        for _ in 0..ATTEMPTS {
            let view = self.ledger.refresh()?;
            match self.attempt(capture, start_over, verdict) {
                Err(VaultError::Overtaken) => {}
                // Others moved or reclaimed what the newest point refers to while it was compared with.
                Err(error) if self.is_outdated(&view, &error)? => {}
                Err(error) if error.is_damage() && !start_over => start_over = true,
                outcome => return outcome,
            }
            capture.progress.restart();
        }
        Err(VaultError::Overtaken)
    }

    fn attempt(&self, capture: &Capture<'_>, start_over: bool, verdict: Asked<'_>) -> Result<Rescanned, VaultError> {
        let started = self.seams.clock.now();
        let view = self.ledger.refresh()?;
        self.table.refresh()?;
        let base = Base::find(self, &view, capture.machine, start_over)?;
        let names: Vec<&str> = capture.sources.iter().map(|s| s.name.as_str()).collect();
        let disks = base.number_disks(&names);
        let plan = Plan::new(&capture.sources, &disks);
        let progress = capture.progress;
        progress.begin(plan.bytes());
        let (map, started_over) = (base.map.clone(), base.from < base.boundary);
        let mut making = Making::new(self, capture.machine, (base, disks.clone()), self.new_ingest());
        let scanner = RescanScanner::new(self, capture, &plan, map.as_ref());
        let mut run = RunBuilder::default();
        making.pass(&scanner, plan.segments(), progress, &mut |extent| run.push(extent))?;
        let at = disks_at(capture, &disks, &scanner);
        let row = |_| {
            verdict.map(|ask| {
                let time = self.seams.clock.now();
                point_row(capture, (started, time), ask(), at.clone(), progress.counters())
            })
        };
        let (published, row) = making.publish(run, progress, (row, &capture.promise))?;
        let Published { machine, number } = published;
        let point = row.map(|row| Point { number, row });
        let begun = point.as_ref().map(|_| started);
        Ok((Boundary { machine, number, begun, disks: at }, point, started_over))
    }
}

/// Asked for a verdict once everything was read, if there is to be a point.
type Asked<'a> = Option<&'a dyn Fn() -> Verdict>;
type Rescanned = (Boundary, Option<Point>, bool);

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

fn disks_at(capture: &Capture<'_>, disks: &[DiskNo], scanner: &RescanScanner<'_>) -> Vec<DiskAt> {
    let sources = capture.sources.iter().zip(disks).enumerate();
    let at = |(index, (source, disk)): (usize, (&Source<'_>, &DiskNo))| {
        let seen = scanner.seen(index);
        DiskAt {
            disk: *disk,
            name: source.name.clone(),
            source: source.origin.clone(),
            size: source.volume.size(),
            sector: source.volume.sector_size(),
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
    capture: &Capture<'_>,
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
        note: capture.note.clone(),
        disks,
        read: counters.read,
        changed: counters.changed_pages,
        stored: counters.stored,
    }
}

fn check_names(capture: &Capture<'_>) -> Result<(), VaultError> {
    let names = capture.sources.iter().map(|s| s.name.as_str()).chain([capture.machine]);
    match names.into_iter().find(|n| !is_machine_name(n)) {
        Some(bad) => Err(VaultError::BadName(bad.to_owned())),
        None => Ok(()),
    }
}

/// Pages of a source.
fn pages_of(source: &Source<'_>) -> u64 {
    pages_in(source.volume.size())
}
