//! Disks that somebody else reads: the agent of a machine elsewhere.
//!
//! ```text
//!   here: which segment ─▶ there: read, cut, name ─▶ what each page is, the names of the chunks
//!   here: compare with the map ─▶ which chunks are wanted ─▶ there: compress ─▶ frames
//!   here: decompress, name again, compare page by page ─▶ chunks, and the frames as they came
//! ```
//!
//! Whoever reads may be hostile: it can say what it likes of its own machine's disks, and nothing else. What is wanted depends on
//! what that machine itself has shown and on nothing that others stored, so the answers teach it nothing. Every chunk that
//! comes is named again here before anything refers to it.
//!
//! Never knows: how they are asked, over what.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_env::real::disk::{Buffer, Buffers};
use backstay_format::pack::MAX_FRAME_PLAIN;
use backstay_format::units::{ChunkId, DiskNo, PAGE_SIZE, PageNo};
use backstay_scan::{Cutting, Page, SEGMENT};
use backstay_seal::compress;
use backstay_store::ingest::{ChunkAt, Packed, Scanned, Scanner};
use backstay_timeline::extent::{Content, Extent};

use super::FarCapture;
use super::compare::{Compare, mark_contents, runs};
use super::cut::{Findings, Note};
use super::progress::Progress;
use super::scan::{Plan, Rescanner, Seen};
use crate::map::Map;
use crate::{Vault, VaultError};

/// Pages of a chunk at most.
const MOST: usize = 64;

/// Segments that are asked for at once: each takes two answers, and enough of them must be under way to fill a link of 1 Gbit/s over
/// 20 ms. An agent holds twice as many.
const AT_ONCE: usize = 12;

/// Pieces of one disk that are looked at together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarSegment {
    /// Which disk, as an index of those of the capture.
    pub disk: usize,
    /// Ranges of pages, in order: at most 1,024 pages in all.
    pub pieces: Vec<Range<u64>>,
}

impl FarSegment {
    fn pages(&self) -> usize {
        self.pieces.iter().map(|piece| (piece.end - piece.start) as usize).sum()
    }
}

/// What a segment holds, as whoever reads it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What each page is, piece after piece.
    pub state: Vec<Page>,
    /// The chunks of its data pages, in order: their names and lengths in pages. None crosses the end of a run of data, nor of a piece.
    pub chunks: Vec<(ChunkId, usize)>,
}

/// A frame of chunks that were wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarFrame {
    /// How many of them, in order.
    pub chunks: usize,
    /// Their plaintext, one after the other.
    pub bytes: Vec<u8>,
    /// Whether it is compressed.
    pub compressed: bool,
}

/// Whoever reads the disks. Asked from many threads at once.
pub trait Far: Sync {
    /// Reads a segment, which has this number among all that were ever asked for; what it holds is kept there until it was fetched.
    ///
    /// # Errors
    /// The link is lost, or the disk.
    fn look(&self, number: u64, segment: &FarSegment) -> io::Result<Offer>;

    /// The chunks of an offer that are wanted, in frames; asked once of each segment, also if none are.
    ///
    /// # Errors
    /// As [`Far::look`].
    fn fetch(&self, number: u64, wanted: &[bool]) -> io::Result<Vec<FarFrame>>;
}

/// Chunks that one machine has shown it has for one point, so that it need not show them again: each with the number of the segment
/// that it came with. A segment may rely on those before it, for these get their places first.
#[derive(Default)]
pub struct Shown {
    chunks: Mutex<HashMap<[u8; 16], u64>>,
    segments: AtomicU64,
}

impl Shown {
    /// How many are remembered: 12 to 24 MiB. What comes after is sent more than once, and stored once.
    const MOST: usize = 1 << 19;

    /// The number of the first of so many segments.
    pub(super) fn number(&self, segments: usize) -> u64 {
        self.segments.fetch_add(segments as u64, Ordering::Relaxed)
    }

