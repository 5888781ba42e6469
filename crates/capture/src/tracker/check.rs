//! Whether the marks of a disk lack anything: every reason there can be, looked at before a point is published.
//!
//! Never knows: what becomes of a point.

use super::device::Facts;
use super::programs::{COPIES, Misses, PROGRAMS};
use crate::marks::layout::{fault, hit, word};
use crate::marks::pinned::Pinned;
use crate::number::DeviceNumber;

/// Why the marks of a disk may lack something. What follows is a rescan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The machine was started since; marks live in memory.
    #[error("the machine was restarted")]
    OtherBoot,
    /// It is not being tracked, or no longer.
    #[error("disk {0} is not being tracked")]
    NotTracked(DeviceNumber),
    /// The marks were begun anew since.
    #[error("marking began anew")]
    OtherGeneration,
    /// A program was detached, or another stands in its place.
    #[error("tracking program `{0}` was detached or replaced")]
    ProgramGone(&'static str),
    /// Programs were detached while nobody looked.
    #[error("tracking programs were detached for a time")]
    ProgramsWereGone,
    /// The programs no longer find the marks.
    #[error("the marks were taken away from the tracking programs")]
    MarksGone,
    /// Every copy of the program that marks completed writes was skipped by the kernel at some time.
    #[error("the kernel skipped the tracking programs")]
    Missed,
    /// A range was too long to be marked.
    #[error("{0} writes were too long to be marked")]
    Overflow(u64),
    /// Something was written behind the end that the disk had.
    #[error("{0} writes went beyond the end that the disk had")]
    Outside(u64),
    /// Commands were sent past the block layer (SG_IO, NVMe pass-through).
    #[error("{0} commands were sent to the drive past the block layer")]
    PassThrough(u64),
    /// The kernel has an operation that this version does not know.
    #[error("{0} writes were of a kind that is not known")]
    UnknownOperation(u64),
    /// Writes are sent to the disk, and none is seen to complete.
    #[error("{sent} writes were sent and none was seen to complete")]
    NoneCompleted {
        /// How many.
        sent: u64,
    },
    /// It was pulled.
    #[error("the disk is gone")]
    DiskGone,
    /// Another disk goes by the number.
    #[error("another disk was put in its place")]
    OtherDisk,
    /// It grew or shrank.
    #[error("the disk's size changed from {was} to {is} bytes")]
    SizeChanged {
        /// When marking began.
        was: u64,
        /// Now.
        is: u64,
    },
    /// Its partitions begin or end elsewhere.
    #[error("the disk's partitions changed")]
    PartitionsChanged,
}

/// Bits of [`word::LOST`].
pub(super) const LOST_PROGRAMS: u64 = 1;
pub(super) const LOST_EVENTS: u64 = 2;

/// With so many writes sent, one must have completed when none is under way.
const SURELY_SENT: u64 = 64;

/// What was found out, for all checks of a disk.
pub(super) struct Found<'a> {
    pub(super) header: &'a Pinned,
    pub(super) set: u64,
    /// The numbers that the set's programs should have, and have.
    pub(super) programs: [(u32, Option<u32>); PROGRAMS.len()],
    /// `None`: the programs that would tell are gone.
    pub(super) misses: Option<Misses>,
    /// `None`: there is no such disk any more.
    pub(super) facts: Option<Facts>,
    /// Whether a write is under way in the disk.
    pub(super) is_writing: bool,
}

/// Goes through all reasons but those that concern the boot, the generation and the map.
pub(super) fn check(found: &Found<'_>) -> Result<(), Distrust> {
    lost(found.header)?;
    programs(found)?;
    faults(found.header)?;
    counts(found)?;
    facts(found)
}

fn lost(header: &Pinned) -> Result<(), Distrust> {
    match header.word(word::LOST) {
        0 => Ok(()),
        bits if bits & LOST_PROGRAMS != 0 => Err(Distrust::ProgramsWereGone),
        _ => Err(Distrust::Missed),
    }
}

fn programs(found: &Found<'_>) -> Result<(), Distrust> {
    for ((name, _), (should, is)) in PROGRAMS.iter().zip(found.programs) {
        if is != Some(should) {
            return Err(Distrust::ProgramGone(name));
        }
    }
    match found.misses {
        None => Err(Distrust::ProgramGone(PROGRAMS[0].0)),
        Some(misses) if missed(found.header, found.set, misses) => Err(Distrust::Missed),
        Some(_) => Ok(()),
    }
}

/// Whether some event may have been missed by all copies of a set. Each event that is missed by all is counted by
/// each, so as long as one has missed nothing, nothing was.
pub(super) fn missed(header: &Pinned, set: u64, misses: Misses) -> bool {
    since(header, set, misses).into_iter().min() != Some(0)
}

/// How often each copy was skipped since the marks began.
fn since(header: &Pinned, set: u64, misses: Misses) -> Misses {
    let first = misses_word(set);
    std::array::from_fn(|copy| misses[copy].wrapping_sub(header.word(first + copy)))
}

/// Where in the header it says how often the copies of a set had been skipped when the marks began.
pub(super) fn misses_word(set: u64) -> usize {
    word::MISSES + (set % 2) as usize * COPIES
}

fn faults(header: &Pinned) -> Result<(), Distrust> {
    let count = |which| header.word(word::FAULTS + which);
    let reasons = [
        Distrust::Overflow(count(fault::OVERFLOW)),
        Distrust::Outside(count(fault::OUTSIDE)),
        Distrust::PassThrough(count(fault::DRV_OUT)),
        Distrust::UnknownOperation(count(fault::UNKNOWN)),
    ];
    let happened = |reason: &Distrust| match reason {
        Distrust::Overflow(n) | Distrust::Outside(n) | Distrust::PassThrough(n) | Distrust::UnknownOperation(n) => {
            *n > 0
        }
        _ => true,
    };
    reasons.into_iter().find(happened).map_or(Ok(()), Err)
}

fn counts(found: &Found<'_>) -> Result<(), Distrust> {
    let sum = |who| -> u64 {
        let slots = (0..hit::SLOTS).map(|slot| word::HITS + slot * hit::SLOT_WORDS + who);
        slots.map(|at| found.header.word(at)).fold(0, u64::wrapping_add)
    };
    let sent = sum(hit::ISSUE);
    match sum(hit::COMPLETE) {
        0 if sent >= SURELY_SENT && !found.is_writing => Err(Distrust::NoneCompleted { sent }),
        _ => Ok(()),
    }
}

fn facts(found: &Found<'_>) -> Result<(), Distrust> {
    let was = |at| found.header.word(at);
    let Some(is) = &found.facts else {
        return Err(Distrust::DiskGone);
    };
    if was(word::SEQUENCE) != is.sequence.unwrap_or(0) {
        return Err(Distrust::OtherDisk);
    }
    if was(word::SIZE) != is.size {
        return Err(Distrust::SizeChanged { was: was(word::SIZE), is: is.size });
    }
    match was(word::PARTITIONS) == is.partitions {
        true => Ok(()),
        false => Err(Distrust::PartitionsChanged),
    }
}
