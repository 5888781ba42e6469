//! The packs that were added last, in memory until they are written as a run.
//!
//! Never knows: runs.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::collections::{BTreeSet, HashSet};

use backstay_format::units::{ChunkId, ChunkNo, PackId};

use super::Place;
use super::entry::{Entry, ShortId};
use super::root::Writing;

/// Packs and where their chunks are.
#[derive(Default)]
pub(super) struct Memtable {
    /// In the order of adding. Those forgotten stay, so that the places of the others do too.
    packs: Vec<Option<Writing>>,
    covered: HashSet<Writing>,
    first: HashMap<ShortId, (u32, u32)>,
    /// Other places of the chunks in `first`; few.
    more: BTreeSet<Entry>,
}

impl Memtable {
    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    /// Whether there is nothing that a run would have to cover.
    pub(super) fn is_empty(&self) -> bool {
        self.covered.is_empty()
    }

    pub(super) fn covers(&self, writing: &Writing) -> bool {
        self.covered.contains(writing)
    }

    pub(super) fn packs(&self) -> impl Iterator<Item = Writing> {
        self.packs.iter().flatten().copied()
    }

    /// Adds a writing that is not covered yet, with all its chunks.
    pub(super) fn insert(&mut self, writing: Writing, chunks: impl Iterator<Item = (ChunkNo, ChunkId)>) {
        let pack = self.packs.len() as u32;
        for (number, id) in chunks {
            let id = ShortId::from(&id);
            let chunk = number.0;
            match self.first.entry(id) {
                Slot::Vacant(slot) => _ = slot.insert((pack, chunk)),
                Slot::Occupied(slot) if *slot.get() == (pack, chunk) => {}
                Slot::Occupied(_) => _ = self.more.insert(Entry { id, pack, chunk }),
            }
        }
        self.packs.push(Some(writing));
        self.covered.insert(writing);
    }

    /// Where a chunk is.
    pub(super) fn find(&self, id: ShortId) -> Option<Place> {
        let (pack, chunk) = self.first.get(&id).copied().or_else(|| {
            let least = Entry { id, pack: 0, chunk: 0 };
            let next = self.more.range(least..).next()?;
            (next.id == id).then_some((next.pack, next.chunk))
        })?;
        let pack = self.pack(pack)?;
        Some(Place { pack, chunk: ChunkNo(chunk) })
    }

    fn pack(&self, at: u32) -> Option<PackId> {
        let writing = self.packs.get(at as usize)?.as_ref()?;
        Some(writing.pack)
    }

    /// Drops these writings and all that is known of their chunks.
    pub(super) fn forget(&mut self, writings: &HashSet<Writing>) {
        let before = self.covered.len();
        self.covered.retain(|writing| !writings.contains(writing));
        if self.covered.len() == before {
            return;
        }
        for pack in &mut self.packs {
            pack.take_if(|writing| writings.contains(writing));
        }
        let packs = &self.packs;
        self.first.retain(|_, (pack, _)| packs[*pack as usize].is_some());
        self.more.retain(|entry| packs[entry.pack as usize].is_some());
    }

    /// The packs in their order, and the entries in theirs, as a run has them.
    pub(super) fn sorted(&self) -> (Vec<Writing>, Vec<Entry>) {
        let mut packs: Vec<Writing> = self.packs().collect();
        packs.sort_unstable();
        let place = |writing: &Option<Writing>| match writing {
            Some(writing) => packs.partition_point(|before| before < writing) as u32,
            None => u32::MAX, // no entry is left that refers to it
        };
        let places: Vec<u32> = self.packs.iter().map(place).collect();
        let first = self.first.iter().map(|(id, (pack, chunk))| Entry { id: *id, pack: *pack, chunk: *chunk });
        let mut entries = Vec::with_capacity(self.len());
        entries.extend(first.chain(self.more.iter().copied()));
        entries.iter_mut().for_each(|entry| entry.pack = places[entry.pack as usize]);
        entries.sort_unstable();
        (packs, entries)
    }

    /// Bytes in memory, about.
    pub(super) fn resident(&self) -> u64 {
        let first = self.first.capacity() * (size_of::<(ShortId, (u32, u32))>() + 1);
        let packs = self.packs.capacity() * 2 * size_of::<Option<Writing>>();
        (first + packs + self.more.len() * 2 * Entry::LEN) as u64
    }
}
