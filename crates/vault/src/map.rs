//! The map of a machine at a point: runs laid over each other, looked up region by region.
//!
//! Opening reads the roots of the runs on the way, and nothing else; blocks are read when a region they touch is asked for.
//! Never knows: chunks' contents.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_format::map::{BlockRef, Body, Extent as Stored, Root, decode_block};
use backstay_format::rows::{SpanId, SpanRow};
use backstay_format::units::{DiskNo, FrameNo, MachineId, PackId, PageNo, PointNo};
use backstay_store::ledger::View;
use backstay_store::packs::Packs;
use backstay_timeline::extent::{Extent, overlay};
use backstay_timeline::run::resolve;
use lru::LruCache;

use crate::rows::spans_ending;
use crate::{Vault, VaultError};

/// Pages of a disk whose extents are laid over each other at once: 256 MiB.
const REGION: u64 = 1 << 16;
/// Regions kept in memory.
const REGIONS: NonZero<usize> = NonZero::new(32).unwrap();

/// A run, opened.
pub(crate) struct Run {
    packs: Vec<PackId>,
    body: RunBody,
}

enum RunBody {
    Inline(Vec<Stored>),
    Blocks { refs: Vec<BlockRef>, cache: Mutex<LruCache<usize, Arc<Vec<Extent>>>> },
}

/// Blocks of a run kept in memory: regions are mostly asked for in order.
const BLOCKS: NonZero<usize> = NonZero::new(2).unwrap();

impl Run {
    pub(crate) fn open(view: &View, packs: &Packs, id: SpanId) -> Result<Run, VaultError> {
        let spans = spans_ending(view, id.machine, id.to)?;
        let row = spans.into_iter().find(|(s, _)| *s == id).ok_or(VaultError::NoWay)?.1;
        Run::read(packs, &row)
    }

    fn read(packs: &Packs, row: &SpanRow) -> Result<Run, VaultError> {
        let root = Root::decode(&packs.blob(row.pack, row.frame)?).map_err(VaultError::Map)?;
        let body = match root.body {
            Body::Inline(extents) => RunBody::Inline(extents),
            Body::Blocks(refs) => RunBody::Blocks { refs, cache: Mutex::new(LruCache::new(BLOCKS)) },
        };
        Ok(Run { packs: root.packs, body })
    }

    /// The packs that it refers to.
    pub(crate) fn packs(&self) -> &[PackId] {
        &self.packs
    }

    /// The frames with its blocks: the first of each two.
    pub(crate) fn block_frames(&self) -> Vec<(PackId, FrameNo)> {
        match &self.body {
            RunBody::Inline(_) => Vec::new(),
            RunBody::Blocks { refs, .. } => refs.iter().map(|b| (self.packs[b.pack as usize], b.frame)).collect(),
        }
    }

    /// Its extents of a disk that touch a range of pages; they may reach over the range's ends.
    pub(crate) fn extents(&self, packs: &Packs, disk: DiskNo, range: &Range<u64>) -> Result<Vec<Extent>, VaultError> {
        let touches = |page: u64, end: u64| page < range.end && end > range.start;
        match &self.body {
            RunBody::Inline(stored) => {
                let touched = stored.iter().filter(|e| e.disk == disk && touches(e.page.0, e.end().0));
                Ok(resolve(&touched.copied().collect::<Vec<_>>(), &self.packs))
            }
            RunBody::Blocks { refs, .. } => {
                let mut out = Vec::new();
                let first = refs.partition_point(|b| (b.last.0, b.last.1.0) < (disk, range.start));
                for (index, block) in refs.iter().enumerate().skip(first) {
                    if (block.first.0, block.first.1.0) >= (disk, range.end) {
                        break;
                    }
                    let extents = self.block(packs, index)?;
                    out.extend(extents.iter().filter(|e| e.disk == disk && touches(e.page.0, e.end().0)));
                }
                Ok(out)
            }
        }
    }

    fn block(&self, packs: &Packs, index: usize) -> Result<Arc<Vec<Extent>>, VaultError> {
        let RunBody::Blocks { refs, cache } = &self.body else { return Ok(Arc::default()) };
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(extents) = cache.get(&index) {
            return Ok(extents.clone());
        }
        let blob = packs.blob(self.packs[refs[index].pack as usize], refs[index].frame)?;
        let stored = decode_block(&blob, self.packs.len() as u32).map_err(VaultError::Map)?;
        let extents = Arc::new(resolve(&stored, &self.packs));
        cache.put(index, extents.clone());
        Ok(extents)
    }

