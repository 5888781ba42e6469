//! Reading the target back.
//!
//! Never knows: what was written.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use backstay_env::volume::{Content, Span, Volume};

use super::page;
use super::pieces::{DATA, Pieces};
use super::report::{Progress, Report, Stage, count};
use super::workers::{self, Buffers};
use super::{Options, RestoreError};
use crate::spans;

struct Verifying<'a> {
    source: &'a dyn Volume,
    target: &'a dyn Volume,
    verified: AtomicU64,
    differing: Mutex<Vec<Range<u64>>>,
}

/// Compares everything that can be read, and adds what differs to the report.
pub(super) fn run(
    source: &dyn Volume,
    target: &dyn Volume,
    options: Options,
    progress: &(dyn Fn(Progress) + Sync),
    cancel: &AtomicBool,
    report: &mut Report,
) -> Result<(), RestoreError> {
    let verifying = Verifying { source, target, verified: AtomicU64::new(0), differing: Mutex::default() };
    let (total, written, done) = (source.size(), report.counts.written, AtomicU64::new(0));
    workers::all(&Pieces::new(source, false), options, cancel, |piece, buffers| {
        match piece.content {
            Content::Data => verifying.check_data(piece, buffers),
            Content::Hole => verifying.check_hole(piece, &mut buffers.target),
        }
        let done = count(&done, piece.len);
        progress(Progress { stage: Stage::Verifying, done, total, written });
        Ok(())
    })?;
    report.counts.verified = verifying.verified.into_inner();
    report.cancelled = done.load(Ordering::Relaxed) < total;
    report.differing = joined(verifying.differing.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

impl Verifying<'_> {
    fn check_data(&self, piece: Span, buffers: &mut Buffers) {
        let bytes = &mut buffers.source[..piece.len as usize];
        // What cannot be read was named when it was copied; what could be then and cannot now is as good as different.
        let mut bad = Vec::new();
        for good in workers::read_good(self.source, piece.offset, bytes, &mut bad) {
            let (offset, bytes) = (piece.offset + good.start as u64, &bytes[good]);
            let there = &mut buffers.target[..bytes.len()];
            match self.look(offset, there) {
                true => self.note(offset, page::different(offset, bytes, there)),
                false => self.note(offset, std::iter::once(0..bytes.len()).collect()),
            }
        }
    }

    fn check_hole(&self, piece: Span, buffer: &mut [u8]) {
        let (mut at, end) = (piece.offset, piece.offset + piece.len);
        while at < end {
            let there = spans::describe(self.target, at, end - at)
                .unwrap_or_else(|_unknown| vec![Span { offset: at, len: end - at, content: Content::Data }]);
            for span in there {
                if span.content == Content::Data {
                    self.check_zeros(span, buffer);
                }
                at += span.len;
            }
        }
    }

    fn check_zeros(&self, span: Span, buffer: &mut [u8]) {
        let (mut at, end) = (span.offset, span.offset + span.len);
        while at < end {
            let len = (DATA - at % DATA).min(end - at);
            let there = &mut buffer[..len as usize];
            match self.look(at, there) {
                true => self.note(at, page::not_zero(at, there)),
                false => self.note(at, std::iter::once(0..len as usize).collect()),
            }
            at += len;
        }
    }

    /// Reads the target; `false` if that fails.
    fn look(&self, offset: u64, buf: &mut [u8]) -> bool {
        count(&self.verified, buf.len() as u64);
        self.target.read_at(offset, buf).is_ok()
    }

    fn note(&self, offset: u64, runs: Vec<Range<usize>>) {
        if !runs.is_empty() {
            let placed = runs.into_iter().map(|run| offset + run.start as u64..offset + run.end as u64);
            self.differing.lock().unwrap_or_else(PoisonError::into_inner).extend(placed);
        }
    }
}

fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for next in ranges {
        match joined.last_mut() {
            Some(last) if last.end >= next.start => last.end = last.end.max(next.end),
            _ => joined.push(next),
        }
    }
    joined
}
