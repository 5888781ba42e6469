//! Restore: makes a target read as a source does.
//!
//! - Whole: writes everything. Delta: reads the target, too, and writes only the pages that differ; so it also
//!   finishes a restore that was interrupted.
//! - What of the source cannot be read is named in the report, left alone in the target, and stops nothing else.
//!
//! `pieces` plans, `page` compares, `copying` and `verifying` do.
//!
//! Never knows: what a point is, which disk a target is, or whether it may be overwritten: the caller asks first.

mod copying;
mod page;
mod patch;
mod pieces;
mod report;
mod verifying;
mod workers;

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use backstay_env::volume::{Volume, VolumeMut};

pub use patch::Patch;
pub use report::{Counts, Progress, Report, Stage, Unreadable};

/// What is known of the target, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The target reads as zeros, as a file does that was just made: zeros are not written.
    OntoZeros,
    /// The target holds anything: everything is written, holes are zeroed.
    Whole,
    /// The target holds much the same: only pages that differ are written.
    Delta,
    /// The target is right already wherever the source has holes: only data is written, zeros in it too. For a
    /// [`Patch`].
    Patch,
}

/// How to restore.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How to write.
    pub mode: Mode,
    /// Threads that read, compare and write. Memory is 8 MiB for each.
    pub threads: NonZeroUsize,
    /// Makes the target durable at the end; else a power loss may undo any part.
    pub flush: bool,
    /// Reads source and target again and compares. A target that is a file may be answered from the system's cache.
    pub verify: bool,
}

impl Options {
    /// The usual: a thread for each core, at most 8; durable; not verified.
    pub fn new(mode: Mode) -> Self {
        let threads = std::thread::available_parallelism().map_or(4, |n| n.get().min(8));
        Options { mode, threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN), flush: true, verify: false }
    }
}

/// Why a restore ended early. The target may be changed in part; a delta restore can finish it.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing was written.
    #[error("the target has {has} bytes, {needs} are needed")]
    TooSmall {
        /// Bytes of the source.
        needs: u64,
        /// Bytes of the target.
        has: u64,
    },
    /// The target could not be changed there.
    #[error("the target could not be {doing} at {offset}+{len}")]
    Target {
        /// `written` or `zeroed`.
        doing: &'static str,
        /// Bytes from its start.
        offset: u64,
        /// Bytes.
        len: u64,
        /// What it said.
        source: io::Error,
    },
    /// Everything was written, but nothing is known to be durable.
    #[error("the target could not be flushed")]
    Flush(#[source] io::Error),
    /// Threads are lacking; nothing was written.
    #[error("cannot start the threads of a restore")]
    Threads(#[source] io::Error),
}

/// Makes the first `source.size()` bytes of `target` read as `source` does; what follows them is left alone. Calls
/// `progress` after every piece, from any of its threads, which wait for it. When `cancel` becomes true, ends within
/// a piece (4 MiB, or 256 MiB of zeros) for each thread.
///
/// # Errors
/// [`RestoreError`]. A source that cannot be read is no error: see [`Report::unreadable`].
pub fn copy(
    source: &dyn Volume,
    target: &dyn VolumeMut,
    options: Options,
    progress: &(dyn Fn(Progress) + Sync),
    cancel: &AtomicBool,
) -> Result<Report, RestoreError> {
    let (needs, has) = (source.size(), target.size());
    if has < needs {
        return Err(RestoreError::TooSmall { needs, has });
    }
    let mut report = copying::run(source, target, options, progress, cancel)?;
    if options.flush {
        target.flush().map_err(RestoreError::Flush)?;
    }
    if options.verify && !report.cancelled {
        verifying::run(source, target, options, progress, cancel, &mut report)?;
    }
    Ok(report)
}