    fn has(&self, id: &ChunkId, before: u64) -> bool {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.get(&short(id)).is_some_and(|segment| *segment < before)
    }

    fn add(&self, ids: impl Iterator<Item = ChunkId>, segment: u64) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            let full = chunks.len() >= Self::MOST;
            let known = chunks.get_mut(&short(&id));
            match known {
                Some(known) => *known = segment.min(*known),
                None if full => {}
                None => drop(chunks.insert(short(&id), segment)),
            }
        }
    }

    /// Forgets all: what was shown may not be stored any more.
    pub fn clear(&self) {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Enough of an id: nobody finds another chunk that shares so much with one that is guessed, to have it taken for shown.
fn short(id: &ChunkId) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&id.0[..16]);
    short
}

/// Scans disks that somebody else reads.
pub(super) struct FarScanner<'a> {
    pub(super) far: &'a dyn Far,
    pub(super) shown: &'a Shown,
    /// The number of the first segment among all that were ever shown.
    pub(super) first: u64,
    /// Of each disk its name and number.
    pub(super) disks: Vec<(String, DiskNo)>,
    pub(super) segments: Segments<'a>,
    /// What they are compared with; segments are of one piece then.
    pub(super) base: Option<&'a Arc<Map>>,
    pub(super) compare: Compare<'a>,
    pub(super) cutting: Cutting,
    pub(super) buffers: Buffers,
    pub(super) cancel: &'a AtomicBool,
    pub(super) progress: &'a Progress,
    /// Of each disk.
    pub(super) seen: Vec<Seen>,
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
        let offer = self.far.look(self.first + number as u64, segment).map_err(failed)?;
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
        let frames = self.far.fetch(self.first + number as u64, &wanted).map_err(failed)?;
        let mut buffer = self.buffers.take(if wanted.contains(&true) { offer.state.len() * PAGE_SIZE } else { 0 });
        let frames = self.open(frames, &chunks, &wanted, &mut buffer).map_err(failed)?;
        if wanted.contains(&true) {
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
    pub(super) fn of_pass(
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
    pub(super) fn of_rescan(
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
            segments: Segments::Planned(plan),
        }
    }
}

/// The segments to be scanned.
pub(super) enum Segments<'a> {
    /// Of whole disks.
    Planned(&'a Plan),
    /// Of what changed.
    Listed(Vec<FarSegment>),
}

