//! The blocks of an ext4 file system as they are after the journal's replay.
//!
//! Never knows: what a block holds, but for the superblock and the journal.
//! Invariant: once opened, no block is read from its home when the journal holds a newer committed copy.

use super::journal::{self, Replay};
use super::superblock::{OFFSET, SIZE, Superblock, incompat};
use crate::bytes::{damaged, read_vec};
use crate::cache::CachedVolume;
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::ops::Range;

/// An opened file system on a volume.
pub(super) struct Fs<V> {
    volume: CachedVolume<V>,
    pub(super) sb: Superblock,
    replay: Replay,
}

impl<V: Volume> Fs<V> {
    /// Opens the file system and reads what its journal has to say.
    pub(super) fn open(volume: V) -> Result<Self, TreeError> {
        let volume = CachedVolume::new(volume);
        let sb = Superblock::parse(&read_vec(&volume, OFFSET, SIZE)?, volume.size())?;
        let mut fs = Fs { volume, sb, replay: Replay::default() };
        let needs_recovery = fs.sb.incompat & incompat::RECOVER != 0;
        fs.replay = journal::load(&fs, needs_recovery)?;
        fs.reread_superblock()?;
        Ok(fs)
    }

    /// The journal may hold a newer superblock: one that is larger, after an online resize.
    fn reread_superblock(&mut self) -> Result<(), TreeError> {
        let block = self.read_block(OFFSET / self.sb.block_size)?;
        let at = (OFFSET % self.sb.block_size) as usize;
        let newer = Superblock::parse(&block[at..at + SIZE], self.volume.size())?;
        if newer.block_size != self.sb.block_size || newer.uuid != self.sb.uuid {
            return Err(damaged("the journal holds another superblock"));
        }
        self.sb = newer;
        Ok(())
    }

    pub(super) fn volume_size(&self) -> u64 {
        self.volume.size()
    }

    /// One block.
    pub(super) fn read_block(&self, block: u64) -> Result<Vec<u8>, TreeError> {
        let mut buf = vec![0; self.sb.block_size as usize];
        self.read_in_block(block, 0, &mut buf)?;
        Ok(buf)
    }

    /// A part of one block.
    pub(super) fn read_in_block(&self, block: u64, at: usize, buf: &mut [u8]) -> Result<(), TreeError> {
        assert!(at + buf.len() <= self.sb.block_size as usize, "one block");
        self.check(block, 1)?;
        let Some(copy) = self.replay.copy_of(block) else {
            let start = block * self.sb.block_size + at as u64;
            return self.volume.read_at(start, buf).map_err(TreeError::Io);
        };
        let mut whole = vec![0; self.sb.block_size as usize];
        let start = copy.block * self.sb.block_size;
        self.volume.read_at(start, &mut whole).map_err(TreeError::Io)?;
        self.replay.restore(copy, &mut whole)?;
        buf.copy_from_slice(&whole[at..at + buf.len()]);
        Ok(())
    }

    /// Bytes of a run of blocks, starting `at` bytes into the first, past the cache.
    pub(super) fn read_run(&self, block: u64, at: u64, buf: &mut [u8]) -> Result<(), TreeError> {
        let bs = self.sb.block_size;
        let len = (at + buf.len() as u64).div_ceil(bs);
        self.check(block, len)?;
        if self.replay.is_empty() {
            let start = block * bs + at;
            return self.volume.bulk().read_at(start, buf).map_err(TreeError::Io);
        }
        let mut done = 0;
        while done < buf.len() {
            let place = at + done as u64;
            let inside = (place % bs) as usize;
            let n = (bs as usize - inside).min(buf.len() - done);
            self.read_in_block(block + place / bs, inside, &mut buf[done..done + n])?;
            done += n;
        }
        Ok(())
    }

    /// Where a run of blocks lies on the volume.
    pub(super) fn place(&self, block: u64, len: u64) -> Result<Range<u64>, TreeError> {
        self.check(block, len)?;
        Ok(block * self.sb.block_size..(block + len) * self.sb.block_size)
    }

    fn check(&self, block: u64, len: u64) -> Result<(), TreeError> {
        let end = block.checked_add(len);
        match end {
            Some(end) if block > 0 && end <= self.sb.blocks => Ok(()),
            // Block 0 holds the superblock where blocks are larger than 1 KiB, and no file's content.
            Some(1) if len == 1 => Ok(()),
            _ => Err(damaged(format!("it points to block {block}, which is not its own"))),
        }
    }
}
