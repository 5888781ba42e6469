//! The dedup index: which chunk is where. Never the only place where that is known: it can be made anew from the footers
//! of packs at any time, so whatever is damaged in it is dropped, and is the owner's to insert again.
//!
//! What was inserted last is in memory; the rest is in *runs*, objects that never change ([`docs/index.md`] tells why and
//! how). Merging runs is the owner's to call, in steps, so that nothing happens here at a time of its own choosing.
//!
//! Never knows: what is in a chunk or whether it is still there, keys, the ledger, the clock, threads.
//! Invariant: the entries of a run are all those of the writings it covers, and no others.
//!
//! [`docs/index.md`]: https://github.com/backstay/backstay/blob/main/docs/index.md

mod block;
mod entry;
mod fault;
mod filter;
mod memtable;
mod merge;
mod part;
mod policy;
mod root;
mod run;
mod site;
#[cfg(test)]
mod tests;
mod upkeep;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_env::random::Random;
use backstay_format::units::{ChunkId, ChunkNo, PackId, StoreId};

pub use self::fault::Fault;
pub use self::root::Writing;
pub use self::site::RunId;

use self::entry::ShortId;
use self::memtable::Memtable;
use self::merge::Merge;
use self::part::Scratch;
use self::run::Run;
use self::site::{Found, Site};
use self::write::RunWriter;

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The pack.
    pub pack: PackId,
    /// The chunk's number in it.
    pub chunk: ChunkNo,
}

/// How much the index may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Chunks kept in memory before they are written as a run. About 60 bytes each while they are written.
    pub memtable: usize,
    /// Chunks in an object. A part of so many is held in memory while it is written: 26 bytes each.
    pub part: u64,
    /// Runs of one size that are merged into one: fewer make lookups faster and inserting slower.
    pub fan_out: u64,
    /// Runs from which on `insert_pack` merges by itself, because the owner does not.
    pub runs: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memtable: 450_000, // a little less than a hash table takes before it grows
            part: 1 << 20,
            fan_out: 4,
            runs: 64,
        }
    }
}

/// Why the index could not do what it was asked. A damaged index is no error: see [`Dropped`].
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Which runs there are could not be learned.
    #[error("the dedup index could not be listed")]
    List(#[source] ObjectError),
    /// A run could not be written. Everything that was covered still is.
    #[error("the dedup index could not be written")]
    Write(#[source] ObjectError),
    /// A run that was written cannot be used. Everything that was covered still is.
    #[error("run {run} of the dedup index was written, but cannot be used")]
    Written {
        /// The run.
        run: RunId,
        /// Why not.
        source: Fault,
    },
    /// A run that nobody needs could not be deleted.
    #[error("an old run of the dedup index could not be deleted")]
    Delete(#[source] ObjectError),
}

/// A run that was dropped. Its packs are no longer covered, unless another run covers them.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// The run.
    pub run: RunId,
    /// Why.
    pub why: Fault,
}

/// What there is of an index.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Runs in use.
    pub runs: usize,
    /// Entries in these runs: more than chunks if packs were forgotten or are covered twice.
    pub entries: u64,
    /// Bytes of these runs at rest.
    pub stored: u64,
    /// Entries that are not written yet.
    pub unwritten: u64,
    /// Bytes in memory, about; what a merge uses is not counted.
    pub resident: u64,
    /// Runs dropped since the index was opened.
    pub dropped: Vec<Dropped>,
}

/// A dedup index that is open.
///
/// Any number of processes may have the same index open and write to it: each sees what the others wrote when it opens
/// it, at [`Index::refresh`], and before it merges. They may do the same work twice; what is covered twice does no harm.
pub struct Index {
    site: Site,
    limits: Limits,
    random: Arc<dyn Random>,
    memtable: Memtable,
    /// The largest first: most chunks are there.
    runs: Vec<Arc<Run>>,
    /// Dropped because the home did not give them out; deleted once others cover all that they did.
    lost: Vec<Arc<Run>>,
    dropped: BTreeMap<RunId, Dropped>,
    forgotten: HashSet<Writing>,
    merge: Option<Merge>,
    /// To be deleted.
    doomed: BTreeMap<RunId, Found>,
    /// Runs that were not complete when last looked: someone writes them, or crashed.
    incomplete: BTreeMap<RunId, Found>,
}

impl Index {
    /// Opens the index under `prefix`, or starts one if nothing is there. Reads what each run covers, and nothing else.
    ///
    /// Runs that cannot be used are dropped: see [`Stats::dropped`].
    ///
    /// # Errors
    /// [`IndexError::List`] only.
    pub fn open(
        objects: Arc<dyn Objects>,
        prefix: Key,
        store: StoreId,
        limits: Limits,
        random: Arc<dyn Random>,
    ) -> Result<Index, IndexError> {
        let site = Site { objects, prefix, store };
        let mut index = Index {
            site,
            limits,
            random,
            memtable: Memtable::default(),
            runs: Vec::new(),
            lost: Vec::new(),
            dropped: BTreeMap::new(),
            forgotten: HashSet::new(),
            merge: None,
            doomed: BTreeMap::new(),
            incomplete: BTreeMap::new(),
        };
        index.refresh()?;
        Ok(index)
    }

    /// Whether all chunks of this writing are found here, as far as is known: a run that turns out to be damaged covers
    /// nothing from then on.
    pub fn covers(&self, writing: &Writing) -> bool {
        self.memtable.covers(writing) || self.sound().any(|run| run.covers(writing))
    }