    /// All its extents, in order, a block at a time.
    pub(crate) fn for_each_block(
        &self,
        packs: &Packs,
        mut each: impl FnMut(&[Extent]) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        match &self.body {
            RunBody::Inline(stored) => each(&resolve(stored, &self.packs)),
            RunBody::Blocks { refs, .. } => (0..refs.len()).try_for_each(|index| each(&self.block(packs, index)?)),
        }
    }

    /// As [`Run::for_each_block`], past blocks that are damaged: these are noted.
    pub(crate) fn for_each_readable(
        &self,
        packs: &Packs,
        lost: &mut Vec<Lost>,
        mut each: impl FnMut(&[Extent]),
    ) -> Result<(), VaultError> {
        let RunBody::Blocks { refs, .. } = &self.body else {
            return self.for_each_block(packs, |extents| {
                each(extents);
                Ok(())
            });
        };
        for (index, block) in refs.iter().enumerate() {
            match self.block(packs, index) {
                Ok(extents) => each(&extents),
                Err(error) if error.is_damage() => {
                    lost.push(Lost { first: block.first, last: block.last, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The regions that it may have extents in.
    pub(crate) fn regions(&self, packs: &Packs, into: &mut BTreeSet<(DiskNo, u64)>) -> Result<(), VaultError> {
        let mut add = |disk: DiskNo, first: u64, last: u64| {
            into.extend((first / REGION..=last / REGION).map(|region| (disk, region)));
        };
        match &self.body {
            RunBody::Inline(stored) => stored.iter().for_each(|e| add(e.disk, e.page.0, e.end().0 - 1)),
            RunBody::Blocks { refs, .. } => {
                for (index, block) in refs.iter().enumerate() {
                    if block.first.0 == block.last.0 {
                        add(block.first.0, block.first.1.0, block.last.1.0);
                    } else {
                        self.block(packs, index)?.iter().for_each(|e| add(e.disk, e.page.0, e.end().0 - 1));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A block that cannot be read: it says something of pages from the first to the last.
pub(crate) struct Lost {
    pub(crate) first: (DiskNo, PageNo),
    pub(crate) last: (DiskNo, PageNo),
    pub(crate) why: String,
}

/// Pages of a region.
pub(crate) fn region_pages(region: u64) -> Range<u64> {
    region * REGION..(region + 1).saturating_mul(REGION)
}

/// Extents of regions, by disk and number.
type Regions = LruCache<(DiskNo, u64), Arc<Vec<Extent>>>;

/// What a machine's disks held at a point, or what changed since another.
pub struct Map {
    packs: Arc<Packs>,
    /// Newest first.
    runs: Vec<Arc<Run>>,
    regions: Mutex<Regions>,
    /// Why what lies beneath these runs is not known; `None`: it is zeros.
    lost: Option<String>,
}

impl Map {
    /// Extents of a disk in a range of pages, in order, cut at the range's ends. Pages that none covers are zeros (or, for a
    /// map of changes, did not change).
    ///
    /// # Errors
    /// [`VaultError`]; [`VaultError::Unknown`] if there are pages among them of which nothing is known.
    pub fn extents(&self, disk: DiskNo, range: Range<u64>) -> Result<Vec<Extent>, VaultError> {
        let known = self.known(disk, range.clone())?;
        match &self.lost {
            Some(why) if !covers(&known, &range) => Err(VaultError::Unknown(why.clone())),
            _ => Ok(known),
        }
    }

    /// Whether pages without an extent are zeros (or did not change).
    pub(crate) fn is_whole(&self) -> bool {
        self.lost.is_none()
    }

    /// As [`Map::extents`], also if nothing is known of the pages between them.
    pub(crate) fn known(&self, disk: DiskNo, range: Range<u64>) -> Result<Vec<Extent>, VaultError> {
        let mut out = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let region = at / REGION;
            let end = (region + 1).saturating_mul(REGION).min(range.end);
            let extents = self.region(disk, region)?;
            let first = extents.partition_point(|e| e.end().0 <= at);
            let touched = extents[first..].iter().take_while(|e| e.page.0 < end);
            out.extend(touched.filter_map(|e| e.clip(&(at..end))));
            at = end;
        }
        Ok(out)
    }

    fn region(&self, disk: DiskNo, region: u64) -> Result<Arc<Vec<Extent>>, VaultError> {
        let key = (disk, region);
        if let Some(extents) = self.regions.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(extents.clone());
        }
        let extents = Arc::new(merge(&self.runs, &self.packs, disk, &region_pages(region))?);
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).put(key, extents.clone());
        Ok(extents)
    }

    /// How many runs it is made of.
    pub fn depth(&self) -> usize {
        self.runs.len()
    }
}

/// Whether extents, in order, leave no page of a range out.
fn covers(extents: &[Extent], range: &Range<u64>) -> bool {
    let end = extents.iter().try_fold(range.start, |at, e| (e.page.0 <= at).then_some(e.end().0));
    end.is_some_and(|end| end >= range.end)
}

/// Lays runs, newest first, over each other in a range of pages of a disk.
pub(crate) fn merge<R: Borrow<Run>>(
    runs: &[R],
    packs: &Packs,
    disk: DiskNo,
    range: &Range<u64>,
) -> Result<Vec<Extent>, VaultError> {
    let mut out: Vec<Extent> = Vec::new();
    for run in runs {
        let older = run.borrow().extents(packs, disk, range)?;
        let older: Vec<Extent> = older.iter().filter_map(|e| e.clip(range)).collect();
        out = if out.is_empty() { older } else { overlay(&out, &older) };
    }
    Ok(out)
}

impl Vault {
    /// What a machine's disks held at a point.
    ///
    /// # Errors
    /// [`VaultError`]; damage names the pack with the part of the map that cannot be read.
    pub fn map(&self, machine: MachineId, point: PointNo) -> Result<Map, VaultError> {
        self.changes(machine, PointNo::BEGINNING, point)
    }

    /// What changed on a machine's disks between two points.
    ///
    /// # Errors
    /// As [`Vault::map`].
    pub fn changes(&self, machine: MachineId, from: PointNo, to: PointNo) -> Result<Map, VaultError> {
        match self.open_way(&self.ledger.view(), machine, (from, to))? {
            (_, Some(error)) => Err(error),
            (runs, None) => Ok(self.map_of(runs, None)),
        }
    }

    /// As [`Vault::map`], but where a run is lost: then what newer runs say is known, and nothing else.
    pub(crate) fn map_as_far_as_known(&self, machine: MachineId, point: PointNo) -> Result<Map, VaultError> {
        match self.open_way(&self.ledger.view(), machine, (PointNo::BEGINNING, point))? {
            (runs, Some(error)) if runs.is_empty() => Err(error),
            (runs, lost) => Ok(self.map_of(runs, lost.map(|error| error.to_string()))),
        }
    }

    fn map_of(&self, runs: Vec<Arc<Run>>, lost: Option<String>) -> Map {
        Map { packs: self.packs.clone(), runs, regions: Mutex::new(LruCache::new(REGIONS)), lost }
    }
}

/// Runs kept open: the ways to neighbouring points have most of their runs in common.
const RUNS: NonZero<usize> = NonZero::new(128).unwrap();

/// Runs by where their roots lie, so that a span whose run was replaced is read anew.
pub(crate) struct RunCache(Mutex<LruCache<(PackId, FrameNo), Arc<Run>>>);

impl Default for RunCache {
    fn default() -> Self {
        RunCache(Mutex::new(LruCache::new(RUNS)))
    }
}

impl RunCache {
    fn open(&self, packs: &Packs, row: &SpanRow) -> Result<Arc<Run>, VaultError> {
        let key = (row.pack, row.frame);
        if let Some(run) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(run.clone());
        }
        let run = Arc::new(Run::read(packs, row)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, run.clone());
        Ok(run)
    }
}

impl Vault {
    /// The runs on the way between two numbers, newest first, and why it ends before the older number, if it does. Where a
    /// summary is damaged, the spans it sums up are taken.
    fn open_way(&self, view: &View, machine: MachineId, way: (PointNo, PointNo)) -> Result<Way, VaultError> {
        let mut runs = Vec::new();
        let mut at = way.1;
        while at > way.0 {
            let mut candidates = spans_ending(view, machine, at)?;
            candidates.retain(|(s, _)| s.from >= way.0);
            candidates.sort_by_key(|(s, _)| s.from);
            let mut outcome = Err(VaultError::NoWay);
            for (span, row) in candidates {
                outcome = self.runs.open(&self.packs, &row).map(|run| (run, span.from));
                if !matches!(&outcome, Err(error) if error.is_damage()) {
                    break;
                }
            }
            match outcome {
                Ok((run, from)) => {
                    runs.push(run);
                    at = from;
                }
                Err(error) if error.is_damage() => return Ok((runs, Some(error))),
                Err(error) => return Err(error),
            }
        }
        Ok((runs, None))
    }
}

/// Runs, newest first, and the damage that they end at, if any.
type Way = (Vec<Arc<Run>>, Option<VaultError>);
