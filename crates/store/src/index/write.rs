//! Writing a run: entries in their order go in, objects come out, the one that makes it a run last.
//!
//! Never knows: where entries come from.

use backstay_env::objects::ObjectError;

use super::entry::Entry;
use super::part::PartBuilder;
use super::root::{PartFacts, Root, Writing};
use super::site::{Found, RunId, Site};

/// A run in the making. Holds one part in memory.
pub(super) struct RunWriter {
    pub(super) id: RunId,
    packs: Vec<Writing>,
    done: Vec<PartFacts>,
    part: PartBuilder,
    seed: u64,
    part_entries: u64,
    last: Option<Entry>,
}

impl RunWriter {
    /// A run named `id` that covers `packs`, which are in order and each there once. Parts are cut after `part_entries`.
    pub(super) fn new(site: &Site, id: RunId, packs: Vec<Writing>, part_entries: u64) -> RunWriter {
        let seed = site.seed(id);
        RunWriter {
            id,
            packs,
            done: Vec::new(),
            part: PartBuilder::new(seed, 0),
            seed,
            part_entries: part_entries.max(1),
            last: None,
        }
    }

    /// Adds an entry whose pack is a place in the table of packs. Entries come in their order; one that comes again is
    /// left out. Returns whether a part was written.
    pub(super) fn push(&mut self, site: &Site, entry: Entry) -> Result<bool, ObjectError> {
        assert!(self.last <= Some(entry), "entries out of order");
        assert!((entry.pack as usize) < self.packs.len(), "an entry of an unknown pack");
        if self.last == Some(entry) {
            return Ok(false);
        }
        let cut = self.part.entries() >= self.part_entries;
        if cut {
            self.cut(site)?;
        }
        self.part.push(&entry);
        self.last = Some(entry);
        Ok(cut)
    }

    fn cut(&mut self, site: &Site) -> Result<(), ObjectError> {
        let number = self.done.len() as u32;
        let next = PartBuilder::new(self.seed, number + 1);
        let (blocks, tables, facts) = std::mem::replace(&mut self.part, next).finish();
        // Counted before it is written: when that fails in doubt it may be there.
        self.done.push(facts);
        let key = site.part_key(self.id, number);
        site.objects.put_new(&key, &[&blocks, &tables])
    }

    /// Writes the last part with the root. On `Ok` the run is durable.
    pub(super) fn finish(mut self, site: &Site) -> Result<(), ObjectError> {
        let (blocks, tables, facts) = self.part.finish();
        self.done.push(facts);
        let root = Root { packs: self.packs, parts: self.done };
        let root = root.encode(site.store, self.id);
        site.objects.put_new(&site.root_key(self.id), &[&blocks, &tables, &root])
    }

    /// What may be there of it before it is finished.
    pub(super) fn found(&self) -> Found {
        Found { root: false, parts: (0..self.done.len() as u32).collect() }
    }
}
