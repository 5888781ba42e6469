//! The dedup index of a vault, opened when first needed and brought up to what is committed.
//!
//! The index may be wrong in one harmless way: it does not know a chunk. Whatever it answers is checked against the ledger:
//! the pack must be committed and as long as it was when the index covered it, or be about to be committed by who asks.
//! Many captures of one process use it at the same time, a look at a time.
//! Never knows: who asks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use backstay_env::objects::Objects;
use backstay_env::random::Random;
use backstay_format::names;
use backstay_format::rows::{PackRow, RowKey};
use backstay_format::units::{ChunkId, PackId, StoreId};
use backstay_store::index::{Index, IndexError, Limits, Writing};
use backstay_store::ingest::{ChunkAt, NewPack};
use backstay_store::ledger::View;
use backstay_store::packs::Packs;

use crate::VaultError;
use crate::open::{Seams, key};
use crate::rows::{decoded, row_key};
use crate::upkeep::is_small;

/// Packs that may wait in memory before the index is written: at the next start so many footers are read again.
const UNWRITTEN_PACKS: usize = 64;

pub(crate) struct LazyIndex {
    home: Arc<dyn Objects>,
    random: Arc<dyn Random>,
    store: StoreId,
    prefix: String,
    open: Option<Index>,
    /// Packs that are committed, and their lengths.
    usable: HashMap<PackId, u64>,
    /// Packs that captures of this process are about to commit. Only the capture that made one may refer to it.
    coming: HashMap<PackId, PackRow>,
    /// The ledger's entry that `usable` is of.
    seen: Option<u64>,
    unwritten: usize,
    /// Small packs alone in their objects, as far as this process knows.
    small: BTreeSet<PackId>,
}

impl LazyIndex {
    pub(crate) fn new(seams: &Seams, store: StoreId, vault: &str) -> Self {
        LazyIndex {
            home: seams.index_home.clone(),
            random: seams.random.clone(),
            store,
            prefix: names::index(vault),
            open: None,
            usable: HashMap::new(),
            coming: HashMap::new(),
            seen: None,
            unwritten: 0,
            small: BTreeSet::new(),
        }
    }

    /// Small packs alone in their objects, as far as this process knows.
    pub(crate) fn small_packs(&self) -> &BTreeSet<PackId> {
        &self.small
    }

    /// As [`LazyIndex::small_packs`]; they are the caller's to bundle.
    pub(crate) fn take_small_packs(&mut self) -> BTreeSet<PackId> {
        std::mem::take(&mut self.small)
    }

    /// Covers what is committed now, and nothing else.
    pub(crate) fn update(&mut self, view: &View, packs: &Packs) -> Result<(), VaultError> {
        if self.seen == Some(view.seq()) {
            return Ok(());
        }
        (self.usable, self.small) = committed(view)?;
        if self.open.is_none() {
            let prefix = key(&self.prefix);
            let opened = Index::open(self.home.clone(), prefix, self.store, Limits::default(), self.random.clone());
            self.open = Some(opened.map_err(index_error)?);
        }
        let Some(index) = &mut self.open else { return Ok(()) };
        let (usable, coming) = (&self.usable, &self.coming);
        let is_stale = |w: &Writing| usable.get(&w.pack) != Some(&w.stamp) && !coming.contains_key(&w.pack);
        let stale: HashSet<Writing> = index.packs().filter(is_stale).collect();
        index.forget(&stale);
        let writing = |(pack, len): (&PackId, &u64)| Writing { pack: *pack, stamp: *len };
        let mut missing: Vec<Writing> = self.usable.iter().map(writing).filter(|w| !index.covers(w)).collect();
        missing.sort_unstable();
        for writing in missing {
            // A pack that cannot be read is for the check to report; here it only means fewer matches.
            let Ok(reader) = packs.open_at(writing.pack, false) else { continue };
            may_be_damaged(index.insert_pack(writing, reader.chunks().map(|(n, c)| (n, c.id))))?;
            self.unwritten += 1;
        }
        self.seen = Some(view.seq());
        Ok(())
    }

