//! Parts of a state: their rows, read when asked for, and kept for as long as there is room.
//!
//! Never knows: what changed since the state.

use std::sync::{Arc, Mutex, PoisonError};

use backstay_format::ledger::{PartRef, Rows};
use lru::LruCache;

use super::LedgerError;
use super::io::LedgerIo;

/// Bytes of rows that a ledger keeps in memory, about: those of a million points.
const KEPT: u64 = 128 << 20;
/// What a row takes in memory besides its bytes, about.
const EACH: u64 = 80;

/// What a part is known by, for as long as its ledger lives: never those of other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    object: u64,
    offset: u64,
    len: u64,
}

/// A part of a state.
pub(super) struct Part {
    pub(super) place: PartRef,
    /// Its rows from elsewhere, if the part itself is lost.
    rescued: Mutex<Option<Arc<Rows>>>,
}

impl Part {
    pub(super) fn new(place: PartRef) -> Self {
        Part { place, rescued: Mutex::new(None) }
    }

    pub(super) fn id(&self) -> PartId {
        PartId { object: self.place.object, offset: self.place.offset, len: self.place.len }
    }

    /// Whether its rows are not where a state says, so that a state to come should hold them again.
    pub(super) fn is_lost(&self) -> bool {
        self.rescued.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn rows(
        &self,
        io: &LedgerIo,
        rescue: impl FnOnce(LedgerError) -> Result<Rows, LedgerError>,
    ) -> Result<Arc<Rows>, LedgerError> {
        if let Some(rows) = io.cache.get(self.id()) {
            return Ok(rows);
        }
        // Held while it is read, so that it is read once.
        let mut rescued = self.rescued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = rescued.clone().or_else(|| io.cache.get(self.id())) {
            return Ok(rows);
        }
        match io.read_part(&self.place) {
            Err(error) if error.is_damage() => Ok(rescued.insert(Arc::new(rescue(error)?)).clone()),
            read => {
                let rows = Arc::new(read?);
                io.cache.put(self.id(), rows.clone(), self.place.plain + EACH * self.place.rows);
                Ok(rows)
            }
        }
    }
}

/// Rows of parts that were used last.
pub(super) struct Cache(Mutex<Kept>);

struct Kept {
    rows: LruCache<PartId, (Arc<Rows>, u64)>,
    bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Cache(Mutex::new(Kept { rows: LruCache::unbounded(), bytes: 0 }))
    }
}

impl Cache {
    fn get(&self, part: PartId) -> Option<Arc<Rows>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rows.get(&part).map(|(rows, _)| rows.clone())
    }

    /// Keeps rows that take about so many bytes; those that were not used for longest go.
    fn put(&self, part: PartId, rows: Arc<Rows>, bytes: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += bytes;
        if let Some((_, before)) = kept.rows.put(part, (rows, bytes)) {
            kept.bytes -= before;
        }
        // The newest stays, however large.
        while kept.bytes > KEPT && kept.rows.len() > 1 {
            let Some((_, (_, freed))) = kept.rows.pop_lru() else { return };
            kept.bytes -= freed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let cache = Cache::default();
        let id = |object| PartId { object, offset: 0, len: 1 };
        (0..4).for_each(|n| cache.put(id(n), Arc::default(), KEPT / 4));
        assert!(cache.get(id(0)).is_some());
        cache.put(id(4), Arc::default(), KEPT / 4);
        assert!(cache.get(id(1)).is_none() && cache.get(id(0)).is_some() && cache.get(id(4)).is_some());
        cache.put(id(5), Arc::default(), 2 * KEPT);
        assert!(cache.get(id(4)).is_none() && cache.get(id(5)).is_some());
        cache.put(id(5), Arc::default(), 1);
        cache.put(id(6), Arc::default(), 1);
        assert!(cache.get(id(5)).is_some());
    }
}
