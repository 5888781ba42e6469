//! Writing the target.
//!
//! Never knows: where the pieces come from.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use backstay_env::volume::{Content, Span, Volume, VolumeMut};

use super::page;
use super::pieces::{DATA, Pieces};
use super::report::{Counting, Progress, Report, Stage, Unreadable, count, in_order};
use super::workers::{self, Buffers};
use super::{Mode, Options, RestoreError};
use crate::spans;

struct Copying<'a> {
    source: &'a dyn Volume,
    target: &'a dyn VolumeMut,
    mode: Mode,
    counting: Counting,
    unreadable: Mutex<Vec<Unreadable>>,
}

/// Copies everything; not durable yet.
pub(super) fn run(
    source: &dyn Volume,
    target: &dyn VolumeMut,
    options: Options,
    progress: &(dyn Fn(Progress) + Sync),
    cancel: &AtomicBool,
) -> Result<Report, RestoreError> {
    let (mode, counting, unreadable) = (options.mode, Counting::default(), Mutex::default());
    let copying = Copying { source, target, mode, counting, unreadable };
    let (total, pieces) = (source.size(), Pieces::new(source, mode == Mode::Patch));
    workers::all(&pieces, options, cancel, |piece, buffers| {
        copying.copy(piece, buffers)?;
        let done = count(&copying.counting.done, piece.len);
        let written = copying.counting.written.load(Ordering::Relaxed);
        progress(Progress { stage: Stage::Copying, done, total, written });
        Ok(())
    })?;
    let unreadable = in_order(copying.unreadable.into_inner().unwrap_or_else(PoisonError::into_inner));
    let cancelled = copying.counting.done.load(Ordering::Relaxed) < total;
    Ok(Report { counts: copying.counting.counts(), unreadable, differing: Vec::new(), cancelled })
}

impl Copying<'_> {
    fn copy(&self, piece: Span, buffers: &mut Buffers) -> Result<(), RestoreError> {
        match (piece.content, self.mode) {
            (Content::Data, _) => self.copy_data(piece, buffers),
            (Content::Hole, Mode::OntoZeros | Mode::Patch) => Ok(()),
            (Content::Hole, Mode::Whole) => self.zero(piece.offset, piece.len),
            (Content::Hole, Mode::Delta) => self.zero_what_is_not(piece, buffers),
        }
    }

    fn copy_data(&self, piece: Span, buffers: &mut Buffers) -> Result<(), RestoreError> {
        let bytes = &mut buffers.source[..piece.len as usize];
        let mut bad = Vec::new();
        for good in workers::read_good(self.source, piece.offset, bytes, &mut bad) {
            count(&self.counting.read, good.len() as u64);
            let offset = piece.offset + good.start as u64;
            for run in self.to_write(offset, &bytes[good.clone()], &mut buffers.target) {
                self.write(offset + run.start as u64, &bytes[good.start + run.start..good.start + run.end])?;
            }
        }
        if !bad.is_empty() {
            self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).extend(bad);
        }
        Ok(())
    }

    /// Which of these bytes the target does not have.
    fn to_write(&self, offset: u64, bytes: &[u8], buffer: &mut [u8]) -> Vec<Range<usize>> {
        match self.mode {
            Mode::Whole | Mode::Patch => std::iter::once(0..bytes.len()).collect(),
            Mode::OntoZeros => page::not_zero(offset, bytes),
            Mode::Delta => match self.look(offset, &mut buffer[..bytes.len()]) {
                Some(there) => page::different(offset, bytes, there),
                None => std::iter::once(0..bytes.len()).collect(),
            },
        }
    }

    /// What the target has; `None` if it cannot be read, so that writing may mend it.
    fn look<'b>(&self, offset: u64, buf: &'b mut [u8]) -> Option<&'b [u8]> {
        self.target.read_at(offset, buf).ok()?;
        count(&self.counting.compared, buf.len() as u64);
        Some(buf)
    }

    /// For holes: the target's own holes need no look.
    fn zero_what_is_not(&self, piece: Span, buffers: &mut Buffers) -> Result<(), RestoreError> {
        let (mut at, end) = (piece.offset, piece.offset + piece.len);
        while at < end {
            let there = spans::describe(self.target, at, end - at)
                .unwrap_or_else(|_unknown| vec![Span { offset: at, len: end - at, content: Content::Data }]);
            for span in there {
                if span.content == Content::Data {
                    self.zero_data(span, &mut buffers.target)?;
                }
                at += span.len;
            }
        }
        Ok(())
    }

    fn zero_data(&self, span: Span, buffer: &mut [u8]) -> Result<(), RestoreError> {
        let (mut at, end) = (span.offset, span.offset + span.len);
        while at < end {
            let len = (DATA - at % DATA).min(end - at);
            match self.look(at, &mut buffer[..len as usize]) {
                None => self.zero(at, len)?,
                Some(there) => {
                    for run in page::not_zero(at, there) {
                        self.zero(at + run.start as u64, run.len() as u64)?;
                    }
                }
            }
            at += len;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), RestoreError> {
        let len = bytes.len() as u64;
        let failed = |source| RestoreError::Target { doing: "written", offset, len, source };
        self.target.write_at(offset, bytes).map_err(failed)?;
        count(&self.counting.written, len);
        Ok(())
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), RestoreError> {
        let failed = |source| RestoreError::Target { doing: "zeroed", offset, len, source };
        self.target.zero(offset, len).map_err(failed)?;
        count(&self.counting.zeroed, len);
        Ok(())
    }
}
