//! The volume as the file system means it: blocks found by number, with what the log holds laid over them.
//!
//! Never knows: what a block is for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use backstay_env::volume::{Volume, check_range};

use super::bytes::damaged;
use super::extents::Remap;
use super::superblock::Geometry;
use crate::tree::TreeError;

/// The unit in which the log and the overlay count.
pub(super) const BASIC_BLOCK: u64 = 512;

/// Basic blocks in the largest piece of metadata that the log describes as one.
pub(super) const LONGEST_BUFFER: u64 = 128;

/// A volume with some of its 512-byte blocks replaced in memory.
pub(super) struct Disk<'v> {
    volume: Box<dyn Volume + 'v>,
    replaced: BTreeMap<u64, Box<[u8; BASIC_BLOCK as usize]>>,
    /// Runs of basic blocks that were replaced in parts of a larger block whose checksum nobody could renew.
    unsealed: BTreeMap<u64, u64>,
    /// Inodes whose tree blocks may still name the owner they had before two files were exchanged.
    changed_owner: BTreeSet<u64>,
    /// Changes of what lies where in a file that the log announces and the inode does not show yet.
    remaps: BTreeMap<u64, Vec<Remap>>,
    /// The log announces counts of users that the groups do not show yet.
    counts_are_old: bool,
}

impl<'v> Disk<'v> {
    pub(super) fn new(volume: Box<dyn Volume + 'v>) -> Self {
        Disk {
            volume,
            replaced: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            changed_owner: BTreeSet::new(),
            remaps: BTreeMap::new(),
            counts_are_old: false,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// Fills `buf` from byte `offset`.
    ///
    /// # Errors
    /// `Damaged` past the end of the volume, `Io` when the volume could not be read.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), TreeError> {
        let len = buf.len() as u64;
        check_range(self.size(), offset, len)
            .map_err(|_| damaged(format!("it points past the end of the volume, to byte {offset}")))?;
        self.volume.read_at(offset, buf).map_err(TreeError::Io)?;
        if len == 0 || self.replaced.is_empty() {
            return Ok(());
        }
        let blocks = offset / BASIC_BLOCK..(offset + len).div_ceil(BASIC_BLOCK);
        for (block, bytes) in self.replaced.range(blocks) {
            lay_over(buf, offset, block * BASIC_BLOCK, &bytes[..]);
        }
        Ok(())
    }

    /// `len` bytes from `offset`; the caller bounds `len`.
    ///
    /// # Errors
    /// As [`Disk::read`].
    pub(super) fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, TreeError> {
        let mut buf = vec![0; len];
        self.read(offset, &mut buf)?;
        Ok(buf)
    }

    /// Replaces basic blocks from `block`, in memory only; keeps those that differ from what is there, `old`, which
    /// is as long as `data`. A last part of a block is left alone.
    pub(super) fn replace(&mut self, block: u64, old: &[u8], data: &[u8]) {
        let (old, _) = old.as_chunks::<{ BASIC_BLOCK as usize }>();
        let (data, _) = data.as_chunks();
        for ((block, old), data) in (block..).zip(old).zip(data) {
            if old != data {
                self.replaced.insert(block, Box::new(*data));
            }
        }
    }

    /// Bytes held in memory in place of those of the volume.
    pub(super) fn replaced_bytes(&self) -> u64 {
        self.replaced.len() as u64 * BASIC_BLOCK
    }

    /// Remembers that blocks of this inode's extent tree may name another owner.
    pub(super) fn note_changed_owner(&mut self, inode: u64) {
        self.changed_owner.insert(inode);
    }

    /// Remembers a change of what lies where in a file, to be made after those noted before.
    pub(super) fn note_remap(&mut self, inode: u64, remap: Remap) {
        self.remaps.entry(inode).or_default().push(remap);
    }

    /// Changes of what lies where in a file, in order.
    pub(super) fn remaps(&self, inode: u64) -> &[Remap] {
        self.remaps.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// Remembers that counts of users of blocks are still to change.
    pub(super) fn note_old_counts(&mut self) {
        self.counts_are_old = true;
    }

    /// Whether blocks may have more users than the groups count.
    pub(super) fn counts_are_old(&self) -> bool {
        self.counts_are_old
    }

    /// Whether blocks of this inode's extent tree may rightly name another owner.
    pub(super) fn owner_may_differ(&self, inode: u64) -> bool {
        self.changed_owner.contains(&inode)
    }

    /// Remembers that the checksum over these basic blocks may be older than their content.
    pub(super) fn note_unsealed(&mut self, blocks: Range<u64>) {
        assert!(blocks.end - blocks.start <= LONGEST_BUFFER, "a run longer than any buffer of the log");
        let end = self.unsealed.entry(blocks.start).or_default();
        *end = blocks.end.max(*end);
    }

    /// Whether some byte of the range has a checksum that could not be renewed.
    pub(super) fn is_unsealed(&self, offset: u64, len: u64) -> bool {
        let (start, end) = (offset / BASIC_BLOCK, offset.saturating_add(len).div_ceil(BASIC_BLOCK));
        let near = start.saturating_sub(LONGEST_BUFFER);
        self.unsealed.range(near..end).any(|(_, run_end)| *run_end > start)
    }
}

fn lay_over(buf: &mut [u8], buf_at: u64, at: u64, bytes: &[u8]) {
    let from = at.max(buf_at);
    let to = (at + bytes.len() as u64).min(buf_at + buf.len() as u64);
    if from < to {
        let source = &bytes[(from - at) as usize..(to - at) as usize];
        buf[(from - buf_at) as usize..(to - buf_at) as usize].copy_from_slice(source);
    }
}

/// Reads the superblock of a volume as it lies (or as the overlay has it) and checks it against the volume's size.
///
/// # Errors
/// As [`Geometry::parse`]; `Damaged` when the volume is too small for what it says.
pub(super) fn read_geometry(disk: &Disk<'_>) -> Result<Geometry, TreeError> {
    let first = disk.read_vec(0, super::superblock::MIN_SECTOR)?;
    let sector = usize::from(u16::from_be_bytes([first[102], first[103]])).clamp(512, 32768);
    let geometry = Geometry::parse(&disk.read_vec(0, sector)?)?;
    if geometry.bytes() > disk.size() {
        return Err(damaged(format!("the volume has {} bytes, its superblock says {}", disk.size(), geometry.bytes())));
    }
    Ok(geometry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_blocks_show_through_reads_at_any_offset() {
        let mut disk = Disk::new(Box::new(vec![1u8; 4096]));
        disk.replace(2, &[1u8; 1024], &[2u8; 1024]);
        disk.replace(6, &[1u8; 1024], &[1u8; 1024]);
        assert_eq!(disk.replaced_bytes(), 1024);
        let mut want = vec![1u8; 4096];
        want[1024..2048].fill(2);
        for (from, to) in [(0, 4096), (1000, 1100), (1030, 1040), (2000, 2100), (2048, 4096), (7, 7)] {
            assert_eq!(disk.read_vec(from as u64, to - from).unwrap(), want[from..to], "{from}..{to}");
        }
        assert!(disk.read_vec(4000, 97).is_err());
    }

    #[test]
    fn unsealed_runs_are_found_by_overlap() {
        let mut disk = Disk::new(Box::new(vec![0u8; 8192]));
        disk.note_unsealed(4..8);
        assert!(disk.is_unsealed(0, 2049) && disk.is_unsealed(4095, 1) && disk.is_unsealed(3000, 10));
        assert!(!disk.is_unsealed(0, 2048) && !disk.is_unsealed(4096, 4096));
    }
}