    /// Packs that were added are committed, by entry `seq`: if nobody else committed meanwhile, this is up to date.
    pub(crate) fn committed(&mut self, packs: impl IntoIterator<Item = PackId>, seq: u64) {
        for pack in packs {
            let Some(row) = self.coming.remove(&pack) else { continue };
            self.usable.insert(pack, row.len);
            if is_small(&row) {
                self.small.insert(pack);
            }
        }
        self.seen = self.seen.filter(|seen| *seen + 1 >= seq).map(|seen| seen.max(seq));
    }

    /// Packs that were added may never be committed: look at the ledger again before the next use.
    pub(crate) fn distrust(&mut self, packs: impl IntoIterator<Item = PackId>) {
        self.coming.retain({
            let packs: HashSet<PackId> = packs.into_iter().collect();
            move |pack, _| !packs.contains(pack)
        });
        self.seen = None;
    }

    /// Where a chunk is that may be referred to. `own`: whether a pack that is not committed is of who asks.
    pub(crate) fn lookup(&self, id: &ChunkId, own: impl Fn(PackId) -> bool) -> Option<Known> {
        let place = self.open.as_ref()?.lookup(id)?;
        let at = ChunkAt { pack: place.pack, chunk: place.chunk };
        match self.usable.get(&place.pack) {
            Some(len) => Some(Known { at, committed: Some(*len) }),
            None => own(place.pack).then_some(Known { at, committed: None }),
        }
    }

    /// Adds a pack of this process that is durable and will be committed with whatever refers to it.
    pub(crate) fn add(&mut self, pack: &NewPack) -> Result<(), VaultError> {
        self.coming.insert(pack.id, pack.row);
        let Some(index) = &mut self.open else { return Ok(()) };
        let writing = Writing { pack: pack.id, stamp: pack.row.len };
        let mut number = 0;
        let numbered = pack.table.chunks.iter().map(|c| {
            number += 1;
            (backstay_format::units::ChunkNo(number - 1), c.id)
        });
        may_be_damaged(index.insert_pack(writing, numbered))?;
        self.unwritten += 1;
        Ok(())
    }

    /// Writes what is only in memory, if that is much, and merges runs. Only after what was added was committed.
    pub(crate) fn settle(&mut self) -> Result<(), VaultError> {
        let Some(index) = &mut self.open else { return Ok(()) };
        if self.unwritten >= UNWRITTEN_PACKS {
            let is_written = may_be_damaged(index.flush().map(|()| true))?;
            self.unwritten = if is_written { 0 } else { self.unwritten };
        }
        while may_be_damaged(index.merge_step())? {}
        Ok(())
    }
}

/// A chunk that may be referred to.
pub(crate) struct Known {
    pub(crate) at: ChunkAt,
    /// The length of its pack, if that is committed.
    pub(crate) committed: Option<u64>,
}

/// Lengths of the packs that are committed, and the small ones among them.
fn committed(view: &View) -> Result<(HashMap<PackId, u64>, BTreeSet<PackId>), VaultError> {
    let (mut packs, mut small) = (HashMap::new(), BTreeSet::new());
    for (key, value) in view.prefix(b"k")? {
        if let RowKey::Pack(id) = row_key(&key)? {
            let row = decoded("pack", PackRow::decode(&value))?;
            packs.insert(id, row.len);
            if is_small(&row) {
                small.insert(id);
            }
        }
    }
    Ok((packs, small))
}

/// A run that was damaged while it was written is no error: what it covered still is in memory or in older runs, and it is
/// written again another time.
fn may_be_damaged<T: Default>(outcome: Result<T, IndexError>) -> Result<T, VaultError> {
    match outcome {
        Err(IndexError::Written { .. }) => Ok(T::default()),
        other => other.map_err(index_error),
    }
}

fn index_error(error: IndexError) -> VaultError {
    VaultError::Index(error)
}
