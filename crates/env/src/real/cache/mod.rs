//! A local cache in front of a home that is far away, for objects that never change.
//!
//! Never knows: what kind of home it is, or what the objects mean.
//! Invariant: without the cache every answer is the same; a cache that is full, broken or read-only costs time only.

mod blocks;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use self::blocks::{BLOCK, Block, Blocks};
use crate::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};

/// At most so many blocks are asked for at once.
const RUN: u64 = 8;
/// Locks that keep two threads from fetching the same blocks at the same time.
const LOCKS: usize = 64;

/// Which objects are cached.
pub type IsImmutable = dyn Fn(&Key) -> bool + Send + Sync;

/// A home with a cache in front of it.
///
/// Blocks of 1 MiB of the objects that never change are kept in a local folder, up to a limit in bytes (which each
/// process that uses the folder may pass by a sixteenth); those not used for longest go first. Everything else goes
/// straight to the home.
///
/// Non-guarantees: an object that was deleted may still be read as long as it is cached. An object whose bytes change
/// under its name, against what was said, may be read as it was; a change through this cache is seen by all later
/// reads, unless an earlier one was still under way.
pub struct Cached {
    inner: Arc<Inner>,
}

struct Inner {
    home: Arc<dyn Objects>,
    blocks: Blocks,
    is_immutable: Box<IsImmutable>,
    fetching: [Mutex<()>; LOCKS],
    hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
}

/// What a cache did so far, in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Found.
    pub hits: u64,
    /// Fetched from the home.
    pub misses: u64,
    /// Could not be read from or written to the cache: its disk is full or failing.
    pub failures: u64,
    /// Bytes in the folder, as far as this process knows.
    pub bytes: u64,
}

impl Cached {
    /// Puts a cache in `folder`, made if need be, of at most `limit` bytes in front of `home`. `scope` tells the home
    /// from others that use the same folder: a store's id. `is_immutable` says which objects never change.
    ///
    /// # Errors
    /// When the folder cannot be made or listed.
    pub fn new(
        home: Arc<dyn Objects>,
        folder: &Path,
        scope: &str,
        limit: u64,
        is_immutable: impl Fn(&Key) -> bool + Send + Sync + 'static,
    ) -> io::Result<Cached> {
        let inner = Inner {
            home,
            blocks: Blocks::open(folder, scope, limit)?,
            is_immutable: Box::new(is_immutable),
            fetching: [const { Mutex::new(()) }; LOCKS],
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        Ok(Cached { inner: Arc::new(inner) })
    }

    /// What the cache did so far.
    pub fn usage(&self) -> CacheUse {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let inner = &self.inner;
        CacheUse {
            hits: count(&inner.hits),
            misses: count(&inner.misses),
            failures: count(&inner.failures),
            bytes: inner.blocks.used(),
        }
    }

    fn changing(
        &self,
        key: &Key,
        change: impl FnOnce(&dyn Objects) -> Result<(), ObjectError>,
    ) -> Result<(), ObjectError> {
        let is_cached = (self.inner.is_immutable)(key);
        if is_cached {
            self.inner.forget(key)?;
        }
        let changed = change(&*self.inner.home);
        if is_cached {
            // Again: someone may have read the old one meanwhile.
            self.inner.forget(key)?;
        }
        changed
    }
}

impl Inner {
    /// A block, if the cache has it, and of an object of `size` bytes if that is known. A cache that fails has nothing.
    fn look(&self, key: &Key, index: u64, size: Option<u64>) -> Option<Block> {
        let found = self.blocks.get(key, index).unwrap_or_else(|_| {
            self.failures.fetch_add(1, Ordering::Relaxed);
            None
        });
        let found = found.filter(|block| size.is_none_or(|size| size == block.object_size));
        self.hits.fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
        found
    }

    fn keep(&self, key: &Key, size: u64, index: u64, bytes: &[u8]) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let kept = self.blocks.put(key, size, index, bytes);
        self.failures.fetch_add(u64::from(kept.is_err()), Ordering::Relaxed);
    }

    /// What is said to be gone must not be read from here any more, so this may fail.
    fn forget(&self, key: &Key) -> Result<(), ObjectError> {
        self.blocks.forget(key).map_err(|source| ObjectError::Io { key: key.clone(), source })
    }

