//! A run: the sorted entries of a set of packs, in one or more parts. It never changes; what it says of packs that are
//! forgotten is passed over.
//!
//! Never knows: the other runs, or whether it is of any use.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_format::units::ChunkNo;

use super::Place;
use super::entry::{Entry, ShortId};
use super::fault::Fault;
use super::part::{Part, Scratch};
use super::root::{Root, TRAILER_LEN, Writing, check, root_len};
use super::site::{Found, RunId, Site};

/// A run that is open. Its objects stay open too, so that on a local home it outlives its deletion by another process.
pub(super) struct Run {
    pub(super) id: RunId,
    packs: Vec<Writing>,
    /// For each pack: it was forgotten.
    gone: Vec<AtomicBool>,
    /// Packs that are not forgotten.
    live: AtomicU64,
    pub(super) parts: Vec<Part>,
    fault: OnceLock<Fault>,
    /// Entries, those of forgotten packs included.
    pub(super) entries: u64,
    /// Bytes at rest.
    pub(super) size: u64,
}

impl Run {
    /// Opens a run: reads its root, and sees that its parts are there and as long as they should be.
    pub(super) fn open(site: &Site, id: RunId) -> Result<Run, Fault> {
        let last = site.objects.open(&site.root_key(id))?;
        let cut = |more: u64| last.size().checked_sub(more).ok_or(Fault::Damaged("the length"));
        let mut trailer = [0; TRAILER_LEN];
        let root_end = cut(TRAILER_LEN as u64)?;
        last.read_at(root_end, &mut trailer)?;
        let root_len = root_len(&trailer)?;
        let root_start = root_end.checked_sub(root_len).ok_or(Fault::Damaged("the length"))?;
        let mut root = vec![0; root_len as usize];
        last.read_at(root_start, &mut root)?;
        check(&root, &trailer, site.store, id)?;
        let root = Root::decode(&root)?;
        let mut objects = (0..root.parts.len() as u32 - 1)
            .map(|part| site.objects.open(&site.part_key(id, part)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut size = last.size() - root_start;
        let mut last_len = Some(root_start);
        objects.push(last);
        let mut parts = Vec::with_capacity(objects.len());
        for (number, (object, facts)) in objects.into_iter().zip(&root.parts).enumerate().rev() {
            // The last part is followed by the root; each other one fills its object.
            let len = last_len.take().unwrap_or(object.size());
            if facts.len() != len {
                return Err(Fault::Damaged("the length"));
            }
            size += len;
            parts.push(Part::new(object, facts.clone(), number as u32, site.seed(id)));
        }
        parts.reverse();
        Ok(Run {
            id,
            gone: root.packs.iter().map(|_| AtomicBool::new(false)).collect(),
            live: AtomicU64::new(root.packs.len() as u64),
            entries: root.entries(),
            packs: root.packs,
            parts,
            fault: OnceLock::new(),
            size,
        })
    }

    /// What a listing shows of it.
    pub(super) fn found(&self) -> Found {
        Found { root: true, parts: (0..self.parts.len() as u32 - 1).collect() }
    }

    /// Why it is not used, if it is not.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.get()
    }

    /// From now on it is not used. The first reason stays.
    pub(super) fn fail(&self, fault: Fault) {
        self.fault.get_or_init(|| fault);
    }

    /// The writings it covers, forgotten ones left out, in order.
    pub(super) fn live_packs(&self) -> impl Iterator<Item = (u32, Writing)> {
        let live = |at: &usize| !self.gone[*at].load(Ordering::Relaxed);
        (0..self.packs.len()).filter(live).map(|at| (at as u32, self.packs[at]))
    }

    /// Packs that are not forgotten.
    pub(super) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// All packs in its table.
    pub(super) fn packs(&self) -> u64 {
        self.packs.len() as u64
    }

    /// Whether it has all of this writing's chunks, and was not told to forget them.
    pub(super) fn covers(&self, writing: &Writing) -> bool {
        let place = self.packs.binary_search(writing);
        place.is_ok_and(|at| !self.gone[at].load(Ordering::Relaxed))
    }

    /// Whether it covers all that `other` does.
    pub(super) fn covers_all_of(&self, other: &Run) -> bool {
        other.live() <= self.live() && other.live_packs().all(|(_, writing)| self.covers(&writing))
    }

    /// Passes over a writing's chunks from now on.
    pub(super) fn forget(&self, writing: &Writing) {
        if let Ok(at) = self.packs.binary_search(writing)
            && !self.gone[at].swap(true, Ordering::Relaxed)
        {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether an id may be here: `false` is certain, but for a run that fails, which has nothing.
    pub(super) fn may_hold(&self, id: ShortId) -> bool {
        let Some(part) = self.start(id) else {
            return false;
        };
        if self.fault().is_some() {
            return false;
        }
        let mut parts = self.parts_for(id, part);
        parts.any(|part| {
            part.may_hold(id).unwrap_or_else(|fault| {
                self.fail(fault);
                false
            })
        })
    }

    /// Where a chunk is, in a pack that is not forgotten. A run that fails has nothing from then on.
    pub(super) fn find(&self, id: ShortId, scratch: &mut Scratch) -> Option<Place> {
        if self.fault().is_some() {
            return None;
        }
        let found = self.try_find(id, scratch).unwrap_or_else(|fault| {
            self.fail(fault);
            None
        });
        found.map(|entry| Place { pack: self.packs[entry.pack as usize].pack, chunk: ChunkNo(entry.chunk) })
    }

    fn try_find(&self, id: ShortId, scratch: &mut Scratch) -> Result<Option<Entry>, Fault> {
        let accept = |entry: &Entry| match self.gone.get(entry.pack as usize) {
            Some(gone) => Ok(!gone.load(Ordering::Relaxed)),
            None => Err(Fault::Damaged("a block")),
        };
        let Some(start) = self.start(id) else {
            return Ok(None);
        };
        for part in self.parts_for(id, start) {
            if part.may_hold(id)?
                && let Some(entry) = part.find(id, scratch, accept)?
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The first part that can have the id.
    fn start(&self, id: ShortId) -> Option<usize> {
        // The part that begins with this very id may have a neighbour before it that ends with the same.
        let after = self.parts.partition_point(|part| part.facts.first < id.high);
        (self.entries > 0).then_some(after.saturating_sub(1))
    }

    fn parts_for(&self, id: ShortId, start: usize) -> impl Iterator<Item = &Part> {
        let parts = self.parts[start..].iter().enumerate();
        let fits = move |(at, part): &(usize, &Part)| *at == 0 || part.facts.first <= id.high;
        parts.take_while(fits).map(|(_, part)| part)
    }

    /// Bytes in memory.
    pub(super) fn resident(&self) -> u64 {
        let tables: u64 = self.parts.iter().map(Part::resident).sum();
        tables + self.packs() * (size_of::<Writing>() + size_of::<AtomicBool>()) as u64
    }
}
