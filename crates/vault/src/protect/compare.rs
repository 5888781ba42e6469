//! What of a segment changed since the newest point.
//!
//! A chunk that is whole in the map is compared by its id, without reading it back. Of others, and of those whose id differs, the
//! plaintext is read from its pack and compared page by page, so that a changed page costs a page.
//! Never knows: what becomes of the changes.

use std::ops::Range;

use backstay_format::units::{ChunkId, PAGE_SIZE};
use backstay_scan::Page;
use backstay_store::ingest::ChunkAt;
use backstay_store::packs::Packs;
use backstay_timeline::extent::{Content, Extent};

use crate::VaultError;

/// The content that a page gets when it needs no chunk.
fn content_of(page: Page) -> Option<Content> {
    match page {
        Page::Absent => Some(Content::Absent),
        Page::Zero => Some(Content::Zero),
        Page::Unreadable => Some(Content::Unreadable),
        Page::Excluded => Some(Content::Excluded),
        Page::Data => None,
    }
}

pub(super) struct Compare<'a> {
    pub(super) packs: &'a Packs,
}

/// A run of pages of the segment that are to be said anew: with a content that needs no chunk, or `None` for data.
pub(super) type Change = (Range<usize>, Option<Content>);

impl Compare<'_> {
    /// Runs of pages that changed, in order. `base`: extents of the segment, which starts at page `start`.
    pub(super) fn changes(
        &self,
        base: &[Extent],
        start: u64,
        buffer: &[u8],
        state: &[Page],
    ) -> Result<Vec<Change>, VaultError> {
        let mut same = mark_contents(base, start, state);
        for extent in base.iter().filter(|extent| matches!(extent.content, Content::Data { .. })) {
            let range = (extent.page.0 - start) as usize..(extent.end().0 - start) as usize;
            self.compare_data(extent, range, buffer, state, &mut same)?;
        }
        Ok(runs(state, &same))
    }

    /// Finds out which pages of an extent are as it says.
    pub(super) fn compare_data(
        &self,
        extent: &Extent,
        range: Range<usize>,
        buffer: &[u8],
        state: &[Page],
        same: &mut [bool],
    ) -> Result<(), VaultError> {
        let Content::Data { pack, chunk, inside, tag } = extent.content else { return Ok(()) };
        let present = |s: &Page| matches!(s, Page::Data | Page::Zero);
        if !state[range.clone()].iter().any(present) {
            return Ok(());
        }
        let now = &buffer[range.start * PAGE_SIZE..range.end * PAGE_SIZE];
        let whole = state[range.clone()].iter().all(present);
        if whole && inside == 0 && self.is_chunk(ChunkAt { pack, chunk }, now)? {
            same[range].fill(true);
            return Ok(());
        }
        let old = match self.packs.chunk(ChunkAt { pack, chunk }, tag) {
            Ok(old) => old,
            // What cannot be read any more is stored anew: the source still has it.
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let from = inside as usize * PAGE_SIZE;
        let old = old.get(from..).unwrap_or_default();
        for (index, (page, before)) in now.chunks(PAGE_SIZE).zip(old.chunks(PAGE_SIZE)).enumerate() {
            same[range.start + index] = present(&state[range.start + index]) && page == before;
        }
        Ok(())
    }

    /// Whether `now` is the chunk's plaintext, by its id alone.
    fn is_chunk(&self, at: ChunkAt, now: &[u8]) -> Result<bool, VaultError> {
        self.is_named_when(at, now.len() / PAGE_SIZE, || self.packs.namer().name(now))
    }

    /// Whether the chunk has this id and so many pages.
    pub(super) fn is_named(&self, at: ChunkAt, (id, pages): (&ChunkId, usize)) -> Result<bool, VaultError> {
        self.is_named_when(at, pages, || *id)
    }

    fn is_named_when(&self, at: ChunkAt, pages: usize, id: impl FnOnce() -> ChunkId) -> Result<bool, VaultError> {
        let chunk = match self.packs.reader(at.pack).and_then(|reader| Ok(reader.locate(at.chunk)?.2)) {
            Ok(chunk) => chunk,
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        Ok(chunk.pages as usize == pages && id() == chunk.id)
    }
}

/// Which pages are as the map says because they hold nothing, as before. `base`: extents of the segment, which starts at page `start`.
pub(super) fn mark_contents(base: &[Extent], start: u64, state: &[Page]) -> Vec<bool> {
    let mut same = vec![false; state.len()];
    let mut at = 0;
    for extent in base {
        let range = (extent.page.0 - start) as usize..(extent.end().0 - start) as usize;
        // What no extent mentions is zeros.
        mark_same(&mut same, state, at..range.start, |s| s == Page::Zero);
        at = range.end;
        if !matches!(extent.content, Content::Data { .. }) {
            mark_same(&mut same, state, range, |s| content_of(s) == Some(extent.content));
        }
    }
    mark_same(&mut same, state, at..state.len(), |s| s == Page::Zero);
    same
}

fn mark_same(same: &mut [bool], state: &[Page], range: Range<usize>, is_same: impl Fn(Page) -> bool) {
    for index in range {
        same[index] = is_same(state[index]);
    }
}

/// Runs of pages that are not the same, each of one content.
pub(super) fn runs(state: &[Page], same: &[bool]) -> Vec<Change> {
    let mut runs: Vec<Change> = Vec::new();
    for (index, (page, same)) in state.iter().zip(same).enumerate() {
        if *same {
            continue;
        }
        match runs.last_mut() {
            Some((range, content)) if range.end == index && *content == content_of(*page) => range.end += 1,
            _ => runs.push((index..index + 1, content_of(*page))),
        }
    }
    runs
}
