//! Verified reads: tree blocks and data sectors, from whichever copy is whole.
//!
//! Never knows: what trees mean. Bounded: keeps at most [`CACHE_BYTES`] of tree blocks.

use super::checksum::Sum;
use super::chunks::Chunks;
use super::key::Key;
use super::node::{Node, Pointer};
use super::search::Flow;
use super::superblock::Superblock;
use crate::bytes::damaged;
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const CACHE_BYTES: usize = 8 << 20;

/// Blocks read last, by address and generation, each with the pointer it was checked against.
type Nodes = HashMap<(u64, u64), (Pointer, Arc<Node>)>;

/// A file system's device, its superblock and its chunks.
pub(super) struct Disk<'a> {
    volume: Box<dyn Volume + 'a>,
    pub(super) superblock: Superblock,
    pub(super) chunks: Chunks,
    nodes: Mutex<Nodes>,
}

impl<'a> Disk<'a> {
    /// Reads the superblock and the chunk tree.
    pub(super) fn open(volume: Box<dyn Volume + 'a>) -> Result<Disk<'a>, TreeError> {
        let superblock = Superblock::choose(&*volume)?;
        let chunks = Chunks::bootstrap(&superblock)?;
        let mut disk = Disk { volume, superblock, chunks, nodes: Mutex::default() };
        disk.load_chunks()?;
        Ok(disk)
    }

    fn load_chunks(&mut self) -> Result<(), TreeError> {
        let s = &self.superblock;
        let root = Pointer::root(s.chunk_root, s.chunk_root_level, s.chunk_root_generation);
        let (from, to) = Key::all_of(super::key::tree::CHUNK_OBJECT, super::key::kind::CHUNK_ITEM);
        let mut all = self.chunks.clone();
        self.scan(&root, from, to, &mut |key, item| {
            all.add(&self.superblock, key, item)?;
            Ok(Flow::Go)
        })?;
        self.chunks = all;
        Ok(())
    }

    /// Bytes of the volume beneath.
    pub(super) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// The tree of trees.
    pub(super) fn root_tree(&self) -> Pointer {
        let s = &self.superblock;
        Pointer::root(s.root, s.root_level, s.generation)
    }

    /// The block that `at` points to, checked.
    pub(super) fn node(&self, at: &Pointer) -> Result<Arc<Node>, TreeError> {
        let slot = (at.logical, at.generation);
        if let Some((as_of, node)) = self.cache().get(&slot)
            && as_of == at
        {
            return Ok(node.clone());
        }
        let node = Arc::new(self.read_node(at)?);
        let mut cache = self.cache();
        if cache.len() >= CACHE_BYTES / self.superblock.node as usize {
            // Any victim will do: a hash map gives them in no particular order.
            let victim = cache.keys().next().copied();
            victim.and_then(|v| cache.remove(&v));
        }
        cache.insert(slot, (*at, node.clone()));
        Ok(node)
    }

    fn cache(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_node(&self, at: &Pointer) -> Result<Node, TreeError> {
        let len = self.superblock.node as usize;
        if !at.logical.is_multiple_of(u64::from(self.superblock.sector)) {
            return Err(damaged(format!("a tree block at the odd address {}", at.logical)));
        }
        let place = self.chunks.place(at.logical)?;
        if place.len < len as u64 {
            return Err(damaged(format!("the tree block at {} leaves its chunk", at.logical)));
        }
        let mut why = damaged(format!("the tree block at {} has no copy", at.logical));
        for (n, copy) in place.copies.iter().enumerate() {
            let tried =
                self.read_copy(*copy, len).and_then(|bytes| match self.superblock.checksum.vouches_for(&bytes) {
                    true => Node::decode(&self.superblock, at, bytes),
                    false => Err(damaged(format!("the tree block at {} does not match its checksum", at.logical))),
                });
            match tried {
                Ok(node) => return Ok(node),
                Err(error) if n == 0 => why = error,
                Err(_) => {} // The first copy's error is the one that is told.
            }
        }
        Err(why)
    }

    fn read_copy(&self, at: u64, len: usize) -> Result<Vec<u8>, TreeError> {
        let mut bytes = vec![0; len];
        self.volume.read_at(at, &mut bytes).map_err(TreeError::Io)?;
        Ok(bytes)
    }

    /// Reads whole sectors of data; each must match its sum, if it has one, in some copy. `sums` holds one entry for
    /// each sector of `buf`.
    ///
    /// # Errors
    /// `Damaged` when no copy of a sector matches; `Io` when no copy can be read.
    pub(super) fn read_data(&self, logical: u64, buf: &mut [u8], sums: &[Option<Sum>]) -> Result<(), TreeError> {
        let sector = self.superblock.sector as usize;
        let mut done = 0;
        while done < buf.len() {
            let at = logical.checked_add(done as u64).ok_or_else(|| damaged("data past the last address"))?;
            let place = self.chunks.place(at)?;
            let len = place.len.min((buf.len() - done) as u64) as usize;
            let piece = &mut buf[done..done + len];
            let whole = self.volume.read_at(place.copies[0], piece).is_ok();
            for (i, bytes) in piece.chunks_mut(sector).enumerate() {
                let sum = sums.get(done / sector + i).and_then(Option::as_ref);
                let offset = (i * sector) as u64;
                if !(whole && self.sum_fits(sum, bytes)) {
                    self.mend(at + offset, place.copies.iter().map(|c| c + offset), sum, bytes)?;
                }
            }
            done += len;
        }
        Ok(())
    }

    fn sum_fits(&self, sum: Option<&Sum>, bytes: &[u8]) -> bool {
        sum.is_none_or(|sum| self.superblock.checksum.matches(sum, bytes))
    }

    fn mend(
        &self,
        logical: u64,
        copies: impl Iterator<Item = u64>,
        sum: Option<&Sum>,
        bytes: &mut [u8],
    ) -> Result<(), TreeError> {
        let mut why = damaged(format!("the data at {logical} does not match its checksum"));
        for copy in copies {
            match self.volume.read_at(copy, bytes) {
                Ok(()) if self.sum_fits(sum, bytes) => return Ok(()),
                Ok(()) => {}
                Err(error) => why = TreeError::Io(error),
            }
        }
        Err(why)
    }
}