    /// All writings that are covered. One may come more than once.
    pub fn packs(&self) -> impl Iterator<Item = Writing> {
        let written = self.sound().flat_map(|run| run.live_packs().map(|(_, writing)| writing));
        self.memtable.packs().chain(written)
    }

    /// Runs that have not failed.
    fn sound(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.iter().filter(|run| run.fault().is_none())
    }

    /// Adds a writing of a pack with all its chunks; does nothing if it is covered already. In memory, so it is lost in a
    /// crash, until a run is written: by [`Index::flush`], or here once [`Limits::memtable`] is reached.
    ///
    /// # Errors
    /// [`IndexError::Write`] and [`IndexError::Written`]: the pack is added all the same, and the next call tries to
    /// write again. With more than [`Limits::runs`] runs, also those of [`Index::merge_step`].
    pub fn insert_pack(
        &mut self,
        writing: Writing,
        chunks: impl IntoIterator<Item = (ChunkNo, ChunkId)>,
    ) -> Result<(), IndexError> {
        if !self.covers(&writing) {
            self.forgotten.remove(&writing);
            self.memtable.insert(writing, chunks.into_iter());
        }
        if self.memtable.len() < self.limits.memtable {
            return Ok(());
        }
        self.flush()?;
        while self.runs.len() > self.limits.runs && self.merge_step()? {}
        Ok(())
    }

    /// Where a chunk is, in a pack that is covered: any of its places. `None`: it is in none of them, or a run turned out
    /// to be damaged, so that fewer are covered than before.
    ///
    /// Only the first 16 bytes of the id are compared. Whether the chunk is still there is not known here.
    pub fn lookup(&self, id: &ChunkId) -> Option<Place> {
        let id = ShortId::from(id);
        if let Some(place) = self.memtable.find(id) {
            return Some(place);
        }
        let mut scratch = None;
        self.runs.iter().find_map(|run| {
            let maybe = run.may_hold(id);
            maybe.then(|| run.find(id, scratch.get_or_insert_with(Scratch::new)))?
        })
    }

    /// As [`Index::lookup`] of each id, in the order asked, but faster.
    pub fn lookup_many(&self, ids: &[ChunkId]) -> Vec<Option<Place>> {
        let short: Vec<ShortId> = ids.iter().map(ShortId::from).collect();
        let mut places: Vec<Option<Place>> = short.iter().map(|id| self.memtable.find(*id)).collect();
        let mut left: Vec<usize> = (0..ids.len()).filter(|at| places[*at].is_none()).collect();
        left.sort_unstable_by_key(|at| short[*at]);
        let mut maybe = Vec::with_capacity(left.len());
        let mut scratch = Scratch::new();
        for run in &self.runs {
            // Filters first, for all: the processor waits for memory once for many of them.
            maybe.clear();
            maybe.extend(left.iter().copied().filter(|at| run.may_hold(short[*at])));
            for at in &maybe {
                places[*at] = run.find(short[*at], &mut scratch);
            }
            left.retain(|at| places[*at].is_none());
        }
        places
    }

    /// From now on no place in these writings is answered, and they are not covered. On the home they vanish when their
    /// runs are merged, so the owner forgets them again after opening the index anew.
    pub fn forget(&mut self, writings: &HashSet<Writing>) {
        self.memtable.forget(writings);
        for run in self.runs.iter().chain(&self.lost) {
            writings.iter().for_each(|writing| run.forget(writing));
        }
        self.forgotten.extend(writings);
    }

    /// Writes what is in memory as a run. On `Ok` all that is covered survives a power loss. Does nothing if nothing is
    /// new.
    ///
    /// # Errors
    /// [`IndexError::Write`], [`IndexError::Written`]; it may be tried again.
    pub fn flush(&mut self) -> Result<(), IndexError> {
        if self.memtable.is_empty() {
            return Ok(());
        }
        let run = self.new_id();
        let (packs, entries) = self.memtable.sorted();
        let mut writer = RunWriter::new(&self.site, run, packs, self.limits.part);
        for entry in entries {
            if let Err(source) = writer.push(&self.site, entry) {
                self.doomed.insert(run, writer.found());
                return Err(IndexError::Write(source));
            }
        }
        let found = Found {
            root: true, // in doubt it is there
            ..writer.found()
        };
        if let Err(source) = writer.finish(&self.site) {
            self.doomed.insert(run, found);
            return Err(IndexError::Write(source));
        }
        match Run::open(&self.site, run) {
            Ok(run) => self.adopt(run),
            Err(source) => {
                self.doomed.insert(run, found);
                return Err(IndexError::Written { run, source });
            }
        }
        self.memtable = Memtable::default();
        Ok(())
    }

    /// What there is.
    pub fn stats(&self) -> Stats {
        let failed = self.runs.iter().filter_map(|run| {
            let why = run.fault()?.clone();
            Some(Dropped { run: run.id, why })
        });
        Stats {
            runs: self.sound().count(),
            entries: self.sound().map(|run| run.entries).sum(),
            stored: self.sound().map(|run| run.size).sum(),
            unwritten: self.memtable.len() as u64,
            resident: self.memtable.resident() + self.runs.iter().map(|run| run.resident()).sum::<u64>(),
            dropped: self.dropped.values().cloned().chain(failed).collect(),
        }
    }

    fn new_id(&self) -> RunId {
        let mut id = [0; 16];
        self.random.fill(&mut id);
        RunId(id)
    }
}
