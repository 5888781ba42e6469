//! The segments that are asked for, and where the chunks of an offer lie in one.
//!
//! Never knows: what the chunks hold.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use backstay_format::units::ChunkId;
use backstay_scan::Page;

use super::super::compare::runs;
use super::super::scan::Plan;
use super::{FarSegment, Offer};

/// Pages of a chunk at most.
const MOST: usize = 64;

/// The segments to be scanned.
pub(super) enum Segments<'a> {
    /// Of whole disks.
    Planned(&'a Plan),
    /// Of what changed.
    Listed(Vec<FarSegment>),
}

impl Segments<'_> {
    pub(super) fn get(&self, number: usize) -> FarSegment {
        match self {
            Segments::Planned(plan) => {
                let (disk, _, pages) = plan.segment(number);
                FarSegment { disk, pieces: std::iter::once(pages).collect() }
            }
            Segments::Listed(segments) => segments[number].clone(),
        }
    }
}

/// A chunk of an offer, and its pages in the segment.
pub(super) struct Offered {
    pub(super) id: ChunkId,
    pub(super) pages: Range<usize>,
}

/// Where the chunks of an offer lie; `None` if they do not fill the data of the segment, and nothing else.
pub(super) fn placed(segment: &FarSegment, offer: &Offer) -> Option<Vec<Offered>> {
    if offer.state.len() != segment.pages() {
        return None;
    }
    let mut ids = offer.chunks.iter();
    let mut chunks = Vec::with_capacity(offer.chunks.len());
    for run in data_runs(segment, &offer.state) {
        let mut at = run.start;
        while at < run.end {
            let (id, pages) = ids.next()?;
            let pages = at..at.checked_add(*pages)?;
            if pages.is_empty() || pages.len() > MOST || pages.end > run.end {
                return None;
            }
            at = pages.end;
            chunks.push(Offered { id: *id, pages });
        }
    }
    ids.next().is_none().then_some(chunks)
}

/// Runs of data pages, which end where pieces do.
fn data_runs(segment: &FarSegment, state: &[Page]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut at = 0;
    for piece in &segment.pieces {
        let pages = at..at + (piece.end - piece.start) as usize;
        at = pages.end;
        let same = vec![false; pages.len()];
        let data = runs(&state[pages.clone()], &same).into_iter().filter(|(_, content)| content.is_none());
        out.extend(data.map(|(run, _)| pages.start + run.start..pages.start + run.end));
    }
    out
}

/// Where each disk is known to go on with pages that nothing uses.
pub(super) struct Holes(Vec<Mutex<Range<u64>>>);

impl Holes {
    /// Of so many disks nothing is known.
    pub(super) fn new(disks: usize) -> Holes {
        Holes((0..disks).map(|_| Mutex::new(0..0)).collect())
    }

    /// What a segment in a hole holds; `None` for one that must be asked for.
    pub(super) fn offer(&self, segment: &FarSegment) -> Option<Offer> {
        let hole = self.0[segment.disk].lock().unwrap_or_else(PoisonError::into_inner).clone();
        let inside = |piece: &Range<u64>| hole.start <= piece.start && piece.end <= hole.end;
        let absent = segment.pieces.iter().all(inside);
        absent.then(|| Offer { state: vec![Page::Absent; segment.pages()], chunks: Vec::new(), absent_behind: 0 })
    }

    /// What was offered for a segment tells of what is behind it.
    pub(super) fn learn(&self, segment: &FarSegment, offer: &Offer) {
        let Some(last) = segment.pieces.last() else { return };
        let behind = last.end..last.end.saturating_add(offer.absent_behind);
        let mut hole = self.0[segment.disk].lock().unwrap_or_else(PoisonError::into_inner);
        // Answers come in any order.
        if behind.end > hole.end || behind.end == hole.end && behind.start < hole.start {
            *hole = behind;
        }
    }
}
