//! Telling what a segment holds: which chunks are taken as they were offered, and what is cut anew.
//!
//! Never knows: which chunks are known already.

use backstay_env::real::disk::Buffer;
use backstay_format::units::{DiskNo, PAGE_SIZE, PageNo};
use backstay_store::ingest::{Packed, Scanned};

use super::super::compare::runs;
use super::super::cut::{Findings, Note};
use super::scanner::FarScanner;
use super::segments::Offered;
use super::{FarFrame, FarSegment, Offer};

impl FarScanner<'_> {
    /// What there is to say of a segment, and which of the chunks that came are taken as they were offered.
    pub(super) fn told(
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
