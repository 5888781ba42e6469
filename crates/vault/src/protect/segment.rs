//! Reading a segment of a disk: its bytes, and what each page is.
//!
//! Never knows: what is done with them.
//! Invariant: bytes that were not read are zeros.

use std::io;
use std::ops::Range;

use backstay_env::volume::{Content as Known, Volume};
use backstay_format::units::PAGE_SIZE;
use backstay_seal::chunk::is_zero;
use backstay_store::ingest::{Buffer, Buffers};

use super::Source;
use super::compare::Page;

/// A segment that was read.
pub(super) struct Segment {
    /// Of all its pages; nothing if none of them is used.
    pub(super) bytes: Buffer,
    /// What each page is.
    pub(super) state: Vec<Page>,
}

/// How much of a segment, in bytes.
pub(super) struct Counts {
    /// Is in use.
    pub(super) used: u64,
    /// Was read: is no hole, either.
    pub(super) read: u64,
}

impl Segment {
    /// Reads what is used of some pages of a source. A page that cannot be read is marked, and its neighbours kept.
    ///
    /// # Errors
    /// The source is gone.
    pub(super) fn read(source: &Source<'_>, pages: &Range<u64>, buffers: &Buffers) -> io::Result<(Segment, Counts)> {
        let bytes = pages.start * PAGE_SIZE as u64..pages.end * PAGE_SIZE as u64;
        let mut state = vec![Page::Absent; (pages.end - pages.start) as usize];
        let parts: Vec<Range<u64>> = overlapping(&source.used, &bytes).collect();
        if parts.is_empty() {
            return Ok((Segment { bytes: buffers.take(0), state }, Counts { used: 0, read: 0 }));
        }
        let mut buffer = buffers.take(state.len() * PAGE_SIZE);
        let mut reading =
            Reading { volume: source.volume, start: bytes.start, buffer: &mut buffer, state: &mut state, clean: 0 };
        let mut counts = Counts { used: 0, read: 0 };
        for part in parts {
            counts.used += part.end - part.start;
            counts.read += reading.part(part)?;
        }
        reading.finish();
        for part in overlapping(&source.excluded, &bytes) {
            exclude(&mut state, &mut buffer, &bytes, &part);
        }
        for (page, state) in buffer.chunks(PAGE_SIZE).zip(&mut state) {
            if *state == Page::Data && is_zero(page) {
                *state = Page::Zero;
            }
        }
        Ok((Segment { bytes: buffer, state }, counts))
    }
}

/// The parts of sorted ranges that lie inside one.
fn overlapping<'r>(ranges: &'r [Range<u64>], inside: &'r Range<u64>) -> impl Iterator<Item = Range<u64>> + 'r {
    let first = ranges.partition_point(|r| r.end <= inside.start);
    let touched = ranges[first..].iter().take_while(move |r| r.start < inside.end);
    touched.map(move |r| r.start.max(inside.start)..r.end.min(inside.end))
}

/// Leaves out the pages that lie wholly inside a range.
fn exclude(state: &mut [Page], buffer: &mut [u8], segment: &Range<u64>, bytes: &Range<u64>) {
    let first = ((bytes.start - segment.start).div_ceil(PAGE_SIZE as u64)) as usize;
    let last = ((bytes.end - segment.start) / PAGE_SIZE as u64) as usize;
    if first < last {
        state[first..last].fill(Page::Excluded);
        buffer[first * PAGE_SIZE..last * PAGE_SIZE].fill(0);
    }
}

/// A segment that is being read, from its start to its end.
struct Reading<'a> {
    volume: &'a dyn Volume,
    /// Where the segment begins, in bytes.
    start: u64,
    buffer: &'a mut [u8],
    state: &'a mut [Page],
    /// Up to here the buffer holds no leftovers, in bytes.
    clean: usize,
}

impl Reading<'_> {
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

    fn finish(self) {
        self.buffer[self.clean..].fill(0);
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
