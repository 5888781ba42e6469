//! Scanning disks that somebody else reads.
//!
//! Never knows: packs that are being written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::real::disk::Buffers;
use backstay_format::units::{DiskNo, PAGE_SIZE};
use backstay_scan::{Cutting, Page, SEGMENT};
use backstay_store::ingest::{ChunkAt, Scanned, Scanner};
use backstay_timeline::extent::{Content, Extent};

use super::super::FarCapture;
use super::super::compare::{Compare, mark_contents};
use super::super::cut::Note;
use super::super::progress::Progress;
use super::super::scan::{Plan, Rescanner, Seen};
use super::segments::{Holes, Offered, Segments, placed};
use super::{Far, FarFrame, FarSegment, Offer, Shown, nonsense};
use crate::map::Map;
use crate::{Vault, VaultError};

/// Segments that are asked for at once: each takes two answers, and enough of them must be under way to fill a link of 1 Gbit/s over
/// 20 ms. An agent holds half as many again.
const AT_ONCE: usize = 16;

/// Scans disks that somebody else reads.
pub(in crate::protect) struct FarScanner<'a> {
    far: &'a dyn Far,
    shown: &'a Shown,
    /// The number of the first segment among all that were ever shown.
    first: u64,
    /// Of each disk its name and number.
    disks: Vec<(String, DiskNo)>,
    segments: Segments<'a>,
    holes: Holes,
    /// What they are compared with; segments are of one piece then.
    base: Option<&'a Arc<Map>>,
    pub(super) compare: Compare<'a>,
    pub(super) cutting: Cutting,
    buffers: Buffers,
    cancel: &'a AtomicBool,
    progress: &'a Progress,
    /// Of each disk.
    seen: Vec<Seen>,
}

impl Scanner for FarScanner<'_> {
    type Note = Note;
    type Error = VaultError;

    fn scan(&self, number: usize) -> Result<Scanned<Note>, VaultError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(VaultError::Cancelled);
        }
        let segment = &self.segments.get(number);
        let (name, disk) = &self.disks[segment.disk];
        let failed = |source| VaultError::Source { name: name.clone(), source };
        let offer = self.look(number, segment).map_err(failed)?;
        let chunks = placed(segment, &offer).ok_or_else(|| failed(nonsense("what it offered")))?;
        self.count(segment.disk, &offer.state);
        let base = match (self.base, &segment.pieces[..]) {
            (Some(map), [piece]) => map.extents(*disk, piece.clone())?,
            _ => Vec::new(),
        };
        let mut same = match self.base {
            Some(_) => self.same_by_name(&base, segment, &offer, &chunks)?,
            None => vec![false; offer.state.len()],
        };
        let wanted = self.wanted(self.first + number as u64, &chunks, &same);
        let any = wanted.contains(&true);
        let mut buffer = self.buffers.take(if any { offer.state.len() * PAGE_SIZE } else { 0 });
        let frames = self.fetch(number, &wanted).map_err(failed)?;
        let frames = self.open(frames, &chunks, &wanted, &mut buffer).map_err(failed)?;
        if any {
            self.same_by_page(&base, segment, (&offer, &chunks, &wanted), &buffer, &mut same)?;
        }
        let (told, whole) = self.told((segment, *disk), (&offer, &chunks, &wanted), (&same, frames), buffer);
        self.shown.add(whole.into_iter().map(|index| chunks[index].id), self.first + number as u64);
        Ok(told)
    }

    fn at_once(&self) -> Option<usize> {
        Some(AT_ONCE)
    }
}

impl<'a> FarScanner<'a> {
    /// For a pass over what changed.
    pub(in crate::protect) fn of_pass(
        vault: &'a Vault,
        (far, shown): (&'a dyn Far, &'a Shown),
        (disks, segments): (Vec<(String, DiskNo)>, Vec<FarSegment>),
        (cancel, progress): (&'a AtomicBool, &'a Progress),
    ) -> Self {
        let most = segments.iter().map(FarSegment::pages).max().unwrap_or(0);
        FarScanner {
            far,
            shown,
            first: shown.number(segments.len()),
            seen: disks.iter().map(|_| Seen::default()).collect(),
            holes: Holes::new(disks.len()),
            disks,
            segments: Segments::Listed(segments),
            base: None,
            compare: Compare { packs: &vault.packs },
            cutting: vault.cutting(),
            buffers: Buffers::new(most * PAGE_SIZE),
            cancel,
            progress,
        }
    }

