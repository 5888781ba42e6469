//! Extents with their packs named, and how newer ones cover older ones.
//!
//! Never knows: blocks, roots, or how many runs there are.

use std::ops::Range;

use backstay_format::units::{ChunkNo, DiskNo, PackId, PageNo, Tag};

/// What is known of the content of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is in a chunk.
    Data {
        /// The pack.
        pack: PackId,
        /// The chunk in it.
        chunk: ChunkNo,
        /// First page in the chunk.
        inside: u32,
        /// Start of the chunk's id.
        tag: Tag,
    },
    /// Zeros.
    Zero,
    /// Nothing uses it; reads as zeros.
    Absent,
    /// The source could not read it.
    Unreadable,
    /// Left out by choice; reads as zeros.
    Excluded,
}

impl Content {
    /// The content `pages` further on.
    fn skip(self, pages: u64) -> Content {
        match self {
            Content::Data { pack, chunk, inside, tag } => {
                Content::Data { pack, chunk, inside: inside + pages as u32, tag }
            }
            other => other,
        }
    }
}

/// A run of pages of a disk with one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The disk.
    pub disk: DiskNo,
    /// Its first page.
    pub page: PageNo,
    /// Pages; at least 1.
    pub pages: u64,
    /// What is there.
    pub content: Content,
}

impl Extent {
    /// The page after its last.
    pub fn end(&self) -> PageNo {
        PageNo(self.page.0 + self.pages)
    }

    /// Its part inside a range of pages.
    pub fn clip(&self, range: &Range<u64>) -> Option<Extent> {
        let (start, end) = (self.page.0.max(range.start), self.end().0.min(range.end));
        (start < end).then(|| Extent {
            disk: self.disk,
            page: PageNo(start),
            pages: end - start,
            content: self.content.skip(start - self.page.0),
        })
    }

    /// Joins the extent that follows, if both are one.
    pub fn join(&mut self, next: &Extent) -> bool {
        let follows = self.disk == next.disk && self.end() == next.page;
        let one = follows && self.content.skip(self.pages) == next.content;
        if one {
            self.pages += next.pages;
        }
        one
    }
}

/// Appends an extent, joined to the last one where they are one.
pub fn push(extents: &mut Vec<Extent>, extent: Extent) {
    let joined = extents.last_mut().is_some_and(|last| last.join(&extent));
    if !joined {
        extents.push(extent);
    }
}

/// Lays newer extents of a disk over older ones. Both are in order and do not overlap among themselves; so is the result.
pub fn overlay(newer: &[Extent], older: &[Extent]) -> Vec<Extent> {
    let mut out = Vec::with_capacity(newer.len() + older.len());
    let mut covers = newer.iter().peekable();
    for old in older {
        let mut at = (old.disk, old.page.0);
        let end = old.end().0;
        while at.1 < end {
            match covers.peek() {
                Some(new) if (new.disk, new.end().0) <= at => {
                    push(&mut out, **new);
                    covers.next();
                }
                Some(new) if new.disk == at.0 && new.page.0 <= at.1 => at.1 = new.end().0,
                next => {
                    let same_disk = next.filter(|n| n.disk == at.0);
                    let until = same_disk.map_or(end, |n| n.page.0.min(end));
                    out_clip(&mut out, old, at.1..until);
                    at.1 = until;
                }
            }
        }
    }
    covers.for_each(|new| push(&mut out, *new));
    out
}

fn out_clip(out: &mut Vec<Extent>, extent: &Extent, range: Range<u64>) {
    if let Some(part) = extent.clip(&range) {
        push(out, part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const DISK: DiskNo = DiskNo(1);

    fn data(page: u64, pages: u64, chunk: u32) -> Extent {
        let content = Content::Data { pack: PackId([1; 16]), chunk: ChunkNo(chunk), inside: 0, tag: Tag([0; 4]) };
        Extent { disk: DISK, page: PageNo(page), pages, content }
    }

    fn pages(extents: &[Extent]) -> BTreeMap<(u32, u64), Content> {
        let of = |e: &Extent| {
            let e = *e;
            (0..e.pages).map(move |i| ((e.disk.0, e.page.0 + i), e.content.skip(i)))
        };
        extents.iter().flat_map(of).collect()
    }

    fn random_run(seed: &mut u64, chunk: u32) -> Vec<Extent> {
        let mut roll = |sides: u64| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (*seed >> 33) % sides
        };
        let mut run = Vec::new();
        for disk in 1..=2 {
            let mut page = roll(4);
            for i in 0..roll(6) {
                let pages = 1 + roll(5);
                let mut extent = data(page, pages, chunk * 100 + i as u32);
                extent.disk = DiskNo(disk);
                if roll(4) == 0 {
                    extent.content = Content::Zero;
                }
                run.push(extent);
                page += pages + roll(4);
            }
        }
        run
    }

    #[test]
    fn overlay_agrees_with_a_page_by_page_model() {
        let mut seed = 5;
        for case in 0..3000 {
            let (newer, older) = (random_run(&mut seed, 1), random_run(&mut seed, 2));
            let result = overlay(&newer, &older);
            let mut model = pages(&older);
            model.extend(pages(&newer));
            assert_eq!(pages(&result), model, "case {case}: {newer:?} over {older:?}");
            let ordered = |w: &[Extent]| (w[0].disk, w[0].end()) <= (w[1].disk, w[1].page) || w[0].disk < w[1].disk;
            assert!(result.windows(2).all(ordered), "case {case} is in order: {result:?}");
        }
    }

    #[test]
    fn parts_of_a_chunk_join_again() {
        let whole = data(10, 8, 3);
        let parts = [whole.clip(&(10..13)).unwrap(), whole.clip(&(13..18)).unwrap()];
        let mut out = Vec::new();
        parts.iter().for_each(|p| push(&mut out, *p));
        assert_eq!(out, [whole]);
    }
}
