//! Merging spans where the points between them were dropped.
//!
//! What is to be merged is seen from the rows alone (spans meet at a number that is no point), so an interruption after points
//! were dropped is made good by the next run.
//!
//! Never knows: why points were dropped.

use std::collections::BTreeSet;
use std::ops::{Bound, Range};

use backstay_format::ledger::Change;
use backstay_format::rows::{RowKey, SpanId, SpanRow};
use backstay_format::units::{MachineId, PackId, PointNo};
use backstay_store::ledger::View;

use super::merge::{check_spans, drop_span, merge_runs};
use crate::map::Run;
use crate::rows::{row_key, spans_of};
use crate::spans::{PutRun, put_run};
use crate::{Vault, VaultError};

/// Merges in one commit.
const BATCH: usize = 256;

/// A first span of more extents than this is merged only with spans that are not much smaller together: its cost is that of
/// the disk, not that of the change.
const LARGE: u64 = 1 << 20;
const MUCH_SMALLER: u64 = 8;

struct Merge {
    /// Newest first.
    inputs: Vec<SpanId>,
    output: SpanId,
}

impl Vault {
    /// Merges and drops spans of a machine that no point needs as they are. Says how many spans went. Spans whose runs are
    /// damaged are not merged; they go with the points that they lead to.
    ///
    /// # Errors
    /// [`VaultError`]; what was done so far is done, the rest is for the next run.
    pub fn consolidate(&self, machine: MachineId) -> Result<u64, VaultError> {
        let mut gone = self.drop_unneeded(machine)?;
        let mut damaged = BTreeSet::new();
        loop {
            let view = self.ledger.refresh()?;
            let mut merges = plan(&view, machine)?;
            merges.retain(|merge| !damaged.contains(&merge.output));
            if merges.is_empty() {
                return Ok(gone);
            }
            for batch in merges.chunks(BATCH) {
                gone += self.merge_batch(machine, batch, &mut damaged)?;
            }
        }
    }

    /// Drops spans after the last point of their stretch, and summaries that end or begin where no point is.
    fn drop_unneeded(&self, machine: MachineId) -> Result<u64, VaultError> {
        let mut gone = 0;
        self.ledger.commit(("consolidate", self.seams.clock.now()), |view| {
            let points = point_numbers(view, machine)?;
            let spans = spans_of(view, machine)?;
            let starts = starts(&spans);
            let needed = |at: PointNo| at == PointNo::BEGINNING || points.contains(&at);
            let mut changes: Vec<Change> = Vec::new();
            gone = 0;
            for (id, row) in spans {
                let last = points.range(stretch(&starts, id.to)).next_back();
                let useless_summary = row.level > 0 && !(needed(id.from) && needed(id.to));
                if last.is_none_or(|last| id.to > *last) || useless_summary {
                    gone += 1;
                    merge_changes(&mut changes, drop_span(id, &refs_of(view, &self.packs, id)?));
                }
            }
            Ok::<_, VaultError>(changes)
        })?;
        Ok(gone)
    }

    /// Carries out merges. Those of runs that are damaged are left, and noted.
    fn merge_batch(
        &self,
        machine: MachineId,
        merges: &[Merge],
        damaged: &mut BTreeSet<SpanId>,
    ) -> Result<u64, VaultError> {
        let view = self.ledger.view();
        let mut ingest = self.new_ingest();
        let mut outputs: Vec<(&Merge, PutRun)> = Vec::new();
        for merge in merges {
            let runs = merge.inputs.iter().map(|s| Run::open(&view, &self.packs, *s)).collect::<Result<Vec<_>, _>>();
            match runs.and_then(|runs| merge_runs(&runs, &self.packs)) {
                Ok(merged) => outputs.push((merge, put_run(&mut ingest, merged, 0))),
                // Not damage, but others' doing: it is planned anew.
                Err(error) if self.is_outdated(&view, &error)? => return Ok(0),
                Err(error) if error.is_damage() => drop(damaged.insert(merge.output)),
                Err(error) => return Err(error),
            }
        }
        if outputs.is_empty() {
            return Ok(0);
        }
        let packs = ingest.finish()?;
        self.commit_keys("consolidate", &packs)?;
        let mut gone = 0;
        let view = self.ledger.commit(("consolidate", self.seams.clock.now()), |view| {
            let points = point_numbers(view, machine)?;
            let mut changes = Vault::pack_changes(view, &packs)?;
            gone = 0;
            for (merge, run) in &outputs {
                check_spans(view, &merge.inputs)?;
                if merge.inputs.iter().any(|s| s.from != merge.output.from && points.contains(&s.from)) {
                    return Err(VaultError::Overtaken);
                }
                for input in &merge.inputs {
                    gone += 1;
                    merge_changes(&mut changes, drop_span(*input, &refs_of(view, &self.packs, *input)?));
                }
                // A summary of the same spans has the same key: it goes, with its references, before it is replaced.
                let summary = RowKey::Span(merge.output);
                if view.get(&summary.encode())?.is_some() {
                    gone += 1;
                    merge_changes(&mut changes, drop_span(merge.output, &refs_of(view, &self.packs, merge.output)?));
                }
                merge_changes(&mut changes, run.changes(merge.output));
            }
            for id in cut_off(view, machine, outputs.iter().map(|(merge, _)| *merge))? {
                gone += 1;
                merge_changes(&mut changes, drop_span(id, &refs_of(view, &self.packs, id)?));
            }
            Ok::<_, VaultError>(changes)
        })?;
        self.note_packs(&packs, view.seq())?;
        Ok(gone)
    }
}

