//! Reading a segment of a disk: its bytes, and what each page is.
//!
//! Never knows: what is done with them.
//! Invariant: bytes that were not read are zeros.

use std::io;
use std::ops::Range;

use backstay_env::real::disk::{Buffer, Buffers};
use backstay_env::volume::{Content as Known, Piece, Volume};
use backstay_format::units::PAGE_SIZE;
use backstay_seal::chunk::is_zero;

/// What a page of a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Nothing uses it.
    Absent,
    /// It holds zeros.
    Zero,
    /// It holds something else.
    Data,
    /// It cannot be read.
    Unreadable,
    /// It is left out by choice.
    Excluded,
}

/// What is to be read of a disk.
pub struct View<'a> {
    /// The disk.
    pub volume: &'a dyn Volume,
    /// Byte ranges in use, in order; nothing else is read.
    pub used: &'a [Range<u64>],
    /// Byte ranges inside these that are left out by choice.
    pub excluded: &'a [Range<u64>],
}

/// A segment that was read: pieces of a disk, one after the other.
pub struct Segment {
    /// Of all its pages; nothing if none of them is used.
    pub bytes: Buffer,
    /// What each page is.
    pub state: Vec<Page>,
}

/// How much of a segment, in bytes.
#[derive(Default)]
pub struct Counts {
    /// Is in use.
    pub used: u64,
    /// Was read: is no hole, either.
    pub read: u64,
}

impl Segment {
    /// Reads what is used of some pieces, ranges of pages in order. A page that cannot be read is marked, and its neighbours kept.
    ///
    /// # Errors
    /// The source is gone.
    pub fn read(view: &View<'_>, pieces: &[Range<u64>], buffers: &Buffers) -> io::Result<(Segment, Counts)> {
        let pages: u64 = pieces.iter().map(|p| p.end - p.start).sum();
        let mut state = vec![Page::Absent; pages as usize];
        let bytes = |piece: &Range<u64>| piece.start * PAGE_SIZE as u64..piece.end * PAGE_SIZE as u64;
        let is_used = |piece: &Range<u64>| overlapping(view.used, &bytes(piece)).next().is_some();
        if !pieces.iter().any(is_used) {
            return Ok((Segment { bytes: buffers.take(0), state }, Counts::default()));
        }
        let mut buffer = buffers.take(state.len() * PAGE_SIZE);
        let mut counts = Counts::default();
        let there = read_together(view, pieces, &mut buffer);
        let mut at = 0;
        for (piece, there) in pieces.iter().zip(there) {
            let pages = at..at + (piece.end - piece.start) as usize;
            at = pages.end;
            if there {
                counts.used += (pages.len() * PAGE_SIZE) as u64;
                counts.read += (pages.len() * PAGE_SIZE) as u64;
                state[pages.clone()].fill(Page::Data);
                find_zeros(&buffer[pages.start * PAGE_SIZE..pages.end * PAGE_SIZE], &mut state[pages]);
                continue;
            }
            let target = (&mut buffer[pages.start * PAGE_SIZE..pages.end * PAGE_SIZE], &mut state[pages]);
            read_piece(view, &bytes(piece), target, &mut counts)?;
        }
        Ok((Segment { bytes: buffer, state }, counts))
    }
}

/// Reads those pieces of which all is used, at once if the volume can; says which are there.
fn read_together(view: &View<'_>, pieces: &[Range<u64>], buffer: &mut [u8]) -> Vec<bool> {
    let mut rest = buffer;
    let mut wanted = Vec::with_capacity(pieces.len());
    for (number, piece) in pieces.iter().enumerate() {
        let bytes = piece.start * PAGE_SIZE as u64..piece.end * PAGE_SIZE as u64;
        let (own, others) = rest.split_at_mut((bytes.end - bytes.start) as usize);
        rest = others;
        let is_used = overlapping(view.used, &bytes).eq([bytes.clone()]) && bytes.end <= view.volume.size();
        if is_used && overlapping(view.excluded, &bytes).next().is_none() {
            wanted.push((number, Piece { offset: bytes.start, bytes: own, whole: false }));
        }
    }
    let mut there = vec![false; pieces.len()];
    let (numbers, mut wanted): (Vec<usize>, Vec<Piece<'_>>) = wanted.into_iter().unzip();
    view.volume.read_many(&mut wanted);
    numbers.into_iter().zip(wanted).for_each(|(number, piece)| there[number] = piece.whole);
    there
}

fn find_zeros(bytes: &[u8], state: &mut [Page]) {
    for (page, state) in bytes.chunks(PAGE_SIZE).zip(state) {
        if *state == Page::Data && is_zero(page) {
            *state = Page::Zero;
        }
    }
}

/// Reads what is used of one piece, a range of bytes.
fn read_piece(
    view: &View<'_>,
    bytes: &Range<u64>,
    (buffer, state): (&mut [u8], &mut [Page]),
    counts: &mut Counts,
) -> io::Result<()> {
    let mut reading = Reading { volume: view.volume, start: bytes.start, buffer, state, clean: 0 };
    let excluded: Vec<Range<u64>> = overlapping(view.excluded, bytes).filter_map(whole_pages).collect();
    for part in overlapping(view.used, bytes) {
        counts.used += part.end - part.start;
        for part in gaps(&part, &excluded) {
            counts.read += reading.part(part)?;
        }
    }
    excluded.iter().for_each(|part| reading.exclude(part));
    let (buffer, state) = reading.finish();
    find_zeros(buffer, state);
    Ok(())
}

/// The parts of sorted ranges that lie inside one.
fn overlapping<'r>(ranges: &'r [Range<u64>], inside: &Range<u64>) -> impl Iterator<Item = Range<u64>> + 'r {
    let inside = inside.clone();
    let first = ranges.partition_point(|r| r.end <= inside.start);
    let touched = ranges[first..].iter().take_while(move |r| r.start < inside.end);
    touched.map(move |r| r.start.max(inside.start)..r.end.min(inside.end))
}

