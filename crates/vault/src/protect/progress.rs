//! How far a capture is. Read from another thread while it works.
//!
//! Never knows: who looks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a capture under way.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    read: AtomicU64,
    changed: AtomicU64,
    stored: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that are to be looked at.
    pub total: u64,
    /// Bytes of these that were.
    pub done: u64,
    /// Bytes read from the source.
    pub read: u64,
    /// Pages found changed.
    pub changed_pages: u64,
    /// Bytes added to packs that were written.
    pub stored: u64,
}

impl Progress {
    /// The counts now.
    pub fn counters(&self) -> Counters {
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        Counters {
            total: get(&self.total),
            done: get(&self.done),
            read: get(&self.read),
            changed_pages: get(&self.changed),
            stored: get(&self.stored),
        }
    }

    /// So many bytes are to be looked at.
    pub fn begin(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn restart(&self) {
        for counter in [&self.done, &self.read, &self.changed, &self.stored] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// So many bytes were looked at, and of these so many read.
    pub fn looked_at(&self, bytes: u64, read: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.read.fetch_add(read, Ordering::Relaxed);
    }

    pub(super) fn changed(&self, pages: u64) {
        self.changed.fetch_add(pages, Ordering::Relaxed);
    }

    pub(super) fn stored(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }
}
