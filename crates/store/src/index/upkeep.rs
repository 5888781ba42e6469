//! Keeping an index small: taking up what others wrote, merging, deleting.
//!
//! Never knows: chunks.
//!
//! Nothing is deleted before what replaces it is durable. Each step may be the last one before a crash: what it leaves is
//! a run that another one covers, or parts without a root, and both are found and deleted later.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;
use super::merge::{Merge, Step};
use super::policy::{self, RunSize};
use super::run::Run;
use super::site::{Found, RunId};
use super::{Dropped, Index, IndexError};

/// How often a listing is repeated when what it shows has gone by the time it is opened.
const LISTINGS: u32 = 4;

impl Index {
    /// Takes up the runs that others wrote, and lets go of those that others deleted.
    ///
    /// # Errors
    /// [`IndexError::List`]; the runs in use stay so.
    pub fn refresh(&mut self) -> Result<(), IndexError> {
        self.shelve_failed();
        let mut missing = BTreeMap::new();
        for _ in 0..LISTINGS {
            let found = self.site.list().map_err(IndexError::List)?;
            self.runs.retain(|run| found.get(&run.id).is_some_and(|found| found.root));
            missing = self.open_new(&found);
            self.look_at_incomplete(found);
            if missing.is_empty() {
                break;
            }
        }
        for (id, found) in missing {
            self.drop_unopened(id, found, Fault::Missing);
        }
        Ok(())
    }

    /// Opens the runs that are not open yet, and returns those of which something is missing: most likely another process
    /// has just merged and deleted them, and the next listing shows what has come in their place.
    fn open_new(&mut self, found: &BTreeMap<RunId, Found>) -> BTreeMap<RunId, Found> {
        let mut missing = BTreeMap::new();
        for (id, found) in found.iter().filter(|(_, found)| found.root) {
            let known = self.runs.iter().chain(&self.lost).any(|run| run.id == *id);
            if known || self.doomed.contains_key(id) {
                continue;
            }
            match Run::open(&self.site, *id) {
                Ok(run) => self.adopt(run),
                Err(Fault::Missing) => _ = missing.insert(*id, found.clone()),
                Err(why) => self.drop_unopened(*id, found.clone(), why),
            }
        }
        missing
    }

    fn drop_unopened(&mut self, run: RunId, found: Found, why: Fault) {
        if why.is_final() {
            self.doomed.insert(run, found);
        }
        self.dropped.insert(run, Dropped { run, why });
    }

    /// A run without a root that has not grown since the last look was left by a crash, as far as one can tell. If its
    /// writer lives after all, it finds out when it has finished, and keeps what it merged.
    fn look_at_incomplete(&mut self, found: BTreeMap<RunId, Found>) {
        let mine = self.merge.as_ref().map(Merge::id);
        let foreign = |id: &RunId| Some(*id) != mine && !self.doomed.contains_key(id);
        let incomplete: BTreeMap<RunId, Found> =
            found.into_iter().filter(|(id, found)| !found.root && foreign(id)).collect();
        for (id, now) in &incomplete {
            if self.incomplete.get(id) == Some(now) {
                self.doomed.insert(*id, now.clone());
            }
        }
        self.incomplete = incomplete;
    }

    /// Uses a run from now on.
    pub(super) fn adopt(&mut self, run: Run) {
        self.forgotten.iter().for_each(|writing| run.forget(writing));
        self.dropped.remove(&run.id);
        let place = self.runs.partition_point(|other| other.entries >= run.entries);
        self.runs.insert(place, Arc::new(run));
    }

    /// Does one step of what there is to do, and says whether there was anything: deletes a run that nobody needs, or goes
    /// on merging. A step of a merge writes at most one part, and blocks while it does. The owner calls it until it says
    /// no, or until it has no more time.
    ///
    /// # Errors
    /// [`IndexError::Delete`], [`IndexError::Write`], [`IndexError::Written`], [`IndexError::List`]: the step may be tried
    /// again, but not at once for ever; lookups go on as before.
    pub fn merge_step(&mut self) -> Result<bool, IndexError> {
        self.shelve_failed();
        if let Some((id, found)) = self.doomed.pop_first() {
            return self.delete(id, found).map(|()| true);
        }
        if let Some(merge) = self.merge.take() {
            return self.go_on(merge).map(|()| true);
        }
        if let Some(at) = self.needless() {
            let run = self.runs.remove(at);
            self.doomed.insert(run.id, run.found());
            return Ok(true);
        }
        if self.chosen().is_empty() {
            return Ok(false);
        }
        self.refresh()?;
        let runs = self.chosen();
        if !runs.is_empty() {
            self.merge = Some(Merge::new(&self.site, self.new_id(), runs, self.limits.part));
        }
        Ok(true)
    }

