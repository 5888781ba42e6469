//! The bytes of extents: read, verified against the checksums, unpacked.
//!
//! Never knows: files, names, or which subvolume asks. Bounded: remembers at most [`KEPT`] unpacked extents.

use super::checksum::Sum;
use super::disk::Disk;
use super::inflate;
use super::items::{Packing, Stored};
use super::key::{Key, kind, tree};
use super::node::Pointer;
use super::search::Flow;
use crate::bytes::{damaged, unsupported};
use crate::tree::TreeError;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

const KEPT: usize = 16;
/// The format packs at most 128 KiB; twice that is read, no more.
const MAX_UNPACKED: u64 = 256 << 10;
/// Bytes that one uncompressed read takes at once.
const PIECE: u64 = 1 << 20;

/// Sums of data sectors by address: those in logs, then those in the tree.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) tree: Option<Pointer>,
    pub(super) logged: BTreeMap<u64, Sum>,
}

impl Sums {
    /// Takes in the sums of a log's item.
    pub(super) fn learn(&mut self, disk: &Disk, key: Key, item: &[u8]) {
        for (i, sum) in disk.superblock.checksum.decode_all(item).enumerate() {
            let skip = i as u64 * u64::from(disk.superblock.sector);
            self.logged.insert(key.offset.saturating_add(skip), sum);
        }
    }

    /// The sums of the sectors in `[start, start + len)`, both whole sectors; all must be known.
    fn of(&self, disk: &Disk, start: u64, len: u64) -> Result<Vec<Option<Sum>>, TreeError> {
        let sector = u64::from(disk.superblock.sector);
        let mut sums = vec![None; (len / sector) as usize];
        self.stored(disk, start, &mut sums)?;
        for (at, sum) in self.logged.range(start..start.saturating_add(len)) {
            if let Some(slot) = sums.get_mut(((at - start) / sector) as usize) {
                *slot = Some(*sum);
            }
        }
        match sums.iter().position(Option::is_none) {
            None => Ok(sums),
            Some(i) => {
                let at = start + i as u64 * sector;
                Err(damaged(format!("the data at {at} has no checksum")))
            }
        }
    }

    fn stored(&self, disk: &Disk, start: u64, sums: &mut [Option<Sum>]) -> Result<(), TreeError> {
        let Some(root) = &self.tree else {
            return Ok(());
        };
        let sector = u64::from(disk.superblock.sector);
        let (lowest, _) = Key::all_of(tree::CSUM_OBJECT, kind::EXTENT_CSUM);
        let at = |offset| Key::new(tree::CSUM_OBJECT, kind::EXTENT_CSUM, offset);
        let floor = disk.floor(root, at(start))?;
        let from = floor.filter(|key| *key >= lowest).unwrap_or(at(start));
        let end = start.saturating_add(sums.len() as u64 * sector);
        let checksum = disk.superblock.checksum;
        disk.scan(root, from, at(end.saturating_sub(1)), &mut |key, item| {
            // Sums of sectors before `start`, and the place of the first one after them.
            let before = start.saturating_sub(key.offset) / sector;
            let skip = usize::try_from(before).map(|n| n.saturating_mul(checksum.len()));
            let rest = skip.ok().and_then(|n| item.get(n..)).unwrap_or_default();
            let place = key.offset.saturating_sub(start) / sector;
            let slots = sums.iter_mut().skip(place as usize);
            for (slot, sum) in slots.zip(checksum.decode_all(rest)) {
                *slot = Some(sum);
            }
            Ok(Flow::Go)
        })?;
        Ok(())
    }
}

type Whole = (u64, u64, u64, Packing);

/// Extents unpacked last: small reads in turn must not unpack 128 KiB each.
#[derive(Default)]
pub(super) struct Unpacked(Mutex<VecDeque<(Whole, Arc<Vec<u8>>)>>);

impl Unpacked {
    fn held(&self, whole: &Whole) -> Option<Arc<Vec<u8>>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(w, _)| w == whole).map(|(_, b)| b.clone())
    }

    fn keep(&self, whole: Whole, bytes: Arc<Vec<u8>>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == KEPT {
            held.pop_front();
        }
        held.push_back((whole, bytes));
    }
}

/// Reads data of one file system.
pub(super) struct DataReader<'d> {
    pub(super) disk: &'d Disk<'d>,
    pub(super) sums: &'d Sums,
    pub(super) unpacked: &'d Unpacked,
}

impl DataReader<'_> {
    /// Fills `out` from `skip` bytes into the part `stored` of an extent. The caller keeps inside the part.
    ///
    /// # Errors
    /// `Damaged` when a sector fits its checksum in no copy or cannot be unpacked.
    pub(super) fn read(&self, stored: &Stored, skip: u64, out: &mut [u8], summed: bool) -> Result<(), TreeError> {
        let sector = u64::from(self.disk.superblock.sector);
        if !stored.disk.is_multiple_of(sector) || !stored.disk_len.is_multiple_of(sector) {
            return Err(damaged("an extent is not made of whole sectors"));
        }
        let offset = stored.offset.saturating_add(skip);
        if stored.packing == Packing::None {
            return self.read_plain(stored.disk.saturating_add(offset), out, summed);
        }
        let bytes = self.unpack(stored, summed)?;
        let from = usize::try_from(offset).ok().and_then(|o| bytes.get(o..));
        let from = from.and_then(|b| b.get(..out.len()));
        out.copy_from_slice(from.ok_or_else(|| damaged("an extent is shorter than it says"))?);
        Ok(())
    }

    fn read_plain(&self, start: u64, out: &mut [u8], summed: bool) -> Result<(), TreeError> {
        let mut done = 0;
        while done < out.len() {
            let at = start.saturating_add(done as u64);
            let n = (out.len() - done).min(PIECE as usize);
            self.read_piece(at, &mut out[done..done + n], summed)?;
            done += n;
        }
        Ok(())
    }

    fn read_piece(&self, at: u64, out: &mut [u8], summed: bool) -> Result<(), TreeError> {
        let sector = u64::from(self.disk.superblock.sector);
        let first = at - at % sector;
        let end = at.saturating_add(out.len() as u64).checked_next_multiple_of(sector);
        let end = end.ok_or_else(|| damaged("data past the last address"))?;
        let sums = match summed {
            true => self.sums.of(self.disk, first, end - first)?,
            false => Vec::new(),
        };
        if first == at && end - first == out.len() as u64 {
            return self.disk.read_data(first, out, &sums);
        }
        let mut whole = vec![0; (end - first) as usize];
        self.disk.read_data(first, &mut whole, &sums)?;
        let from = (at - first) as usize;
        out.copy_from_slice(&whole[from..from + out.len()]);
        Ok(())
    }

    fn unpack(&self, stored: &Stored, summed: bool) -> Result<Arc<Vec<u8>>, TreeError> {
        let whole = (stored.disk, stored.disk_len, stored.unpacked, stored.packing);
        if let Some(bytes) = self.unpacked.held(&whole) {
            return Ok(bytes);
        }
        if stored.disk_len.max(stored.unpacked) > MAX_UNPACKED {
            return Err(unsupported("a compressed extent of more than 256 KiB"));
        }
        let mut packed = vec![0; stored.disk_len as usize];
        self.read_plain(stored.disk, &mut packed, summed)?;
        let mut bytes = vec![0; stored.unpacked as usize];
        let sector = self.disk.superblock.sector as usize;
        inflate::unpack(stored.packing, &packed, sector, &mut bytes)?;
        let bytes = Arc::new(bytes);
        self.unpacked.keep(whole, bytes.clone());
        Ok(bytes)
    }
}
