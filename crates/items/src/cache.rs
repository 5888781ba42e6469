//! A small cache between a file system reader and its volume: metadata is read in little pieces, volumes answer best
//! in larger ones.
//!
//! Never knows: what the bytes mean. Bounded: at most [`SLOTS`] blocks of [`BLOCK`] bytes.

use backstay_env::volume::{Volume, check_range};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

const BLOCK: u64 = 16 * 1024;
const SLOTS: usize = 256;

type Slot = Mutex<Option<(u64, Arc<[u8]>)>>;

/// A volume that remembers the blocks read last. For volumes that do not change while it lives.
pub(crate) struct CachedVolume<V> {
    inner: V,
    slots: Vec<Slot>,
}

/// A borrowed volume as one of its own.
pub(crate) struct Borrowed<'a>(pub(crate) &'a dyn Volume);

impl Volume for Borrowed<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
}

impl<V: Volume> CachedVolume<V> {
    pub(crate) fn new(inner: V) -> Self {
        CachedVolume { inner, slots: (0..SLOTS).map(|_| Mutex::new(None)).collect() }
    }

    /// The volume beneath, for bulk data that would only push the metadata out.
    pub(crate) fn bulk(&self) -> &V {
        &self.inner
    }

    fn block(&self, index: u64) -> io::Result<Arc<[u8]>> {
        // A multiplicative hash: neighbouring structures at power-of-two distances must not share a slot.
        let slot = (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % SLOTS;
        let mut held = self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, bytes)) = &*held
            && *at == index
        {
            return Ok(bytes.clone());
        }
        let start = index * BLOCK;
        let mut buf = vec![0; BLOCK.min(self.inner.size() - start) as usize];
        self.inner.read_at(start, &mut buf)?;
        let bytes: Arc<[u8]> = buf.into();
        *held = Some((index, bytes.clone()));
        Ok(bytes)
    }
}

impl<V: Volume> Volume for CachedVolume<V> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn sector_size(&self) -> u32 {
        self.inner.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range(self.size(), offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let from = (at % BLOCK) as usize;
            let n = (BLOCK as usize - from).min(buf.len() - done);
            let part = &mut buf[done..done + n];
            match self.block(at / BLOCK) {
                Ok(block) => part.copy_from_slice(&block[from..from + n]),
                // Something else in the block cannot be read, perhaps.
                Err(_) => self.inner.read_at(at, part)?,
            }
            done += n;
        }
        Ok(())
    }
}
