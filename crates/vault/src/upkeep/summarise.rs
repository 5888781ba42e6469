//! Summing up spans, so that any point of very many is a few steps from the beginning.
//!
//! Never knows: when a summary is due (`timeline` does).

use backstay_format::rows::{RowKey, SpanId};
use backstay_format::units::MachineId;
use backstay_timeline::summary::{Span, due};

use super::merge::{check_spans, merge_runs};
use crate::map::Run;
use crate::rows::{newest_boundary, spans_ending};
use crate::spans::put_run;
use crate::{Vault, VaultError};

impl Vault {
    /// Writes the summary that is due at the end of a machine's timeline, if any.
    pub(super) fn summarise(&self, machine: MachineId) -> Result<bool, VaultError> {
        let view = self.ledger.view();
        let head = newest_boundary(&view, machine)?;
        let ending = |to| -> Result<Vec<Span>, VaultError> {
            let spans = spans_ending(&view, machine, to)?;
            Ok(spans.iter().map(|(id, row)| Span { from: id.from, to: id.to, level: row.level }).collect())
        };
        let Some(spans) = due(head, ending)? else { return Ok(false) };
        let id = |s: &Span| SpanId { machine, to: s.to, from: s.from };
        let inputs: Vec<SpanId> = spans.iter().map(id).collect();
        let runs = inputs.iter().map(|s| Run::open(&view, &self.packs, *s)).collect::<Result<Vec<_>, _>>();
        let merged = runs.and_then(|runs| merge_runs(&runs, &self.packs));
        let merged = match merged {
            // A summary is for speed: without it the spans are read one by one, and the damage is named there.
            Err(error) if error.is_damage() => return Ok(false),
            other => other?,
        };
        let mut ingest = self.new_ingest();
        let run = put_run(&mut ingest, merged, spans[0].level + 1);
        let packs = ingest.finish()?;
        self.commit_keys("summarise", &packs)?;
        let output = SpanId { machine, to: head, from: spans[spans.len() - 1].from };
        let outcome = self.ledger.commit(("summarise", self.seams.clock.now()), |view| {
            check_spans(view, &inputs)?;
            // Another process was faster; the references of its run would be forgotten.
            if view.get(&RowKey::Span(output).encode())?.is_some() {
                return Err(VaultError::Overtaken);
            }
            let mut changes = Vault::pack_changes(view, &packs)?;
            changes.extend(run.changes(output));
            Ok::<_, VaultError>(changes)
        });
        match outcome.map_err(VaultError::from) {
            Ok(view) => {
                self.note_packs(&packs, view.seq())?;
                Ok(true)
            }
            Err(VaultError::Overtaken) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
