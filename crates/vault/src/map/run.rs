//! Runs, opened: their roots at once, their blocks when a page they speak of is asked for.
//!
//! Never knows: which runs lead to a point.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_format::map::{BlockRef, Body, Extent as Stored, Root, decode_block};
use backstay_format::rows::{SpanId, SpanRow};
use backstay_format::units::{DiskNo, FrameNo, PackId, PageNo};
use backstay_store::ledger::View;
use backstay_store::packs::Packs;
use backstay_timeline::extent::{Extent, overlay};
use backstay_timeline::run::resolve;
use lru::LruCache;

use super::REGION;
use crate::VaultError;
use crate::rows::spans_ending;

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

    /// Its extents of a disk in a range of pages, cut at the range's ends.
    ///
    /// # Errors
    /// [`VaultError`], also if a block that touches the range is damaged.
    pub(crate) fn extents(&self, packs: &Packs, disk: DiskNo, range: &Range<u64>) -> Result<Vec<Extent>, VaultError> {
        let mut out = Vec::new();
        match &self.body {
            RunBody::Inline(stored) => self.inline(stored, disk, range, &mut out),
            RunBody::Blocks { refs, .. } => {
                for index in touching(refs, disk, range) {
                    clip_into(&mut out, &self.block(packs, index)?, disk, range);
                }
            }
        }
        Ok(out)
    }

    /// As [`Run::extents`], past blocks that are damaged.
    pub(super) fn readable(&self, packs: &Packs, disk: DiskNo, range: &Range<u64>) -> Result<Readable, VaultError> {
        let mut found = Readable::default();
        match &self.body {
            RunBody::Inline(stored) => self.inline(stored, disk, range, &mut found.extents),
            RunBody::Blocks { refs, .. } => {
                for index in touching(refs, disk, range) {
                    match self.block(packs, index) {
                        Ok(extents) => clip_into(&mut found.extents, &extents, disk, range),
                        Err(error) if error.is_damage() => found.lose(pages_of(&refs[index], disk, range), &error),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(found)
    }

    fn inline(&self, stored: &[Stored], disk: DiskNo, range: &Range<u64>, out: &mut Vec<Extent>) {
        let touches = |e: &&Stored| e.disk == disk && e.page.0 < range.end && e.end().0 > range.start;
        let touched: Vec<Stored> = stored.iter().filter(touches).copied().collect();
        clip_into(out, &resolve(&touched, &self.packs), disk, range);
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

/// What of a run can be read: extents, the pages of which it may have said something that is lost, and why.
#[derive(Default)]
pub(super) struct Readable {
    pub(super) extents: Vec<Extent>,
    pub(super) lost: Vec<Range<u64>>,
    pub(super) why: Option<String>,
}

impl Readable {
    pub(super) fn lose(&mut self, pages: Range<u64>, error: &VaultError) {
        self.lost.extend(Some(pages).filter(|pages| !pages.is_empty()));
        self.why.get_or_insert_with(|| error.to_string());
    }
}

/// The blocks with extents of a disk that may touch a range of pages.
fn touching(refs: &[BlockRef], disk: DiskNo, range: &Range<u64>) -> Range<usize> {
    let first = refs.partition_point(|b| (b.last.0, b.last.1.0) < (disk, range.start));
    let end = refs.partition_point(|b| (b.first.0, b.first.1.0) < (disk, range.end));
    first..end.max(first)
}

/// The part of a range of a disk's pages that a block may say something of.
fn pages_of(block: &BlockRef, disk: DiskNo, range: &Range<u64>) -> Range<u64> {
    let start = if block.first.0 == disk { block.first.1.0.max(range.start) } else { range.start };
    let end = if block.last.0 == disk { (block.last.1.0 + 1).min(range.end) } else { range.end };
    start..end
}

fn clip_into(out: &mut Vec<Extent>, extents: &[Extent], disk: DiskNo, range: &Range<u64>) {
    out.extend(extents.iter().filter(|e| e.disk == disk).filter_map(|e| e.clip(range)));
}

/// A block that cannot be read: it says something of pages from the first to the last.
pub(crate) struct Lost {
    pub(crate) first: (DiskNo, PageNo),
    pub(crate) last: (DiskNo, PageNo),
    pub(crate) why: String,
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
        out = if out.is_empty() { older } else { overlay(&out, &older) };
    }
    Ok(out)
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
    pub(super) fn open(&self, packs: &Packs, row: &SpanRow) -> Result<Arc<Run>, VaultError> {
        let key = (row.pack, row.frame);
        if let Some(run) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(run.clone());
        }
        let run = Arc::new(Run::read(packs, row)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, run.clone());
        Ok(run)
    }
}
