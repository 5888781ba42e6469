//! Following changes: a point is made of what somebody says has changed since the newest one, without looking at the rest.
//!
//! Pass after pass, pages that were written are read and stored; a later pass covers an earlier one. Then a point is made of
//! all passes together. What of it is true rests on whoever says what changed.
//!
//! Never knows: how changes are noticed, or what makes a disk hold still.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backstay_env::real::disk::Buffers;
use backstay_env::volume::Volume;
use backstay_format::rows::{Consistency, DiskAt, Exclusion, PointRow};
use backstay_format::units::{DiskNo, PackId, PageNo, Timestamp};
use backstay_timeline::extent::{Content, Extent, overlay};
use backstay_timeline::run::RunBuilder;

use super::base::Base;
use super::far::{Far, FarScanner, FarSegment, Shown};
use super::making::{Making, Published};
use super::pass::{PassScanner, PassSegment, segments};
use super::{Boundary, Counters, InMaking, Made, Progress};
use crate::disk::PointDisk;
use crate::gap::Promise;
use crate::lacks;
use crate::rows::{Point, find_machine, newest_boundary};
use crate::{Vault, VaultError};

/// Pieces of a segment that is read here: while more were read, what was read before would wait to be written.
const PIECES: usize = 64;
/// And of one that somebody else reads: each costs two answers.
const FAR_PIECES: usize = 256;

/// Pages of a disk that may have changed.
pub struct Changed<'a> {
    /// Which disk, as an index of [`Boundary::disks`].
    pub disk: usize,
    /// Read now.
    pub volume: &'a dyn Volume,
    /// The pages, in order, not touching.
    pub pages: Vec<Range<u64>>,
    /// Byte ranges, in order, that are left out by choice.
    pub excluded: Vec<Range<u64>>,
}

/// As [`Changed`], of a disk that somebody else reads.
pub struct FarChanged {
    /// Which disk, as an index of [`Boundary::disks`].
    pub disk: usize,
    /// The pages, in order, not touching.
    pub pages: Vec<Range<u64>>,
}

/// What a point is to say of itself.
#[derive(Clone, Debug)]
pub struct Told {
    /// The moment it shows.
    pub time: Timestamp,
    /// Whether the disks held still at that moment.
    pub consistency: Consistency,
    /// For how long those who write to them were held still for it, in nanoseconds; 0: nobody was.
    pub held: u64,
    /// For people.
    pub note: String,
    /// For each disk, what choices left out.
    pub exclusions: Vec<Vec<Exclusion>>,
    /// When the next point will be, and what kept this one from being made earlier.
    pub promise: Promise,
}

/// A point in the making, of a machine whose changes are followed.
pub struct Following<'v> {
    making: Making<'v>,
    disks: Vec<DiskAt>,
    started: Timestamp,
    progress: Progress,
    /// What a rescan right before did for this point.
    before: Counters,
    /// What all passes found, in order.
    extents: Vec<Extent>,
}

