//! Which clusters of an NTFS volume are in use, from its bitmap.
//!
//! Never knows: files other than the volume's own.

use super::boot::Boot;
use super::logfile;
use super::record::kind;
use super::runs::Run;
use super::stream::{Place, Stream};
use super::volume::Ntfs;
use crate::allocation::{Allocation, Ranges};
use crate::bits::runs_of_ones;
use crate::bytes::{damaged, le16};
use crate::cache::Borrowed;
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::ops::Range;

const LOG_FILE: u64 = 2;
const VOLUME: u64 = 3;
const BITMAP: u64 = 6;
const PIECE: u64 = 1 << 20;
/// dirty, resize the log, upgrade on mount, mounted on NT4, delete the journal, repair identities, modified by chkdsk.
const TROUBLED: u16 = 0x803F;

/// The clusters in use. What lies behind the end of the file system counts as used.
///
/// Everything, with a reason, when the volume was not left in order (it is marked dirty, or its log is not clean),
/// or its records contradict the bitmap.
pub fn allocated(volume: &dyn Volume) -> Allocation {
    Allocation::from_walk("ntfs", volume.size(), walk(volume))
}

fn walk(volume: &dyn Volume) -> Result<Ranges, TreeError> {
    let ntfs = Ntfs::open(Borrowed(volume))?;
    check_flags(&ntfs)?;
    let log = content(&ntfs, LOG_FILE)?;
    let mut head = vec![0; logfile::HEAD.min(log.size as usize)];
    log.read(volume, &ntfs.boot, 0, &mut head)?;
    logfile::check(&head)?;
    let bitmap = content(&ntfs, BITMAP)?;
    let used = read_bitmap(volume, &ntfs.boot, &bitmap)?;
    let own = [ntfs.mft_runs(), places(&log), places(&bitmap)];
    check_own(&ntfs.boot, own.into_iter().flatten(), &used)?;
    let tail = ntfs.boot.clusters * ntfs.boot.cluster_size..volume.size();
    let mut used = used;
    used.push(tail);
    Ok(used)
}

fn check_flags<V: Volume>(ntfs: &Ntfs<V>) -> Result<(), TreeError> {
    let file = ntfs.file(VOLUME)?;
    let information = file.value(kind::VOLUME_INFORMATION);
    let flags = information.filter(|v| v.len() >= 12).map(|v| le16(v, 10));
    match flags {
        Some(flags) if flags & TROUBLED == 0 => Ok(()),
        Some(flags) => Err(damaged(format!("it is marked as not in order ({flags:#x})"))),
        None => Err(damaged("it does not say whether it is in order")),
    }
}

fn content<V: Volume>(ntfs: &Ntfs<V>, number: u64) -> Result<Stream, TreeError> {
    let stream = ntfs.stream(&ntfs.file(number)?, kind::DATA, "")?;
    stream.ok_or_else(|| damaged(format!("record {number} has no content")))
}

fn places(stream: &Stream) -> &[Run] {
    match &stream.place {
        Place::Runs(runs) => runs,
        Place::Resident(_) => &[],
    }
}

fn read_bitmap(volume: &dyn Volume, boot: &Boot, bitmap: &Stream) -> Result<Ranges, TreeError> {
    let bytes = boot.clusters.div_ceil(8);
    if bitmap.size < bytes || bitmap.initialized < bytes {
        return Err(damaged("its bitmap is shorter than the volume"));
    }
    let cs = boot.cluster_size;
    let mut used = Ranges::new();
    for start in (0..bytes).step_by(PIECE as usize) {
        let mut piece = vec![0; PIECE.min(bytes - start) as usize];
        bitmap.read(volume, boot, start, &mut piece)?;
        let bits = boot.clusters - start * 8;
        for run in runs_of_ones(&piece, bits) {
            used.push((start * 8 + run.start) * cs..(start * 8 + run.end) * cs);
        }
    }
    Ok(used)
}

/// What the volume surely uses must be marked as used.
fn check_own<'a>(boot: &Boot, runs: impl Iterator<Item = &'a Run>, used: &Ranges) -> Result<(), TreeError> {
    let cs = boot.cluster_size;
    let range = |lcn: u64, len: u64| -> Range<u64> { lcn * cs..(lcn + len) * cs };
    let placed = runs.filter_map(|run| Some(range(run.lcn?, run.len)));
    match placed.chain([range(0, 1)]).all(|range| used.covers(&range)) {
        true => Ok(()),
        false => Err(damaged("its bitmap calls clusters free that it uses itself")),
    }
}
