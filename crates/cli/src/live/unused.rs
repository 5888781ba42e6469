//! What was marked, and nothing uses: after a trim that is nearly all of a disk, and to read it would take as long as the disk is large.
//!
//! ```text
//!   much is marked, and seems free ─▶ the marks are taken ─▶ held still for a moment: the books are complete ─▶ the books are read
//!                                                           what they say is free: absent, not read ◀─┘─▶ what is in use: read
//! ```
//!
//! As in a rescan: what was in use when all was still stands in the books, and what is put elsewhere later is marked again, for the marks
//! were taken before. What the books say is in use is read, whatever becomes of it.
//!
//! Never knows: why it was marked.

use std::ops::Range;

use backstay_capture::freeze::group::Limits;
use backstay_capture::freeze::watchdog::Watchdog;
use backstay_capture::marks::Pass;
use backstay_capture::point::Keep as _;
use backstay_items::disk::allocated;
use backstay_timeline::pages::{inside, outside, union};

use super::disks::{LiveDisk, hold_still};
use super::keeper::Keeper;
use super::missed::Missed;
use crate::failure::sentence;

const PAGE: u64 = 4096;
/// Pages of a disk from which on it is worth a freeze to read less: 512 MiB.
const MUCH: u64 = 1 << 17;
/// And that part of a large disk: its books have a bit for each block, which is an eighth of this.
const PART: u64 = 1 << 12;

/// Where much is marked, takes the marks, and passes over what nothing uses.
pub(super) fn pass_over_unused(
    (disks, pass): (&[LiveDisk], Pass),
    keeper: &mut Keeper<'_, '_>,
    (watchdog, limits): (&mut Watchdog, Limits),
) -> Result<(), Missed> {
    let mut taken = Vec::new();
    for (index, disk) in disks.iter().enumerate().filter(|(_, disk)| seems_free(disk)) {
        let pages = disk.marks.collect(pass).map_err(|e| Missed::later(sentence(&e)))?;
        taken.push((index, pages.collect::<Vec<_>>()));
    }
    if taken.is_empty() {
        return Ok(());
    }
    let complete = hold_still(disks, watchdog, limits).is_ok_and(|doubtful| doubtful.is_empty());
    for (index, pages) in taken {
        let device = &disks[index].device;
        let used = if complete { used(&disks[index]) } else { pages.clone() };
        keeper.absent(index, outside(&pages, &used)).map_err(Missed::of)?;
        keeper.pass(index, device, inside(&pages, &used)).map_err(Missed::of)?;
    }
    Ok(())
}

/// Whether much is marked of what its books, which may not be complete, do not name: a busy disk is not worth a freeze.
fn seems_free(disk: &LiveDisk) -> bool {
    let much = MUCH.max(disk.size() / PAGE / PART);
    let free = || outside(&disk.marks.live().collect::<Vec<_>>(), &used(disk));
    disk.marks.count() >= much && free().iter().map(|range| range.end - range.start).sum::<u64>() >= much
}

/// Pages of a disk that anything uses, by its own books.
fn used(disk: &LiveDisk) -> Vec<Range<u64>> {
    let used = allocated(&disk.device).used;
    union(used.iter().map(|bytes| bytes.start / PAGE..bytes.end.div_ceil(PAGE)))
}
