//! Targets whose state is known: an image file that nothing has changed since a point of it was made.
//!
//! Such a file holds what that point says, so that only what changed between the two points needs to be written. The file system's
//! word on its times is believed only if they were old enough when they were noted (see `source`).
//!
//! Never knows: how ranges are written.

use std::ops::Range;
use std::path::Path;

use backstay_env::real::disk;
use backstay_format::units::{DiskNo, PageNo, pages_in};
use backstay_items::allocation::Ranges;
use backstay_timeline::extent::Content;
use backstay_vault::Vault;
use backstay_vault::points::Choice;
use backstay_vault::rows::Point;

use crate::failure::Failure;
use crate::source::stamp;
use crate::spec::Found;

/// The newest points that are asked whether they are of the file as it is now.
const ASKED: usize = 1000;

/// The ranges of the target that differ from the point to be restored, in order; `None` when its state is not known.
pub(super) fn changes_to(vault: &Vault, found: &Found, target: &Path) -> Result<Option<Vec<Range<u64>>>, Failure> {
    let Some(at) = wanted_disk(found) else { return Ok(None) };
    let now = disk::open(target).ok().and_then(|d| d.identity().ok());
    let Some(stamp) = now.as_ref().and_then(stamp) else { return Ok(None) };
    let points = vault.some_points(found.machine.id, &Choice::newest(ASKED))?;
    let is_now = |p: &&Point| p.row.disks.iter().any(|d| d.disk == at && d.stamp == stamp);
    let Some(current) = points.iter().find(is_now) else { return Ok(None) };
    let (from, to) = (current.number.min(found.point.number), current.number.max(found.point.number));
    let pages = found.point.row.disks.iter().find(|d| d.disk == at).map_or(0, |d| pages_in(d.size));
    let changes = vault.changes(found.machine.id, from, to).and_then(|map| map.extents(at, 0..pages));
    let extents = match changes {
        // What changed is lost, or the capture started over in between: then the target is compared.
        Err(error) if error.is_damage() => return Ok(None),
        other => other?,
    };
    // What the point leaves out by choice the file may still have; restored it is zeros.
    let disk = vault.disk(&found.machine, &found.point, found.spec.disk.as_deref())?;
    let left_out = match disk.info().excluded {
        0 => Vec::new(),
        _ => disk.extents(0..pages)?,
    };
    let left_out = left_out.into_iter().filter(|extent| extent.content == Content::Excluded);
    let ranges = extents.into_iter().chain(left_out).map(|e| e.page.offset()..PageNo(e.end().0).offset());
    Ok(Some(Ranges::from_unsorted(ranges.collect()).iter().collect()))
}

/// The number of the disk that is restored; `None` for a partition, whose pages lie elsewhere in a file.
fn wanted_disk(found: &Found) -> Option<DiskNo> {
    let disks = &found.point.row.disks;
    let disk = match &found.spec.disk {
        Some(name) => disks.iter().find(|d| d.name == *name),
        None => disks.first().filter(|_| disks.len() == 1),
    };
    disk.filter(|_| found.spec.partition.is_none()).map(|d| d.disk)
}
