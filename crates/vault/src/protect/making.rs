//! A span in the making: what passes over the sources gather, until it is published as one entry of the ledger.
//!
//! Never knows: which pages a pass looks at, or why.

use backstay_format::rows::{PointRow, RowKey, SpanId};
use backstay_format::units::{DiskNo, PackId, PointNo};
use backstay_store::ingest::{Ingest, IngestError, NewPack, Scanner};
use backstay_timeline::extent::Extent;
use backstay_timeline::run::RunBuilder;

use super::base::Base;
use super::cut::Note;
use super::progress::Progress;
use super::sink::{Gathered, ProtectSink};
use crate::gap::{self, Promise};
use crate::rows::{Machine, delete, set};
use crate::spans::{PutRun, put_run};
use crate::{Vault, VaultError};

/// A span in the making. Dropped, it leaves behind what a crash would.
pub(super) struct Making<'v> {
    pub(super) vault: &'v Vault,
    name: String,
    pub(super) base: Base,
    pub(super) disks: Vec<DiskNo>,
    ingest: Ingest,
    gathered: Gathered,
}

/// A span that was published.
pub(super) struct Published {
    pub(super) machine: Machine,
    pub(super) number: PointNo,
}

impl<'v> Making<'v> {
    /// A span of machine `name` from where `base` ends, of disks with these numbers.
    pub(super) fn new(vault: &'v Vault, name: &str, (base, disks): (Base, Vec<DiskNo>), ingest: Ingest) -> Self {
        Making { vault, name: name.to_owned(), base, disks, ingest, gathered: Gathered::default() }
    }

    /// One pass. The extents it finds go to `out`, in order.
    ///
    /// # Errors
    /// What is durable was committed if possible, for another capture to find; this one cannot go on.
    pub(super) fn pass(
        &mut self,
        scanner: &dyn Scanner<Note = Note, Error = VaultError>,
        segments: usize,
        progress: &Progress,
        out: &mut dyn FnMut(Extent),
    ) -> Result<(), VaultError> {
        let vault = self.vault;
        vault.lock_index().update(&vault.ledger.view(), &vault.packs)?;
        let draft = self.base.draft(&self.name);
        let mut sink = ProtectSink { vault, progress, draft, gathered: &mut self.gathered, out };
        let outcome = self.ingest.run(scanner, segments, &mut sink).map_err(|e| match e {
            IngestError::Caller(error) => error,
            IngestError::Home(error) => error.into(),
            IngestError::Gone => VaultError::Overtaken,
        });
        if outcome.is_err() {
            sink.give_up();
        }
        outcome
    }

    /// Makes all that passes found durable, and commits it on the way.
    ///
    /// # Errors
    /// As [`Making::pass`].
    pub(super) fn flush(&mut self, progress: &Progress) -> Result<(), VaultError> {
        let vault = self.vault;
        vault.lock_index().update(&vault.ledger.view(), &vault.packs)?;
        let draft = self.base.draft(&self.name);
        let (gathered, out) = (&mut self.gathered, &mut |_| {});
        let mut sink = ProtectSink { vault, progress, draft, gathered, out };
        let written = self.ingest.finish().map_err(VaultError::from);
        let outcome = written.and_then(|packs| sink.commit_all(packs));
        if outcome.is_err() {
            sink.give_up();
        }
        outcome
    }

    /// What these packs were given for the span is not all of use any more: a later pass covered it.
    pub(super) fn cover(&mut self, packs: impl Iterator<Item = PackId>) {
        self.gathered.covered.extend(packs);
    }

    /// Puts the run into the last pack and commits everything in one entry. `row` makes the point's row, told how many bytes were
    /// stored; without one the span leads to a number that is no point.
    ///
    /// # Errors
    /// [`VaultError::Overtaken`] when others made a point of the machine, or took what this one refers to.
    pub(super) fn publish(
        mut self,
        run: RunBuilder,
        progress: &Progress,
        (row, promise): (impl FnOnce(u64) -> Option<PointRow>, &Promise),
    ) -> Result<(Published, Option<PointRow>), VaultError> {
        let run = put_run(&mut self.ingest, run, 0);
        // Keys of packs that never come to be do no harm, so they are committed while the last pack is written.
        let (vault, earlier) = (self.vault, &self.gathered.packs);
        let keys = |last: &[NewPack]| vault.commit_keys("protect", &[earlier, last].concat());
        let (last, keyed) = self.ingest.finish_beside(keys)?;
        last.iter().for_each(|pack| progress.stored(pack.row.len));
        self.gathered.packs.extend(last);
        let row = row(progress.counters().stored);
        let committed = keyed.and_then(|()| self.commit(&run, row, promise));
        let packs = || self.gathered.packs.iter().map(|pack| pack.id);
        let mut index = self.vault.lock_index();
        if committed.is_err() {
            index.distrust(packs());
        }
        let (published, row, seq) = committed?;
        self.gathered.packs.iter().try_for_each(|pack: &NewPack| index.add(pack))?;
        index.committed(packs(), seq);
        drop(index);
        self.gathered.packs.clear();
        Ok((published, row))
    }

    /// One entry with everything but the keys, which are committed already.
    fn commit(
        &self,
        run: &PutRun,
        row: Option<PointRow>,
        promise: &Promise,
    ) -> Result<(Published, Option<PointRow>, u64), VaultError> {
        let (vault, gathered) = (self.vault, &self.gathered);
        let mut published = None;
        let now = vault.seams.clock.now();
        let row = row.map(|row| PointRow { committed: now, ..row });
        let view = vault.ledger.commit(("protect", now), |view| {
            gathered.referred.check(view)?;
            let mut machine = self.base.continued(vault, view, &self.name, &self.disks)?;
            let number = machine.row.next_point;
            machine.row.next_point = PointNo(number.0 + 1);
            let mut changes = Vault::pack_changes(view, &gathered.packs)?;
            changes.extend(run.changes(SpanId { machine: machine.id, to: number, from: self.base.from }));
            // What a later pass covered is of no use, in part or wholly, and nobody else will come to know it.
            let waste: Vec<PackId> = gathered.covered_in(run).collect();
            let used = gathered.drafts.iter().filter(|pack| !waste.contains(pack));
            changes.extend(used.map(|pack| delete(RowKey::Suspect(*pack))));
            changes.extend(waste.iter().map(|pack| set(RowKey::Suspect(*pack), Vec::new())));
            if let Some(row) = &row {
                changes.push(set(RowKey::Point(machine.id, number), row.encode()));
                changes.extend(gap::changes(view, (machine.id, number), row, promise)?);
            }
            changes.push(set(RowKey::Machine(machine.id), machine.row.encode()));
            changes.push(set(RowKey::Name(self.name.clone()), machine.id.0.to_vec()));
            published = Some(Published { machine, number });
            Ok::<_, VaultError>(changes)
        })?;
        let published = published.expect("a commit that succeeded was decided on");
        Ok((published, row, view.seq()))
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if !self.gathered.packs.is_empty() {
            self.vault.lock_index().distrust(self.gathered.packs.iter().map(|pack| pack.id));
        }
    }
}