/// Summaries that end or begin where spans no longer meet once they are merged: somebody wrote them after the unneeded ones were
/// dropped.
fn cut_off<'m>(
    view: &View,
    machine: MachineId,
    merges: impl Iterator<Item = &'m Merge>,
) -> Result<Vec<SpanId>, VaultError> {
    let begins = merges.flat_map(|m| m.inputs.iter().filter(|s| s.from != m.output.from).map(|s| s.from));
    let inner: BTreeSet<PointNo> = begins.collect();
    let spans = spans_of(view, machine)?.into_iter();
    let is_cut = |(id, row): &(SpanId, SpanRow)| row.level > 0 && (inner.contains(&id.from) || inner.contains(&id.to));
    Ok(spans.filter(is_cut).map(|(id, _)| id).collect())
}

/// Where the stretches of a timeline begin: the ends of the spans that lead there from the beginning.
fn starts(spans: &[(SpanId, SpanRow)]) -> BTreeSet<PointNo> {
    let first = |(id, row): &&(SpanId, SpanRow)| row.level == 0 && id.from == PointNo::BEGINNING;
    spans.iter().filter(first).map(|(id, _)| id.to).collect()
}

/// The numbers of the stretch that `at` is in.
fn stretch(starts: &BTreeSet<PointNo>, at: PointNo) -> Range<PointNo> {
    let start = starts.range(..=at).next_back().copied().unwrap_or(PointNo::BEGINNING);
    let next = starts.range((Bound::Excluded(at), Bound::Unbounded)).next().copied();
    start..next.unwrap_or(PointNo(u64::MAX))
}

/// Adds changes; of two changes of one row the later counts.
fn merge_changes(changes: &mut Vec<Change>, more: Vec<Change>) {
    let keys: BTreeSet<Vec<u8>> = more.iter().map(|c| c.key.clone()).collect();
    changes.retain(|c| !keys.contains(&c.key));
    changes.extend(more);
}

/// The packs that a span refers to, by its run; if that cannot be read, by the rows.
fn refs_of(view: &View, packs: &backstay_store::packs::Packs, id: SpanId) -> Result<Vec<PackId>, VaultError> {
    let by_run = Run::open(view, packs, id).ok().map(|run| run.packs().to_vec());
    let mut referred = Vec::new();
    if let Some(listed) = by_run {
        for pack in listed {
            if view.get(&RowKey::Ref(pack, id).encode())?.is_some() {
                referred.push(pack);
            }
        }
        // The root's own pack is not in its table.
        let own = crate::rows::spans_ending(view, id.machine, id.to)?.into_iter().find(|(s, _)| *s == id);
        referred.extend(own.map(|(_, row)| row.pack));
        referred.sort_unstable();
        referred.dedup();
        return Ok(referred);
    }
    for (key, _) in view.prefix(b"r")? {
        if let RowKey::Ref(pack, span) = row_key(&key)?
            && span == id
        {
            referred.push(pack);
        }
    }
    Ok(referred)
}

fn point_numbers(view: &View, machine: MachineId) -> Result<BTreeSet<PointNo>, VaultError> {
    let rows = view.prefix(&[b"p", &machine.0[..]].concat())?;
    let number = |(key, _): &(Vec<u8>, Vec<u8>)| match row_key(key)? {
        RowKey::Point(_, number) => Ok(number),
        _ => Err(VaultError::NoWay),
    };
    rows.iter().map(number).collect()
}

/// Which level-0 spans to merge: those that meet where no point is. A stretch is never merged with the one before it.
fn plan(view: &View, machine: MachineId) -> Result<Vec<Merge>, VaultError> {
    let points = point_numbers(view, machine)?;
    let mut merges = Vec::new();
    let mut group: Vec<(SpanId, SpanRow)> = Vec::new();
    for span in spans_of(view, machine)?.into_iter().filter(|(_, row)| row.level == 0) {
        if span.0.from == PointNo::BEGINNING {
            group.clear();
        }
        group.push(span);
        if points.contains(&span.0.to) {
            merges.extend(merge_of(&std::mem::take(&mut group)));
        }
    }
    Ok(merges)
}

fn merge_of(group: &[(SpanId, SpanRow)]) -> Option<Merge> {
    let mut group = group;
    if let [(first, row), rest @ ..] = group {
        let others: u64 = rest.iter().map(|(_, r)| r.extents).sum();
        let large = row.extents > LARGE && row.extents > MUCH_SMALLER * others;
        if first.from == PointNo::BEGINNING && large {
            group = rest;
        }
    }
    let (first, last) = (group.first()?.0, group.last()?.0);
    let output = SpanId { machine: first.machine, to: last.to, from: first.from };
    let inputs = group.iter().rev().map(|(id, _)| *id).collect();
    (group.len() > 1).then_some(Merge { inputs, output })
}