/// The pages that lie wholly inside a range of bytes, as bytes.
fn whole_pages(bytes: Range<u64>) -> Option<Range<u64>> {
    let page = PAGE_SIZE as u64;
    Some(bytes.start.next_multiple_of(page)..bytes.end / page * page).filter(|pages| !pages.is_empty())
}

/// The parts of a range that ranges in order leave out.
fn gaps(range: &Range<u64>, taken: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut at = range.start;
    let mut gaps = Vec::new();
    for taken in overlapping(taken, range) {
        gaps.push(at..taken.start);
        at = taken.end;
    }
    gaps.push(at..range.end);
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

/// A piece that is being read, from its start to its end.
struct Reading<'a> {
    volume: &'a dyn Volume,
    /// Where it begins, in bytes.
    start: u64,
    buffer: &'a mut [u8],
    state: &'a mut [Page],
    /// Up to here the buffer holds no leftovers, in bytes.
    clean: usize,
}

impl<'a> Reading<'a> {
    /// Reads what of a used part is no hole; says how much that was.
    fn part(&mut self, part: Range<u64>) -> io::Result<u64> {
        self.mark(&self.inside(&part), Page::Zero);
        let part = part.start..part.end.min(self.volume.size());
        let (mut at, mut read) = (part.start, 0);
        while at < part.end {
            for span in self.volume.spans(at, part.end - at)? {
                at = span.offset + span.len;
                if span.content == Known::Data {
                    read += span.len;
                    self.data(span.offset..at)?;
                }
            }
        }
        Ok(read)
    }

    fn data(&mut self, bytes: Range<u64>) -> io::Result<()> {
        let inside = self.inside(&bytes);
        self.buffer[self.clean..inside.start].fill(0);
        self.clean = inside.end;
        self.mark(&inside, Page::Data);
        if self.volume.read_at(bytes.start, &mut self.buffer[inside.clone()]).is_err() {
            self.page_by_page(bytes.start, inside)?;
        }
        Ok(())
    }

    /// Leaves out whole pages.
    fn exclude(&mut self, pages: &Range<u64>) {
        self.mark(&self.inside(pages), Page::Excluded);
    }

    fn finish(self) -> (&'a mut [u8], &'a mut [Page]) {
        self.buffer[self.clean..].fill(0);
        (self.buffer, self.state)
    }

    /// A read failed: finds the pages that cannot be read. All of them at once means that the source is gone.
    fn page_by_page(&mut self, offset: u64, range: Range<usize>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let end = ((at / PAGE_SIZE + 1) * PAGE_SIZE).min(range.end);
            let from = offset + (at - range.start) as u64;
            if let Err(error) = self.volume.read_at(from, &mut self.buffer[at..end]) {
                if source_is_gone(&error) {
                    return Err(error);
                }
                self.buffer[at / PAGE_SIZE * PAGE_SIZE..end].fill(0);
                self.state[at / PAGE_SIZE] = Page::Unreadable;
            }
            at = end;
        }
        Ok(())
    }

    /// Bytes of the disk as a range of the buffer.
    fn inside(&self, bytes: &Range<u64>) -> Range<usize> {
        (bytes.start - self.start) as usize..(bytes.end - self.start) as usize
    }

    /// Sets the state of each page that a range of the buffer touches.
    fn mark(&mut self, bytes: &Range<usize>, what: Page) {
        self.state[bytes.start / PAGE_SIZE..bytes.end.div_ceil(PAGE_SIZE)].fill(what);
    }
}

/// Errors that say "this disk", not "this page": it was pulled out, shrunk, or lost its driver.
fn source_is_gone(error: &io::Error) -> bool {
    const ENXIO: i32 = 6;
    const ENODEV: i32 = 19;
    let gone = matches!(error.raw_os_error(), Some(ENXIO | ENODEV));
    gone || error.kind() == io::ErrorKind::UnexpectedEof
}
