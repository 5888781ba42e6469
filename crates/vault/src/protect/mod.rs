//! Protecting: making a point of a machine by rescan.
//!
//! Everything that is in use is read and compared with what the newest point says, and only pages that differ are stored. A first
//! capture is a rescan against nothing. Packs are committed on the way, so one that is interrupted and started again finds
//! what it stored; the point appears at the end, whole or not at all.
//!
//! Never knows: file systems (it is told what is in use), or whether anything writes to the source (it is told that, too).

mod compare;
mod progress;
mod scan;
mod segment;
mod sink;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::volume::Volume;
use backstay_format::names::is_machine_name;
use backstay_format::rows::{Consistency, DiskAt, Exclusion, MachineRow, PointRow, RowKey, SpanId};
use backstay_format::units::{DiskNo, MachineId, PackId, PointNo, Timestamp, pages_in};
use backstay_store::ingest::{IngestError, NewPack};
use backstay_store::ledger::View;

use crate::map::Map;
use crate::rows::{Machine, Point, delete, find_machine, newest_boundary, set};
use crate::spans::{PutRun, put_run};
use crate::{Vault, VaultError};

pub use progress::{Counters, Progress};
use scan::{Plan, RescanScanner};
use sink::{Outcome, ProtectSink, Referred};

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
        check_names(capture)?;
        let mut start_over = false;
        for _ in 0..ATTEMPTS {
            let view = self.ledger.refresh()?;
            match self.attempt(capture, start_over) {
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

    fn attempt(&self, capture: &Capture<'_>, start_over: bool) -> Result<Made, VaultError> {
        let started = self.seams.clock.now();
        let view = self.ledger.refresh()?;
        self.table.refresh()?;
        let base = Base::find(self, &view, capture.machine, start_over)?;
        let disks = base.number_disks(&capture.sources);
        let plan = Plan::new(&capture.sources, &disks);
        capture.progress.begin(plan.bytes());
        let mut index = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        index.update(&view, &self.packs)?;
        let mut ingest = self.new_ingest();
        let mut sink = ProtectSink::new(self, &mut index, capture.progress);
        let scanner = RescanScanner::new(self, capture, &plan, base.map.as_ref());
        let outcome = ingest.run(&scanner, plan.segments(), &mut sink);
        let outcome = outcome.map_err(|e| match e {
            IngestError::Caller(error) => error,
            IngestError::Home(error) => error.into(),
        });
        if let Err(error) = outcome {
            sink.give_up();
            return Err(error);
        }
        let Outcome { run, referred, mut packs, drafts } = sink.finish();
        let run = put_run(&mut ingest, run, 0);
        let last = ingest.finish()?;
        let stored = capture.progress.counters().stored + last.iter().map(|p| p.row.len).sum::<u64>();
        packs.extend(last);
        let time = Times { started, shown: self.seams.clock.now() };
        let counters = capture.progress.counters();
        let row = point_row(capture, &disks, time, &scanner, Counters { stored, ..counters });
        let made = self.publish(capture.machine, &base, &disks, row, (&run, &referred, &packs, &drafts));
        if made.is_err() {
            index.distrust();
        }
        let (made, seq) = made?;
        packs.iter().try_for_each(|p| index.add(p))?;
        index.committed(seq);
        index.settle()?;
        drop(index);
        Ok(made)
    }

    /// Commits the point: keys, then one entry with everything else.
    fn publish(
        &self,
        name: &str,
        base: &Base,
        disks: &[DiskNo],
        row: PointRow,
        (run, referred, packs, drafts): (&PutRun, &Referred, &[NewPack], &[PackId]),
    ) -> Result<(Made, u64), VaultError> {
        self.commit_keys("protect", packs)?;
        let mut made = None;
        let now = self.seams.clock.now();
        let view = self.ledger.commit(("protect", now), |view| {
            referred.check(view)?;
            let machine = base.continued(self, view, name, disks)?;
            let number = machine.row.next_point;
            let id = SpanId { machine: machine.id, to: number, from: base.from };
            let mut changes = Vault::pack_changes(view, packs)?;
            changes.extend(run.changes(id));
            changes.extend(drafts.iter().map(|pack| delete(RowKey::Suspect(*pack))));
            let row = PointRow { committed: now, ..row.clone() };
            changes.push(set(RowKey::Point(machine.id, number), row.encode()));
            let next = MachineRow { next_point: PointNo(number.0 + 1), ..machine.row.clone() };
            changes.push(set(RowKey::Machine(machine.id), next.encode()));
            changes.push(set(RowKey::Name(name.to_owned()), machine.id.0.to_vec()));
            let (machine, point) = (Machine { id: machine.id, row: next }, Point { number, row });
            made = Some(Made { machine, point, started_over: base.from < base.boundary });
            Ok::<_, VaultError>(changes)
        })?;
        let made = made.expect("a commit that succeeded was decided on");
        Ok((made, view.seq()))
    }
}

struct Times {
    started: Timestamp,
    shown: Timestamp,
}

fn check_names(capture: &Capture<'_>) -> Result<(), VaultError> {
    let names = capture.sources.iter().map(|s| s.name.as_str()).chain([capture.machine]);
    match names.into_iter().find(|n| !is_machine_name(n)) {
        Some(bad) => Err(VaultError::BadName(bad.to_owned())),
        None => Ok(()),
    }
}

fn point_row(
    capture: &Capture<'_>,
    disks: &[DiskNo],
    times: Times,
    scanner: &RescanScanner<'_>,
    counters: Counters,
) -> PointRow {
    let verdict = (capture.verdict)();
    let mut at: Vec<DiskAt> = Vec::new();
    for (index, (source, disk)) in capture.sources.iter().zip(disks).enumerate() {
        let seen = scanner.seen(index);
        at.push(DiskAt {
            disk: *disk,
            name: source.name.clone(),
            source: source.origin.clone(),
            size: source.volume.size(),
            sector: source.volume.sector_size(),
            unreadable: seen.unreadable.load(Ordering::Relaxed),
            absent: seen.absent.load(Ordering::Relaxed),
            excluded: seen.excluded.load(Ordering::Relaxed),
            stamp: verdict.stamps.get(index).cloned().unwrap_or_default(),
            exclusions: source.exclusions.clone(),
        });
    }
    at.sort_by_key(|d| d.disk);
    PointRow {
        // Still sources are as they were all the time; of others, the newest write is what the point may show.
        time: times.shown,
        started: times.started,
        committed: times.shown,
        consistency: verdict.consistency,
        note: capture.note.clone(),
        disks: at,
        read: counters.read,
        changed: counters.changed_pages,
        stored: counters.stored,
    }
}

/// What a capture continues.
struct Base {
    machine: Option<Machine>,
    /// Where the newest span ends.
    boundary: PointNo,
    /// Where the capture's span is to begin: there, or at the beginning.
    from: PointNo,
    /// What the disks held there.
    map: Option<Arc<Map>>,
    /// Names and numbers of the disks at the newest point.
    disks: Vec<DiskAt>,
}

impl Base {
    /// What there is to continue. `start_over`: its map is damaged, so nothing is but the names and numbers of the disks. What is
    /// dropped with the map is read from the sources again, and found by the index where it was stored before.
    fn find(vault: &Vault, view: &View, name: &str, start_over: bool) -> Result<Base, VaultError> {
        const NOTHING: PointNo = PointNo::BEGINNING;
        let Some(machine) = find_machine(view, name)? else {
            return Ok(Base { machine: None, boundary: NOTHING, from: NOTHING, map: None, disks: Vec::new() });
        };
        let boundary = newest_boundary(view, machine.id)?;
        let from = if start_over { NOTHING } else { boundary };
        let map = match from {
            NOTHING => None,
            number => Some(Arc::new(vault.map(machine.id, number)?)),
        };
        let disks = match vault.point_at(&machine, None) {
            Ok(point) => point.row.disks,
            Err(VaultError::NoPoint(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Base { machine: Some(machine), boundary, from, map, disks })
    }

    /// The number of each source's disk: that of the disk of its name, or a new one.
    fn number_disks(&self, sources: &[Source<'_>]) -> Vec<DiskNo> {
        let mut next = self.machine.as_ref().map_or(1, |m| m.row.next_disk.0);
        let mut number = |source: &Source<'_>| {
            let known = self.disks.iter().find(|d| d.name == source.name).map(|d| d.disk);
            known.unwrap_or_else(|| {
                next += 1;
                DiskNo(next - 1)
            })
        };
        sources.iter().map(&mut number).collect()
    }

    /// The machine as it will be, if it is still as we found it.
    fn continued(&self, vault: &Vault, view: &View, name: &str, disks: &[DiskNo]) -> Result<Machine, VaultError> {
        let now = find_machine(view, name)?;
        let boundary = now.as_ref().map_or(Ok(PointNo::BEGINNING), |m| newest_boundary(view, m.id))?;
        let same =
            now.as_ref().map(|m| (m.id, m.row.next_disk)) == self.machine.as_ref().map(|m| (m.id, m.row.next_disk));
        if !same || boundary != self.boundary {
            return Err(VaultError::Overtaken);
        }
        let mut machine = now.unwrap_or_else(|| Machine {
            id: MachineId(vault.seams.salt()),
            row: MachineRow {
                created: vault.seams.clock.now(),
                name: name.to_owned(),
                next_disk: DiskNo(1),
                next_point: PointNo(1),
            },
        });
        let highest = disks.iter().map(|d| d.0 + 1).max().unwrap_or(1);
        machine.row.next_disk = DiskNo(machine.row.next_disk.0.max(highest));
        Ok(machine)
    }
}

/// Pages of a source.
fn pages_of(source: &Source<'_>) -> u64 {
    pages_in(source.volume.size())
}