impl Segments<'_> {
    pub(super) fn count(&self) -> usize {
        match self {
            Segments::Planned(plan) => plan.segments(),
            Segments::Listed(segments) => segments.len(),
        }
    }

    fn get(&self, number: usize) -> FarSegment {
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
struct Offered {
    id: ChunkId,
    pages: Range<usize>,
}

/// Where the chunks of an offer lie; `None` if they do not fill the data of the segment, and nothing else.
fn placed(segment: &FarSegment, offer: &Offer) -> Option<Vec<Offered>> {
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

impl Rescanner for FarScanner<'_> {
    fn seen(&self, source: usize) -> &Seen {
        &self.seen[source]
    }
}

impl FarScanner<'_> {
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

    /// Puts what came into its places in the buffer, once it is known to be what it was said to be. Says which chunks are in each
    /// frame.
    fn open(
        &self,
        frames: Vec<FarFrame>,
        chunks: &[Offered],
        wanted: &[bool],
        buffer: &mut Buffer,
    ) -> io::Result<Vec<(Vec<usize>, FarFrame)>> {
        let mut rest = wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(index, _)| index);
        let mut opened = Vec::with_capacity(frames.len());
        for frame in frames {
            let inside: Vec<usize> = rest.by_ref().take(frame.chunks).collect();
            let pages: usize = inside.iter().map(|index| chunks[*index].pages.len()).sum();
            // What no reader of the format takes must not get into a pack: others will refer to what is in it.
            let plain = pages * PAGE_SIZE;
            let fits = plain as u64 <= MAX_FRAME_PLAIN && (!frame.compressed || frame.bytes.len() < plain);
            if inside.len() != frame.chunks || inside.is_empty() || !fits {
                return Err(nonsense("a frame"));
            }
            let plain = match frame.compressed {
                true => Some(compress::decompress_own(&frame.bytes, plain).map_err(io::Error::other)?),
                false => None,
            };
            let mut plain = plain.as_deref().unwrap_or(&frame.bytes);
            for index in &inside {
                let Offered { id, pages } = &chunks[*index];
                let Some((bytes, more)) = plain.split_at_checked(pages.len() * PAGE_SIZE) else {
                    return Err(nonsense("a frame"));
                };
                plain = more;
                if self.compare.packs.namer().name(bytes) != *id {
                    return Err(nonsense("a chunk's name"));
                }
                buffer[pages.start * PAGE_SIZE..pages.end * PAGE_SIZE].copy_from_slice(bytes);
            }
            if !plain.is_empty() {
                return Err(nonsense("a frame"));
            }
            opened.push((inside, frame));
        }
        match rest.next() {
            None => Ok(opened),
            Some(_) => Err(nonsense("too few chunks")),
        }
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

    /// What there is to say of a segment, and which of the chunks that came are taken as they were offered.
    fn told(
        &self,
        (segment, disk): (&FarSegment, DiskNo),
        (offer, chunks, wanted): (&Offer, &[Offered], &[bool]),
        (same, frames): (&[bool], Vec<(Vec<usize>, FarFrame)>),
        buffer: Buffer,
    ) -> (Scanned<Note>, Vec<usize>) {
        let mut found = Findings::default();
        // Where each chunk that is taken as it was offered is in the findings.
        let mut whole = vec![None; chunks.len()];
        let mut next = 0;
        let mut at = 0;
        for piece in &segment.pieces {
            let pages = at..at + (piece.end - piece.start) as usize;
            at = pages.end;
            let page_of = |index: usize| PageNo(piece.start + (index - pages.start) as u64);
            let mut index = pages.start;
            while index < pages.end {
                if chunks.get(next).is_some_and(|chunk| chunk.pages.start == index) {
                    let chunk = &chunks[next];
                    let place = (disk, page_of(index));
                    if !same[chunk.pages.clone()].contains(&true) {
                        let range = chunk.pages.start * PAGE_SIZE..chunk.pages.end * PAGE_SIZE;
                        whole[next] = Some(found.chunk(
                            place,
                            (chunk.id, chunk.pages.len()),
                            if wanted[next] { range } else { 0..0 },
                        ));
                    } else {
                        for (run, _) in runs(&offer.state[chunk.pages.clone()], &same[chunk.pages.clone()]) {
                            let run = index + run.start..index + run.end;
                            found.say(&self.cutting, (disk, page_of(run.start)), &buffer, (run, None));
                        }
                    }
                    index = chunk.pages.end;
                    next += 1;
                    continue;
                }
                let end = chunks.get(next).map_or(pages.end, |chunk| chunk.pages.start.min(pages.end));
                for (run, content) in runs(&offer.state[index..end], &same[index..end]) {
                    let run = index + run.start..index + run.end;
                    found.say(&self.cutting, (disk, page_of(run.start)), &buffer, (run, content));
                }
                index = end;
            }
        }
        let packed = frames.into_iter().filter_map(|(inside, frame)| {
            let chunks: Option<Vec<usize>> = inside.into_iter().map(|index| whole[index]).collect();
            Some(Packed { chunks: chunks?, bytes: frame.bytes, compressed: frame.compressed })
        });
        let packed = packed.collect();
        let taken = (0..chunks.len()).filter(|index| wanted[*index] && whole[*index].is_some()).collect();
        (Scanned { packed, ..found.of(buffer) }, taken)
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("whoever reads it broke the protocol: {what}"))
}
