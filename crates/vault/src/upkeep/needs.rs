//! What of packs is needed: learned from the runs that refer to them (rows `r`), never from counts that could be wrong.
//!
//! Never knows: what becomes of the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backstay_format::rows::{MachineRow, RowKey, SpanId};
use backstay_format::units::{ChunkNo, PackId};
use backstay_store::ledger::View;
use backstay_timeline::extent::Content;

use crate::map::Run;
use crate::rows::{decoded, spans_ending};
use crate::{Vault, VaultError};

/// What runs need of packs.
#[derive(Default)]
pub(super) struct Needed {
    /// Frames of blobs.
    blobs: HashMap<PackId, BTreeSet<u32>>,
    chunks: HashMap<PackId, BTreeSet<u32>>,
    /// Spans whose runs are damaged, so that nobody knows what they need; and how.
    unknown: HashMap<SpanId, String>,
}

/// The frames of a pack that are live, and the bytes of the others. `Err`: nobody can say, and why.
pub(super) type LiveFrames = Result<(BTreeSet<u32>, u64), String>;

impl Vault {
    /// What the runs of all these spans need of these packs. Each run is read once.
    pub(super) fn needed(&self, view: &View, partial: &BTreeMap<PackId, Vec<SpanId>>) -> Result<Needed, VaultError> {
        let spans: BTreeSet<SpanId> = partial.values().flatten().copied().collect();
        let mut needed = Needed::default();
        for span in spans {
            let outcome = self.add_needs(view, span, partial, &mut needed);
            if let Err(why) = self.or_damage(view, outcome)? {
                let machine = view.get(&RowKey::Machine(span.machine).encode())?;
                let machine = machine.map(|value| decoded("machine", MachineRow::decode(&value))).transpose()?;
                let name = machine.map_or_else(|| span.machine.to_string(), |row| row.name);
                let between = format!("between points {} and {}", span.from.0, span.to.0);
                let what = format!("machine {name}: the map of what changed {between} cannot be read: {why}");
                needed.unknown.insert(span, what);
            }
        }
        Ok(needed)
    }

    fn add_needs(
        &self,
        view: &View,
        span: SpanId,
        partial: &BTreeMap<PackId, Vec<SpanId>>,
        needed: &mut Needed,
    ) -> Result<(), VaultError> {
        let row = spans_ending(view, span.machine, span.to)?.into_iter().find(|(s, _)| *s == span);
        let row = row.ok_or(VaultError::NoWay)?.1;
        let run = Run::open(view, &self.packs, span)?;
        for (pack, frame) in run.block_frames().into_iter().chain([(row.pack, row.frame)]) {
            needed.blobs.entry(pack).or_default().extend([frame.0, frame.0 + 1]);
        }
        run.for_each_block(&self.packs, |extents| {
            for extent in extents {
                if let Content::Data { pack, chunk, .. } = extent.content
                    && partial.contains_key(&pack)
                {
                    needed.chunks.entry(pack).or_default().insert(chunk.0);
                }
            }
            Ok(())
        })
    }

    /// What is live in a pack to which these spans refer.
    pub(super) fn live_frames(
        &self,
        view: &View,
        pack: PackId,
        spans: &[SpanId],
        needed: &Needed,
    ) -> Result<LiveFrames, VaultError> {
        match spans.iter().find_map(|span| needed.unknown.get(span)) {
            Some(why) => Ok(Err(why.clone())),
            None => self.or_damage(view, self.live_by_table(pack, needed)),
        }
    }

    fn live_by_table(&self, pack: PackId, needed: &Needed) -> Result<(BTreeSet<u32>, u64), VaultError> {
        let reader = self.packs.open_at(pack, false)?;
        let mut live = needed.blobs.get(&pack).cloned().unwrap_or_default();
        for chunk in needed.chunks.get(&pack).into_iter().flatten() {
            live.insert(reader.locate(ChunkNo(*chunk))?.0.0);
        }
        let dead = reader.table().frames.iter().zip(0..).filter(|(_, number)| !live.contains(number));
        let waste = dead.map(|(frame, _)| u64::from(frame.stored)).sum();
        Ok((live, waste))
    }

    /// Damage as words. What may only be others' doing since `view` was seen remains an error.
    fn or_damage<T>(&self, view: &View, outcome: Result<T, VaultError>) -> Result<Result<T, String>, VaultError> {
        match outcome {
            Err(error) if error.is_damage() && !self.is_outdated(view, &error)? => Ok(Err(error.to_string())),
            other => other.map(Ok),
        }
    }
}
