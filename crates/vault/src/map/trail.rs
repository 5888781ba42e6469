//! The way to a point: spans that follow each other, the widest that can be read first.
//!
//! Where a run, or a block of one, is damaged, others may know the same: a summary knows what the spans that it sums up say, and these
//! know what it says. What none of them knows is unknown, and no more than that.
//!
//! Never knows: what pages hold.

use std::ops::Range;
use std::sync::Arc;

use backstay_format::rows::{SpanId, SpanRow};
use backstay_format::units::{DiskNo, MachineId, PointNo};
use backstay_store::ledger::{Ledger, View};
use backstay_store::packs::Packs;
use backstay_timeline::extent::{Extent, overlay};

use super::known::{Known, gaps};
use super::run::{Readable, Run, RunCache};
use crate::VaultError;
use crate::rows::spans_ending;

/// Runs, newest first, and the damage that they end at, if any.
type Way = (Vec<Arc<Run>>, Option<VaultError>);

/// The way between two numbers of a machine.
pub(super) struct Trail {
    pub(super) ledger: Arc<Ledger>,
    pub(super) packs: Arc<Packs>,
    pub(super) cache: Arc<RunCache>,
    pub(super) machine: MachineId,
    pub(super) way: (PointNo, PointNo),
}

/// Pages of which only what happened after a number was found out so far.
struct Task {
    at: PointNo,
    pages: Range<u64>,
    /// What happened after it.
    newer: Vec<Extent>,
}

impl Trail {
    /// The runs, and why they end before the older number, if they do. Where a summary is damaged, the spans it sums up are taken.
    pub(super) fn open(&self) -> Result<Way, VaultError> {
        match self.open_by(&self.ledger.view())? {
            // Others may have merged spans since that view, and reclaimed what they were.
            (_, Some(_)) => self.open_by(&*self.newest()?),
            whole => Ok(whole),
        }
    }

    /// The newest rows that can be had.
    fn newest(&self) -> Result<Arc<View>, VaultError> {
        match self.ledger.refresh() {
            Err(error) if error.is_damage() => Ok(self.ledger.view()),
            view => Ok(view?),
        }
    }

    fn open_by(&self, view: &View) -> Result<Way, VaultError> {
        let mut runs = Vec::new();
        let mut at = self.way.1;
        while at > self.way.0 {
            let mut outcome = Err(VaultError::NoWay);
            for (span, row) in self.steps(view, at)? {
                outcome = self.cache.open(&self.packs, &row).map(|run| (run, span.from));
                if !matches!(&outcome, Err(error) if error.is_damage()) {
                    break;
                }
            }
            match outcome {
                Ok((run, from)) => {
                    runs.push(run);
                    at = from;
                }
                Err(error) if error.is_damage() => return Ok((runs, Some(error))),
                Err(error) => return Err(error),
            }
        }
        Ok((runs, None))
    }

    /// The spans that lead to a number, the widest first.
    fn steps(&self, view: &View, to: PointNo) -> Result<Vec<(SpanId, SpanRow)>, VaultError> {
        let mut spans = spans_ending(view, self.machine, to)?;
        spans.retain(|(span, _)| span.from >= self.way.0);
        spans.sort_by_key(|(span, _)| span.from);
        Ok(spans)
    }

    /// What can be known of pages of a disk by the ledger as it is now, past all damage. (Spans that were merged since the way was
    /// opened look like damage, too; here, those that replaced them are found.)
    pub(super) fn salvage(&self, disk: DiskNo, pages: &Range<u64>) -> Result<Known, VaultError> {
        let view = self.newest()?;
        let mut tasks = vec![Task { at: self.way.1, pages: pages.clone(), newer: Vec::new() }];
        let mut known = Known::default();
        while let Some(task) = tasks.pop() {
            if task.at <= self.way.0 {
                known.extents.extend(task.newer);
            } else {
                self.step(&view, disk, &task, &mut tasks, &mut known)?;
            }
        }
        known.extents.sort_by_key(|e| e.page);
        known.unknown.sort_by_key(|u| u.start);
        Ok(known)
    }

    /// Asks the spans that lead to a task's number for its pages, each for what those before it do not know.
    fn step(
        &self,
        view: &View,
        disk: DiskNo,
        task: &Task,
        tasks: &mut Vec<Task>,
        known: &mut Known,
    ) -> Result<(), VaultError> {
        let newer_in =
            |pages: &Range<u64>| -> Vec<Extent> { task.newer.iter().filter_map(|e| e.clip(pages)).collect() };
        let mut open = vec![task.pages.clone()];
        for (span, row) in self.steps(view, task.at)? {
            for pages in std::mem::take(&mut open) {
                let read = self.read(&row, disk, &pages)?;
                for pages in gaps(&pages, read.lost.iter().cloned()) {
                    let older: Vec<Extent> = read.extents.iter().filter_map(|e| e.clip(&pages)).collect();
                    let newer = overlay(&newer_in(&pages), &older);
                    tasks.push(Task { at: span.from, pages, newer });
                }
                open.extend(read.lost);
                known.why = known.why.take().or(read.why);
            }
        }
        for pages in open {
            let newer = newer_in(&pages);
            known.unknown.extend(gaps(&pages, newer.iter().map(|e| e.page.0..e.end().0)));
            known.extents.extend(newer);
            known.why.get_or_insert_with(|| VaultError::NoWay.to_string());
        }
        Ok(())
    }

    fn read(&self, row: &SpanRow, disk: DiskNo, pages: &Range<u64>) -> Result<Readable, VaultError> {
        match self.cache.open(&self.packs, row).and_then(|run| run.readable(&self.packs, disk, pages)) {
            Err(error) if error.is_damage() => {
                let mut nothing = Readable::default();
                nothing.lose(pages.clone(), &error);
                Ok(nothing)
            }
            read => read,
        }
    }
}
