//! What a capture does with what ingest makes: it hands on extents, and commits packs on the way.
//!
//! Never knows: how segments were scanned.

use std::collections::{HashMap, HashSet};

use backstay_format::rows::{DraftRow, RowKey};
use backstay_format::units::{ChunkId, PackId};
use backstay_store::ingest::{ChunkAt, NewPack, Placed, Sink};
use backstay_store::ledger::View;
use backstay_timeline::extent::{Content, Extent};

use super::cut::{Found, Note};
use super::progress::Progress;
use crate::index::Known;
use crate::rows::{pack_row, set};
use crate::spans::PutRun;
use crate::{Vault, VaultError};

/// Packs written before they are committed on the way: an interruption costs at most so many.
const COMMIT_AFTER: usize = 16;

/// Packs of others that a run refers to, and their lengths when they were looked up.
#[derive(Default)]
pub(super) struct Referred(HashMap<PackId, u64>);

impl Referred {
    /// They must be there still, and must not have lost chunks.
    pub(super) fn check(&self, view: &View) -> Result<(), VaultError> {
        for (pack, len) in &self.0 {
            if pack_row(view, *pack)?.is_none_or(|row| row.len != *len) {
                return Err(VaultError::Overtaken);
            }
        }
        Ok(())
    }
}

/// What a point in the making has gathered; nothing refers to it before the point is published.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) referred: Referred,
    /// Durable, but not committed.
    pub(super) packs: Vec<NewPack>,
    /// Committed on the way.
    pub(super) drafts: Vec<PackId>,
    /// Packs, perhaps of others, with chunks that one pass referred to and a later one does not.
    pub(super) covered: HashSet<PackId>,
    /// Packs that the index knows, and that cannot be read.
    lost: HashSet<PackId>,
}

impl Gathered {
    /// Packs made for a span whose run has no use for all that is in them.
    pub(super) fn covered_in(&self, run: &PutRun) -> impl Iterator<Item = PackId> {
        let own = self.packs.iter().map(|p| p.id).chain(self.drafts.iter().copied());
        own.filter(|pack| self.covered.contains(pack) || run.packs.binary_search(pack).is_err())
    }
}

/// Takes what one pass over the sources makes.
pub(super) struct ProtectSink<'a> {
    pub(super) vault: &'a Vault,
    pub(super) progress: &'a Progress,
    /// What says of packs committed on the way whose they are.
    pub(super) draft: DraftRow,
    pub(super) gathered: &'a mut Gathered,
    /// Takes the extents, in order.
    pub(super) out: &'a mut dyn FnMut(Extent),
}

impl ProtectSink<'_> {
    /// After a failure or an interruption: what is durable is committed, for the next capture to go on from. If that
    /// fails too, it is what a crash would leave behind, and no worse.
    pub(super) fn give_up(mut self) {
        if !self.gathered.packs.is_empty() {
            drop(self.commit());
        }
        let left = self.gathered.packs.drain(..).map(|p| p.id);
        self.vault.lock_index().distrust(left);
    }

    /// Whether a pack's table cannot be read any more. Asked once of each pack.
    fn is_lost(&mut self, pack: PackId) -> Result<bool, VaultError> {
        match self.vault.packs.reader(pack) {
            Ok(_) => Ok(false),
            Err(error) if error.is_damage() => Ok(self.gathered.lost.insert(pack)),
            Err(error) => Err(error.into()),
        }
    }

    /// Commits these packs and all before them.
    pub(super) fn commit_all(&mut self, packs: Vec<NewPack>) -> Result<(), VaultError> {
        packs.into_iter().try_for_each(|pack| self.durable(pack))?;
        if self.gathered.packs.is_empty() { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), VaultError> {
        self.vault.commit_keys("protect", &self.gathered.packs)?;
        // Not left to the end: a first capture makes very many.
        self.vault.table.fold_if_due()?;
        let now = self.vault.seams.clock.now();
        let draft = self.draft.encode();
        let packs = &self.gathered.packs;
        let suspects = |view: &View| {
            // Should this capture never end, reclaim must look at them.
            let mut changes = Vault::pack_changes(view, packs)?;
            changes.extend(packs.iter().map(|p| set(RowKey::Suspect(p.id), draft.clone())));
            Ok::<_, VaultError>(changes)
        };
        let view = self.vault.ledger.commit(("protect", now), suspects)?;
        self.vault.lock_index().committed(packs.iter().map(|p| p.id), view.seq());
        let packs = std::mem::take(&mut self.gathered.packs);
        self.gathered.drafts.extend(packs.iter().map(|p| p.id));
        // Reclaim may take a draft before its capture ends: then the capture must notice.
        self.gathered.referred.0.extend(packs.iter().map(|p| (p.id, p.row.len)));
        Ok(())
    }
}

impl Sink<Note, VaultError> for ProtectSink<'_> {
    fn known(&mut self, id: &ChunkId) -> Result<Option<ChunkAt>, VaultError> {
        let own = |pack| self.gathered.packs.iter().any(|p| p.id == pack);
        let Some(Known { at, committed }) = self.vault.lock_index().lookup(id, own) else { return Ok(None) };
        let Some(len) = committed else { return Ok(Some(at)) };
        if self.gathered.referred.0.contains_key(&at.pack) {
            return Ok(Some(at));
        }
        // The index remembers packs that are lost since: what is in them is stored again.
        if self.gathered.lost.contains(&at.pack) || self.is_lost(at.pack)? {
            return Ok(None);
        }
        self.gathered.referred.0.insert(at.pack, len);
        Ok(Some(at))
    }

    fn placed(&mut self, note: Note, places: Vec<Placed>) -> Result<(), VaultError> {
        let mut places = places.into_iter();
        for Found { disk, page, pages, what } in note {
            let content = match what {
                Some(content) => content,
                None => {
                    let placed = places.next().expect("ingest places every chunk");
                    self.progress.changed(pages);
                    Content::Data { pack: placed.at.pack, chunk: placed.at.chunk, inside: 0, tag: placed.tag }
                }
            };
            (self.out)(Extent { disk, page, pages, content });
        }
        Ok(())
    }

    fn durable(&mut self, pack: NewPack) -> Result<(), VaultError> {
        self.progress.stored(pack.row.len);
        self.vault.lock_index().add(&pack)?;
        self.gathered.packs.push(pack);
        if self.gathered.packs.len() >= COMMIT_AFTER { self.commit() } else { Ok(()) }
    }
}