    fn lock(&self, key: &Key, index: u64) -> MutexGuard<'_, ()> {
        let sum = key.as_str().bytes().fold(index, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        self.fetching[(sum % LOCKS as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for Cached {
    fn abilities(&self) -> Abilities {
        self.inner.home.abilities()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.changing(key, |home| home.put(key, parts))
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.inner.home.put_new(key, parts)
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        if !(self.inner.is_immutable)(key) {
            return self.inner.home.get(key);
        }
        if let Some(first) = self.inner.look(key, 0, None) {
            let object = CachedObject::new(&self.inner, key, first.object_size);
            let mut bytes = first.bytes;
            let done = bytes.len();
            let size = usize::try_from(first.object_size).unwrap_or(usize::MAX);
            if bytes.try_reserve_exact(size - done).is_err() {
                let source = io::Error::from(io::ErrorKind::OutOfMemory);
                return Err(ObjectError::Io { key: key.clone(), source });
            }
            bytes.resize(size, 0);
            object.read_at(done as u64, &mut bytes[done..])?;
            return Ok(bytes);
        }
        let bytes = self.inner.home.get(key)?;
        let size = bytes.len() as u64;
        for (index, block) in bytes.chunks(BLOCK as usize).enumerate() {
            self.inner.keep(key, size, index as u64, block);
        }
        Ok(bytes)
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        if !(self.inner.is_immutable)(key) {
            return self.inner.home.open(key);
        }
        if let Some(first) = self.inner.look(key, 0, None) {
            return Ok(Box::new(CachedObject::new(&self.inner, key, first.object_size)));
        }
        let remote = self.inner.home.open(key)?;
        let object = CachedObject::new(&self.inner, key, remote.size());
        object.remote.get_or_init(|| remote);
        Ok(Box::new(object))
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        self.inner.home.list(prefix)
    }

    fn names(&self, prefix: &Key) -> Result<Vec<Key>, ObjectError> {
        self.inner.home.names(prefix)
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        self.changing(key, |home| home.delete(key))
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        self.inner.home.settle(folder)
    }
}

/// An object read through the cache. The home is asked only for what the cache lacks.
struct CachedObject {
    inner: Arc<Inner>,
    key: Key,
    size: u64,
    remote: OnceLock<Box<dyn Object>>,
}

impl CachedObject {
    fn new(inner: &Arc<Inner>, key: &Key, size: u64) -> CachedObject {
        CachedObject { inner: inner.clone(), key: key.clone(), size, remote: OnceLock::new() }
    }

    fn remote(&self) -> Result<&dyn Object, ObjectError> {
        if let Some(remote) = self.remote.get() {
            return Ok(&**remote);
        }
        let remote = self.inner.home.open(&self.key)?;
        if remote.size() != self.size {
            return Err(ObjectError::NotFound(self.key.clone()));
        }
        Ok(&**self.remote.get_or_init(|| remote))
    }

    /// Copies what block `index` has of `[offset, offset + buf.len())`.
    fn copy(&self, index: u64, block: &[u8], offset: u64, buf: &mut [u8]) {
        let start = index * BLOCK;
        let from = offset.max(start);
        let to = (offset + buf.len() as u64).min(start + block.len() as u64);
        let (target, source) = ((from - offset) as usize, (from - start) as usize);
        let n = (to - from) as usize;
        buf[target..target + n].copy_from_slice(&block[source..source + n]);
    }

    /// Fetches the blocks from `first` to before `end`, at most `RUN`, and returns how many it did.
    fn fetch(&self, first: u64, end: u64, offset: u64, buf: &mut [u8]) -> Result<u64, ObjectError> {
        let _alone = self.inner.lock(&self.key, first);
        // Someone else may have fetched it while we waited.
        if let Some(block) = self.inner.look(&self.key, first, Some(self.size)) {
            self.copy(first, &block.bytes, offset, buf);
            return Ok(1);
        }
        let missing = (first + 1..end.min(first + RUN)).take_while(|index| !self.has(*index)).count() as u64 + 1;
        let (from, to) = (first * BLOCK, self.size.min((first + missing) * BLOCK));
        let mut bytes = vec![0; (to - from) as usize];
        self.remote()?.read_at(from, &mut bytes)?;
        for (index, block) in (first..).zip(bytes.chunks(BLOCK as usize)) {
            self.inner.keep(&self.key, self.size, index, block);
            self.copy(index, block, offset, buf);
        }
        Ok(missing)
    }

    fn has(&self, index: u64) -> bool {
        self.inner.blocks.has(&self.key, index)
    }
}

impl Object for CachedObject {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| ObjectError::Short(self.key.clone()))?;
        if buf.is_empty() {
            return Ok(());
        }
        let (mut index, end) = (offset / BLOCK, end.div_ceil(BLOCK));
        while index < end {
            index += match self.inner.look(&self.key, index, Some(self.size)) {
                Some(block) => {
                    self.copy(index, &block.bytes, offset, buf);
                    1
                }
                None => self.fetch(index, end, offset, buf)?,
            };
        }
        Ok(())
    }
}
