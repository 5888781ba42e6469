//! Merging runs that follow each other into one: for each page the newest wins.
//!
//! Never knows: why.

use std::collections::BTreeSet;

use backstay_format::ledger::Change;
use backstay_format::rows::{RowKey, SpanId};
use backstay_store::ledger::View;
use backstay_store::packs::Packs;
use backstay_timeline::run::RunBuilder;

use crate::VaultError;
use crate::map::{Run, merge, region_pages};
use crate::rows::delete;

/// Merges runs, newest first. Memory: a region of each, and the result encoded.
pub(super) fn merge_runs(runs: &[Run], packs: &Packs) -> Result<RunBuilder, VaultError> {
    let mut regions = BTreeSet::new();
    runs.iter().try_for_each(|run| run.regions(packs, &mut regions))?;
    let mut builder = RunBuilder::default();
    for (disk, region) in regions {
        merge(runs, packs, disk, &region_pages(region))?.into_iter().for_each(|e| builder.push(e));
    }
    Ok(builder)
}

/// Refuses unless all these spans are still there.
pub(super) fn check_spans(view: &View, spans: &[SpanId]) -> Result<(), VaultError> {
    for id in spans {
        if view.get(&RowKey::Span(*id).encode())?.is_none() {
            return Err(VaultError::Overtaken);
        }
    }
    Ok(())
}

/// Deletes a span and its references; the packs it referred to become suspects.
pub(super) fn drop_span(id: SpanId, referred: &[backstay_format::units::PackId]) -> Vec<Change> {
    let mut changes = vec![delete(RowKey::Span(id))];
    for pack in referred {
        changes.push(delete(RowKey::Ref(*pack, id)));
        changes.push(crate::rows::set(RowKey::Suspect(*pack), Vec::new()));
    }
    changes
}
