//! Opening what came: nothing is taken for what it is said to be.
//!
//! Never knows: what becomes of the chunks.

use std::io;
use std::ops::Range;

use backstay_env::real::disk::Buffer;
use backstay_format::pack::MAX_FRAME_PLAIN;
use backstay_format::units::PAGE_SIZE;
use backstay_seal::compress;

use super::scanner::FarScanner;
use super::segments::Offered;
use super::{FarFrame, nonsense};

impl FarScanner<'_> {
    /// Puts what came into its places in the buffer, once it is known to be what it was said to be. Says which chunks are in each
    /// frame.
    pub(super) fn open(
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
            put(&frame, chunks, &inside, buffer)?;
            let is_named = |index: &usize| {
                let Offered { id, pages } = &chunks[*index];
                self.compare.packs.namer().name(&buffer[bytes_of(pages)]) == *id
            };
            if !inside.iter().all(is_named) {
                return Err(nonsense("a chunk's name"));
            }
            opened.push((inside, frame));
        }
        match rest.next() {
            None => Ok(opened),
            Some(_) => Err(nonsense("too few chunks")),
        }
    }
}

/// Puts the chunks of a frame into their places, unseen.
fn put(frame: &FarFrame, chunks: &[Offered], inside: &[usize], buffer: &mut [u8]) -> io::Result<()> {
    let apart = inside.windows(2).any(|w| chunks[w[0]].pages.end != chunks[w[1]].pages.start);
    if let (false, [first, ..]) = (apart, inside) {
        let last = inside.last().unwrap_or(first);
        let pages = chunks[*first].pages.start..chunks[*last].pages.end;
        return plain(frame, &mut buffer[bytes_of(&pages)]);
    }
    let len = inside.iter().map(|index| bytes_of(&chunks[*index].pages).len()).sum();
    let mut bytes = vec![0; len];
    plain(frame, &mut bytes)?;
    let mut rest = &bytes[..];
    for index in inside {
        let place = &mut buffer[bytes_of(&chunks[*index].pages)];
        let (own, others) = rest.split_at(place.len());
        place.copy_from_slice(own);
        rest = others;
    }
    Ok(())
}

/// What a frame holds, which must be as long as its place.
fn plain(frame: &FarFrame, place: &mut [u8]) -> io::Result<()> {
    match frame.compressed {
        true => compress::decompress_own(&frame.bytes, place).map_err(io::Error::other),
        false if frame.bytes.len() == place.len() => {
            place.copy_from_slice(&frame.bytes);
            Ok(())
        }
        false => Err(nonsense("a frame")),
    }
}

fn bytes_of(pages: &Range<usize>) -> Range<usize> {
    pages.start * PAGE_SIZE..pages.end * PAGE_SIZE
}
