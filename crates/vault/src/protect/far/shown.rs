//! What a machine has shown for one point.
//!
//! Never knows: what is stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use backstay_format::units::ChunkId;

/// Chunks that one machine has shown it has for one point, so that it need not show them again: each with the number of the segment
/// that it came with. A segment may rely on those before it, for these get their places first.
#[derive(Default)]
pub struct Shown {
    chunks: Mutex<HashMap<[u8; 16], u64>>,
    segments: AtomicU64,
}

impl Shown {
    /// How many are remembered: 12 to 24 MiB. What comes after is sent more than once, and stored once.
    const MOST: usize = 1 << 19;

    /// The number of the first of so many segments.
    pub(super) fn number(&self, segments: usize) -> u64 {
        self.segments.fetch_add(segments as u64, Ordering::Relaxed)
    }

    pub(super) fn has(&self, id: &ChunkId, before: u64) -> bool {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.get(&short(id)).is_some_and(|segment| *segment < before)
    }

    pub(super) fn add(&self, ids: impl Iterator<Item = ChunkId>, segment: u64) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            let full = chunks.len() >= Self::MOST;
            let known = chunks.get_mut(&short(&id));
            match known {
                Some(known) => *known = segment.min(*known),
                None if full => {}
                None => drop(chunks.insert(short(&id), segment)),
            }
        }
    }

    /// Forgets all: what was shown may not be stored any more.
    pub fn clear(&self) {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Enough of an id: nobody finds another chunk that shares so much with one that is guessed, to have it taken for shown.
fn short(id: &ChunkId) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&id.0[..16]);
    short
}
