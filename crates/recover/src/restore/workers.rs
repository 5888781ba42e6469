//! Threads that take pieces until there are none, one of them fails, or somebody cancels.
//!
//! Never knows: what is done with a piece.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use backstay_env::real::disk::AlignedBuf;
use backstay_env::volume::{Span, Volume};

use super::page::PAGE;
use super::pieces::{DATA, Pieces};
use super::report::Unreadable;
use super::{Options, RestoreError};

/// A thread's memory: a piece of the source, and one of the target.
pub(super) struct Buffers {
    pub(super) source: AlignedBuf,
    pub(super) target: AlignedBuf,
}

/// Gives every piece to `work`. The first error ends all.
pub(super) fn all(
    pieces: &Pieces<'_>,
    options: Options,
    cancel: &AtomicBool,
    work: impl Fn(Span, &mut Buffers) -> Result<(), RestoreError> + Sync,
) -> Result<(), RestoreError> {
    let (failed, first) = (AtomicBool::new(false), Mutex::new(None));
    let stop = || failed.load(Ordering::Relaxed) || cancel.load(Ordering::Relaxed);
    let fail = |error| {
        failed.store(true, Ordering::Relaxed);
        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let one = || {
        let mut buffers = Buffers { source: AlignedBuf::new(DATA as usize), target: AlignedBuf::new(DATA as usize) };
        while !stop() {
            let Some(piece) = pieces.next() else { break };
            if let Err(e) = work(piece, &mut buffers) {
                fail(e);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.threads.get() {
            if let Err(e) = thread::Builder::new().name("restore".into()).spawn_scoped(scope, one) {
                fail(RestoreError::Threads(e));
                break;
            }
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Reads as much of a piece as can be read, to the page: returns the parts of `buf` that are good, and adds the
/// others to `bad`.
pub(super) fn read_good(
    source: &dyn Volume,
    offset: u64,
    buf: &mut [u8],
    bad: &mut Vec<Unreadable>,
) -> Vec<Range<usize>> {
    let mut good: Vec<Range<usize>> = Vec::new();
    // The next one last; at most one for each halving.
    let mut todo: Vec<Range<usize>> = std::iter::once(0..buf.len()).collect();
    while let Some(part) = todo.pop() {
        match source.read_at(offset + part.start as u64, &mut buf[part.clone()]) {
            Ok(()) => match good.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => good.push(part),
            },
            Err(e) => match halves(offset, &part) {
                Some((left, right)) => todo.extend([right, left]),
                None => bad.push(unreadable(offset, &part, &e)),
            },
        }
    }
    good
}

/// Splits at the page nearest to the middle; `None` for a page or less.
fn halves(offset: u64, part: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let middle = offset + (part.start + part.len().div_ceil(2)) as u64;
    let cuts = [middle / PAGE * PAGE, middle.next_multiple_of(PAGE)];
    let mut inside = cuts.into_iter().filter_map(|cut| usize::try_from(cut.checked_sub(offset)?).ok());
    let cut = inside.find(|cut| part.start < *cut && *cut < part.end)?;
    Some((part.start..cut, cut..part.end))
}

fn unreadable(offset: u64, part: &Range<usize>, error: &io::Error) -> Unreadable {
    Unreadable { range: offset + part.start as u64..offset + part.end as u64, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstay_env::sim::volume::SimVolume;

    #[test]
    fn bad_pages_are_found_to_the_page() {
        let disk = SimVolume::new(100_000);
        disk.make_unreadable(9_000..9_001);
        disk.make_unreadable(20_480..28_672);
        disk.make_unreadable(99_999..100_000);
        let (mut buf, mut bad) = (vec![1; 100_000 - 1000], Vec::new());
        let good = read_good(&disk, 1000, &mut buf, &mut bad);
        let bad: Vec<_> = bad.into_iter().map(|u| u.range).collect();
        assert_eq!(bad, [8192..12_288, 20_480..24_576, 24_576..28_672, 98_304..100_000]);
        assert_eq!(good, [0..7192, 11_288..19_480, 27_672..97_304]);
        assert!(good.into_iter().all(|part| buf[part].iter().all(|&b| b == 0)));
    }
}