    /// For a rescan. What was shown before it may not be stored any more.
    pub(in crate::protect) fn of_rescan(
        vault: &'a Vault,
        capture: &'a FarCapture<'_>,
        plan: &'a Plan,
        map: Option<&'a Arc<Map>>,
    ) -> Self {
        capture.shown.clear();
        FarScanner {
            far: capture.far,
            shown: capture.shown,
            first: capture.shown.number(plan.segments()),
            disks: capture.disks.iter().map(|disk| disk.name.clone()).zip(plan.numbers().iter().copied()).collect(),
            buffers: Buffers::new(SEGMENT as usize * PAGE_SIZE),
            base: map,
            compare: Compare { packs: &vault.packs },
            cutting: vault.cutting(),
            cancel: capture.cancel,
            progress: capture.progress,
            seen: capture.disks.iter().map(|_| Seen::default()).collect(),
            holes: Holes::new(capture.disks.len()),
            segments: Segments::Planned(plan),
        }
    }
}

impl Rescanner for FarScanner<'_> {
    fn seen(&self, source: usize) -> &Seen {
        &self.seen[source]
    }
}

impl FarScanner<'_> {
    /// What a segment holds; nobody is asked where it is known that nothing uses it.
    fn look(&self, number: usize, segment: &FarSegment) -> io::Result<Offer> {
        if let Some(offer) = self.holes.offer(segment) {
            return Ok(offer);
        }
        let offer = self.far.look(self.first + number as u64, segment)?;
        self.holes.learn(segment, &offer);
        Ok(offer)
    }

    fn fetch(&self, number: usize, wanted: &[bool]) -> io::Result<Vec<FarFrame>> {
        let number = self.first + number as u64;
        match wanted.contains(&true) {
            true => self.far.fetch(number, wanted),
            false if wanted.is_empty() => Ok(Vec::new()),
            false => self.far.forget(number).map(|()| Vec::new()),
        }
    }

    fn count(&self, disk: usize, state: &[Page]) {
        let bytes = |of: &[Page]| (state.iter().filter(|page| of.contains(page)).count() * PAGE_SIZE) as u64;
        let read = bytes(&[Page::Data, Page::Zero]);
        self.progress.looked_at(read + bytes(&[Page::Unreadable, Page::Excluded]), read);
        self.seen[disk].count(state);
    }

    /// Which pages are as the map says, by what they are and by the names of whole chunks.
    fn same_by_name(
        &self,
        base: &[Extent],
        segment: &FarSegment,
        offer: &Offer,
        chunks: &[Offered],
    ) -> Result<Vec<bool>, VaultError> {
        let start = segment.pieces[0].start;
        let mut same = mark_contents(base, start, &offer.state);
        for extent in base {
            let Content::Data { pack, chunk, inside: 0, .. } = extent.content else { continue };
            let pages = (extent.page.0 - start) as usize..(extent.end().0 - start) as usize;
            let Ok(found) = chunks.binary_search_by_key(&pages.start, |c| c.pages.start) else { continue };
            let offered = &chunks[found];
            if offered.pages == pages && self.compare.is_named(ChunkAt { pack, chunk }, (&offered.id, pages.len()))? {
                same[pages].fill(true);
            }
        }
        Ok(same)
    }

    fn wanted(&self, number: u64, chunks: &[Offered], same: &[bool]) -> Vec<bool> {
        let is_same = |chunk: &Offered| same[chunk.pages.clone()].iter().all(|same| *same);
        chunks.iter().map(|chunk| !is_same(chunk) && !self.shown.has(&chunk.id, number)).collect()
    }

    /// Which pages of the chunks that came are as the map says, after all.
    fn same_by_page(
        &self,
        base: &[Extent],
        segment: &FarSegment,
        (offer, chunks, wanted): (&Offer, &[Offered], &[bool]),
        buffer: &[u8],
        same: &mut [bool],
    ) -> Result<(), VaultError> {
        let start = segment.pieces[0].start;
        let mut came = vec![false; same.len()];
        let pages = chunks.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(chunk, _)| chunk.pages.clone());
        pages.for_each(|pages| came[pages].fill(true));
        let mut found = vec![false; same.len()];
        for extent in base {
            let pages = (extent.page.0 - start) as usize..(extent.end().0 - start) as usize;
            if came[pages.clone()].contains(&true) {
                self.compare.compare_data(extent, pages, buffer, &offer.state, &mut found)?;
            }
        }
        same.iter_mut().zip(&found).zip(&came).for_each(|((same, found), came)| *same |= *found && *came);
        Ok(())
    }
}