impl Vault {
    /// Where the newest span of a machine ends, and its disks at the newest point; `None` for a machine that has neither.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn boundary(&self, machine: &str) -> Result<Option<Boundary>, VaultError> {
        let view = self.ledger.refresh()?;
        let Some(machine) = find_machine(&view, machine)? else { return Ok(None) };
        let number = newest_boundary(&view, machine.id)?;
        match self.point_at(&machine, None) {
            Ok(point) => {
                let begun = (point.number == number).then_some(point.row.started);
                let mut disks = point.row.disks;
                if begun.is_none() {
                    self.count_all((machine.id, number), &mut disks)?;
                }
                Ok(Some(Boundary { machine, number, begun, disks }))
            }
            Err(VaultError::NoPoint(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a point of a machine that goes on from a boundary: that of the last [`Vault::catch_up`] or point.
    ///
    /// # Errors
    /// [`VaultError::Overtaken`]: that is not where the machine's newest span ends any more.
    pub fn follow(&self, from: &Boundary) -> Result<Following<'_>, VaultError> {
        let view = self.ledger.refresh()?;
        self.table.refresh()?;
        let name = &from.machine.row.name;
        let Some(machine) = find_machine(&view, name)? else { return Err(VaultError::Overtaken) };
        if machine.id != from.machine.id || newest_boundary(&view, machine.id)? != from.number {
            return Err(VaultError::Overtaken);
        }
        let numbers: Vec<DiskNo> = from.disks.iter().map(|d| d.disk).collect();
        let base = Base::known(machine, from.number);
        Ok(Following {
            making: Making::new(self, name, (base, numbers), self.small_ingest()),
            disks: from.disks.iter().map(|disk| DiskAt { stamp: Vec::new(), ..disk.clone() }).collect(),
            started: self.seams.clock.now(),
            progress: Progress::default(),
            before: Counters::default(),
            extents: Vec::new(),
        })
    }
}

impl Following<'_> {
    /// Reads pages and stores them. Each page is as some read of it during the call returned it. A disk that has grown or shrunk
    /// cannot be followed: that is for a [`Vault::catch_up`].
    ///
    /// # Errors
    /// [`VaultError::Source`], [`VaultError::Home`], [`VaultError::Cancelled`]: this point cannot be made any more; another can,
    /// of the same changes.
    pub fn pass(&mut self, changed: &[Changed<'_>], cancel: &AtomicBool) -> Result<(), VaultError> {
        let mut order: Vec<&Changed<'_>> = changed.iter().collect();
        order.sort_by_key(|c| self.disks[c.disk].disk);
        let segments: Vec<_> =
            order.iter().enumerate().flat_map(|(index, c)| segments((index, PIECES), &c.pages)).collect();
        let scanner = PassScanner {
            changed: &order,
            disks: &self.disks,
            segments: &segments,
            cancel,
            cutting: self.making.vault.cutting(),
            buffers: Buffers::new(segments.iter().map(PassSegment::bytes).max().unwrap_or(0)),
            progress: &self.progress,
        };
        let mut found = Vec::new();
        let mut out = |extent| backstay_timeline::extent::push(&mut found, extent);
        self.making.pass(&scanner, segments.len(), &self.progress, &mut out)?;
        self.lay_over(found);
        Ok(())
    }

    /// As [`Following::pass`], of disks that somebody else reads.
    ///
    /// # Errors
    /// As [`Following::pass`]; [`VaultError::Source`] also if whoever reads them does not answer, or not as it should.
    pub fn pass_far(
        &mut self,
        changed: &[FarChanged],
        (far, shown): (&dyn Far, &Shown),
        cancel: &AtomicBool,
    ) -> Result<(), VaultError> {
        let mut order: Vec<&FarChanged> = changed.iter().collect();
        order.sort_by_key(|c| self.disks[c.disk].disk);
        let segments = order.iter().flat_map(|c| segments((c.disk, FAR_PIECES), &c.pages));
        let segments: Vec<_> = segments.map(|s| FarSegment { disk: s.changed, pieces: s.pieces }).collect();
        let count = segments.len();
        let disks = self.disks.iter().map(|disk| (disk.name.clone(), disk.disk)).collect();
        let scanner = FarScanner::of_pass(self.making.vault, (far, shown), (disks, segments), (cancel, &self.progress));
        let mut found = Vec::new();
        let mut out = |extent| backstay_timeline::extent::push(&mut found, extent);
        self.making.pass(&scanner, count, &self.progress, &mut out)?;
        self.lay_over(found);
        Ok(())
    }

    /// Pages that nothing uses any more: they are absent from now on, and nobody reads them. Of some of the disks, as indices of
    /// [`Boundary::disks`]; each once, its ranges in order.
    pub fn absent(&mut self, pages: &[(usize, Vec<Range<u64>>)]) {
        let disk = |(disk, pages): &(usize, Vec<Range<u64>>)| (self.disks[*disk].disk, pages.clone());
        let mut order: Vec<(DiskNo, Vec<Range<u64>>)> = pages.iter().map(disk).collect();
        order.sort_by_key(|(disk, _)| *disk);
        let mut found = Vec::new();
        for (disk, pages) in order {
            for range in pages {
                let (page, pages) = (PageNo(range.start), range.end - range.start);
                backstay_timeline::extent::push(&mut found, Extent { disk, page, pages, content: Content::Absent });
            }
        }
        self.lay_over(found);
    }

    fn lay_over(&mut self, found: Vec<Extent>) {
        self.making.cover(covered(&self.extents, &found));
        self.extents = overlay(&found, &self.extents);
    }

    /// The disks as they are by what passes found so far: nothing changes them, and no point has them yet. All that was found is
    /// stored and committed on the way for this, which takes an entry of the ledger.
    ///
    /// # Errors
    /// As [`Following::pass`].
    pub fn image(&mut self) -> Result<Vec<PointDisk>, VaultError> {
        self.making.flush(&self.progress)?;
        let Some(machine) = self.making.base.machine.clone() else { return Err(VaultError::NoWay) };
        let mut disks = self.disks.clone();
        recount(&self.making, &mut disks, &self.extents)?;
        let at = Boundary { machine, number: self.making.base.from, begun: None, disks };
        let over = Arc::new(self.extents.clone());
        Ok(self.making.vault.disks_where(&at)?.into_iter().map(|disk| disk.under(over.clone())).collect())
    }

    /// What each disk lacks by choice as it is by what passes found so far, if it lacked these pages when this began.
    pub fn lacking(&self, lacked: &[Vec<Range<u64>>]) -> Vec<Vec<Range<u64>>> {
        let of_disk = |(disk, lacked): (&DiskAt, &Vec<Range<u64>>)| {
            let from = self.extents.partition_point(|e| e.disk < disk.disk);
            let to = self.extents.partition_point(|e| e.disk <= disk.disk);
            lacks::under(lacked, &self.extents[from..to])
        };
        self.disks.iter().zip(lacked).map(of_disk).collect()
    }

    /// What passes did so far.
    pub fn counters(&self) -> Counters {
        self.progress.counters()
    }

    /// What the point is to keep of each disk for the program that made it, in the order of [`Boundary::disks`]; else nothing.
    pub fn stamp(&mut self, stamps: Vec<Vec<u8>>) {
        self.disks.iter_mut().zip(stamps).for_each(|(disk, stamp)| disk.stamp = stamp);
    }

    /// What a [`Vault::catch_up`] right before did was done for this point, and is counted with it.
    pub fn after(&mut self, rescan: Counters) {
        self.before = rescan;
    }

    /// How many extents passes found: what this point holds in memory, some fifty bytes each.
    pub fn extents(&self) -> usize {
        self.extents.len()
    }

    /// What a point published now is known by.
    pub fn in_making(&self) -> Option<InMaking> {
        let number = self.making.base.machine.as_ref().map(|m| m.row.next_point)?;
        Some(InMaking { number, begun: self.started })
    }

    /// Makes the point. On `Ok` it survives a power loss.
    ///
    /// # Errors
    /// [`VaultError::Overtaken`] when others made a point of the machine, or took what this one refers to; [`VaultError::Home`].
    /// Another point can be made of the same changes.
    pub fn publish(self, told: Told) -> Result<Made, VaultError> {
        let Following { making, mut disks, started, progress, before, extents } = self;
        for (disk, exclusions) in disks.iter_mut().zip(&told.exclusions) {
            disk.exclusions.clone_from(exclusions);
        }
        recount(&making, &mut disks, &extents)?;
        disks.sort_by_key(|d| d.disk);
        let row = |stored| {
            let counters = progress.counters();
            Some(PointRow {
                time: told.time,
                started,
                committed: told.time,
                consistency: told.consistency,
                note: told.note.clone(),
                disks,
                read: before.read + counters.read,
                changed: before.changed_pages + counters.changed_pages,
                stored: before.stored + stored,
                held: told.held,
            })
        };
        let (Published { machine, number }, row) = making.publish(run_of(extents), &progress, (row, &told.promise))?;
        let row = row.expect("a row was given");
        Ok(Made { machine, point: Point { number, row }, started_over: false })
    }

    /// As [`Following::publish`], but makes no point: what passes found so far is in the timeline, for the next one to go on from.
    /// For when it gets too much to hold in memory.
    ///
    /// # Errors
    /// As [`Following::publish`].
    pub fn set_down(self) -> Result<Boundary, VaultError> {
        let Following { making, mut disks, progress, extents, .. } = self;
        recount(&making, &mut disks, &extents)?;
        let (Published { machine, number }, _) =
            making.publish(run_of(extents), &progress, (|_| None, &Promise::default()))?;
        Ok(Boundary { machine, number, begun: None, disks })
    }
}

impl Made {
    /// Where the point's span ends: for the next one to go on from.
    pub fn boundary(&self) -> Boundary {
        let Point { number, row } = &self.point;
        Boundary { machine: self.machine.clone(), number: *number, begun: Some(row.started), disks: row.disks.clone() }
    }
}

/// Packs of extents that later ones cover, in part or wholly.
fn covered<'e>(extents: &'e [Extent], later: &'e [Extent]) -> impl Iterator<Item = PackId> + 'e {
    let is_covered = |extent: &&Extent| {
        let next = later.partition_point(|l| (l.disk, l.end()) <= (extent.disk, extent.page));
        later.get(next).is_some_and(|l| l.disk == extent.disk && l.page < extent.end())
    };
    extents.iter().filter(is_covered).filter_map(|extent| match extent.content {
        Content::Data { pack, .. } => Some(pack),
        _ => None,
    })
}

/// Counts anew what could not be read or was left out. How many pages nothing uses stays as the last rescan found it.
fn recount(making: &Making<'_>, disks: &mut [DiskAt], extents: &[Extent]) -> Result<(), VaultError> {
    match &making.base.machine {
        Some(machine) => making.vault.recount((machine.id, making.base.from), disks, extents),
        None => Ok(()),
    }
}

fn run_of(extents: Vec<Extent>) -> RunBuilder {
    let mut run = RunBuilder::default();
    extents.into_iter().for_each(|extent| run.push(extent));
    run
}