    /// Takes the runs that failed out of use.
    fn shelve_failed(&mut self) {
        for run in self.runs.extract_if(.., |run| run.fault().is_some()) {
            let Some(why) = run.fault().cloned() else {
                continue;
            };
            match why.is_final() {
                true => _ = self.doomed.insert(run.id, run.found()),
                false => self.lost.push(Arc::clone(&run)),
            }
            self.dropped.insert(run.id, Dropped { run: run.id, why });
        }
        let runs = &self.runs;
        let replaced = |lost: &Run| lost.live_packs().all(|(_, writing)| runs.iter().any(|run| run.covers(&writing)));
        for run in self.lost.extract_if(.., |lost| replaced(lost)) {
            self.doomed.insert(run.id, run.found());
        }
    }

    /// Deletes what is left of a run.
    fn delete(&mut self, id: RunId, found: Found) -> Result<(), IndexError> {
        let deleted = self.try_delete(id, &found);
        if deleted.is_err() {
            self.doomed.insert(id, found);
        }
        deleted
    }

    /// Parts without a root may have got one since they were seen: then they are kept.
    fn try_delete(&self, id: RunId, found: &Found) -> Result<(), IndexError> {
        if !found.root {
            let now = self.site.list().map_err(IndexError::List)?;
            if now.get(&id).is_some_and(|now| now.root) {
                return Ok(());
            }
        }
        self.site.delete(id, found).map_err(IndexError::Delete)
    }

    /// A run that has nothing which another one has not. Of two that cover the same the one goes that has more which is
    /// forgotten, or the greater name, so that all processes choose alike.
    fn needless(&self) -> Option<usize> {
        let rank = |run: &Run| (run.packs(), run.id);
        self.runs.iter().position(|run| {
            let mut others = self.runs.iter().filter(|other| other.id != run.id);
            let replaces = |other: &Run| {
                let equal = other.live() == run.live();
                other.covers_all_of(run) && (!equal || rank(other) < rank(run))
            };
            run.live() == 0 || others.any(|other| replaces(other))
        })
    }

    /// The runs to merge next; empty if there is nothing to gain.
    fn chosen(&self) -> Vec<Arc<Run>> {
        let size = |run: &Arc<Run>| RunSize { entries: run.entries, packs: run.packs(), live: run.live() };
        let sizes: Vec<RunSize> = self.runs.iter().map(size).collect();
        let choice = policy::choose(&sizes, self.limits.fan_out).unwrap_or_default();
        choice.into_iter().map(|at| Arc::clone(&self.runs[at])).collect()
    }

    fn go_on(&mut self, merge: Merge) -> Result<(), IndexError> {
        match merge.step(&self.site) {
            Ok(Step::More(merge)) => self.merge = Some(merge),
            Ok(Step::Failed(id, found)) => _ = self.doomed.insert(id, found),
            Ok(Step::Done(id, found, inputs)) => return self.replace(id, found, &inputs),
            Err(unwritten) => {
                self.doomed.insert(unwritten.run, unwritten.found);
                return Err(IndexError::Write(unwritten.source));
            }
        }
        Ok(())
    }

    /// Uses a merged run instead of those it was merged from.
    fn replace(&mut self, run: RunId, found: Found, inputs: &[Arc<Run>]) -> Result<(), IndexError> {
        let merged = match Run::open(&self.site, run) {
            Ok(merged) => merged,
            Err(fault) => {
                self.doomed.insert(run, found);
                // Another process took the parts for those of a crashed one: the merge was in vain.
                let in_vain = matches!(fault, Fault::Missing);
                return if in_vain { Ok(()) } else { Err(IndexError::Written { run, source: fault }) };
            }
        };
        for input in inputs {
            self.runs.retain(|run| run.id != input.id);
            self.doomed.insert(input.id, input.found());
        }
        self.adopt(merged);
        Ok(())
    }
}
