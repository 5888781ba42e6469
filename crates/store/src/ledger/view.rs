//! Rows at one entry: parts of the last state, and over them what changed since.
//!
//! Never knows: writers.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_format::ledger::{Change, PartRef, Row, Rows};
use backstay_format::units::Digest;

use super::LedgerError;
use super::io::LedgerIo;
use super::rescue::rescue;

/// Rows at one entry. Cheap to keep: parts are read when asked for.
#[derive(Clone)]
pub struct View {
    io: Arc<LedgerIo>,
    seq: u64,
    last: Digest,
    state: StateAt,
    overlay: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// The state that a view rests on.
#[derive(Clone, Default)]
pub(super) struct StateAt {
    /// The entry it includes last; 0: none.
    pub(super) seq: u64,
    /// Digest of that entry.
    pub(super) last: Option<Digest>,
    /// Its parts.
    pub(super) parts: Vec<Arc<Part>>,
}

/// A part, and its rows once they were read.
pub(super) struct Part {
    pub(super) place: PartRef,
    read: Mutex<Option<Read>>,
}

/// Rows of a part.
#[derive(Clone)]
struct Read {
    rows: Arc<Rows>,
    /// They come from elsewhere: the part itself is lost.
    rescued: bool,
}

impl Part {
    pub(super) fn new(place: PartRef) -> Self {
        Part { place, read: Mutex::new(None) }
    }

    /// Whether its rows are not where a state says, so that a state to come should hold them again.
    pub(super) fn is_lost(&self) -> bool {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|read| read.rescued)
    }

    fn rows(
        &self,
        io: &LedgerIo,
        rescue: impl FnOnce(LedgerError) -> Result<Rows, LedgerError>,
    ) -> Result<Arc<Rows>, LedgerError> {
        let mut cached = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = &*cached {
            return Ok(read.rows.clone());
        }
        let (rows, rescued) = match io.read_part(&self.place) {
            Err(error) if error.is_damage() => (rescue(error)?, true),
            read => (read?, false),
        };
        let rows = Arc::new(rows);
        *cached = Some(Read { rows: rows.clone(), rescued });
        Ok(rows)
    }
}

impl View {
    pub(super) fn new(io: Arc<LedgerIo>, state: StateAt) -> Self {
        let (seq, last) = (state.seq, state.last.unwrap_or(Digest([0; 32])));
        View { io, seq, last, state, overlay: BTreeMap::new() }
    }

    /// Number of the newest entry in it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn last(&self) -> Digest {
        self.last
    }

    pub(super) fn entries_since_state(&self) -> u64 {
        self.seq - self.state.seq
    }

    pub(super) fn state(&self) -> &StateAt {
        &self.state
    }

    pub(super) fn changed_keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.overlay.keys()
    }

    pub(super) fn apply(&mut self, changes: Vec<Change>, digest: Digest) {
        self.overlay.extend(changes.into_iter().map(|c| (c.key, c.value)));
        self.seq += 1;
        self.last = digest;
    }

    /// Rests on a newer state of the same entry.
    pub(super) fn rebase(&mut self, state: StateAt) {
        assert_eq!(state.seq, self.seq, "a state of another entry");
        self.state = state;
        self.overlay.clear();
    }

    /// The value of a row.
    ///
    /// # Errors
    /// [`LedgerError`] when the part that may hold it cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        if let Some(value) = self.overlay.get(key) {
            return Ok(value.clone());
        }
        let after = self.state.parts.partition_point(|p| p.place.first_key.as_slice() <= key);
        let Some(index) = after.checked_sub(1) else { return Ok(None) };
        let rows = self.part(index)?;
        let found = rows.binary_search_by(|(k, _)| k.as_slice().cmp(key));
        Ok(found.ok().map(|i| rows[i].1.clone()))
    }

    /// All rows whose keys start with `prefix`, in order.
    ///
    /// # Errors
    /// [`LedgerError`] when a part with such rows cannot be read.
    pub fn prefix(&self, prefix: &[u8]) -> Result<Rows, LedgerError> {
        let end = after_prefix(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range(Bound::Included(prefix), upper)
    }

    /// All rows in a range of keys, in order.
    ///
    /// # Errors
    /// As [`View::prefix`].
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Rows, LedgerError> {
        let mut rows = BTreeMap::new();
        for index in self.parts_in(from, to) {
            let all = self.part(index)?;
            rows.extend(all.iter().filter(|(k, _)| inside(k, from, to)).cloned());
        }
        for (key, value) in self.overlay.range::<[u8], _>((from, to)) {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().collect())
    }

    /// The last row of a range. Reads as few parts as it can.
    ///
    /// # Errors
    /// As [`View::prefix`].
    pub fn last_in(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Option<Row>, LedgerError> {
        let newest = self.overlay.range::<[u8], _>((from, to)).rev().find(|(_, v)| v.is_some());
        let newest = newest.and_then(|(k, v)| Some((k.clone(), v.clone()?)));
        for index in self.parts_in(from, to).rev() {
            let rows = self.part(index)?;
            let alive = |k: &Vec<u8>| inside(k, from, to) && !self.overlay.contains_key(k);
            if let Some(row) = rows.iter().rev().find(|(k, _)| alive(k)) {
                return Ok(newest.into_iter().chain([row.clone()]).max());
            }
        }
        Ok(newest)
    }

    /// The rows of a part of the state; where it is damaged, as older states and the entries after them have them.
    fn part(&self, index: usize) -> Result<Arc<Rows>, LedgerError> {
        let parts = &self.state.parts;
        let keys = (
            Bound::Included(parts[index].place.first_key.as_slice()),
            parts.get(index + 1).map_or(Bound::Unbounded, |next| Bound::Excluded(next.place.first_key.as_slice())),
        );
        parts[index].rows(&self.io, |lost| rescue(&self.io, &self.state, keys, lost))
    }

    /// The parts that may have rows in a range.
    fn parts_in(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range<usize> {
        let parts = &self.state.parts;
        let start = match from {
            Bound::Unbounded => 0,
            Bound::Included(k) | Bound::Excluded(k) => {
                parts.partition_point(|p| p.place.first_key.as_slice() <= k).saturating_sub(1)
            }
        };
        let end = match to {
            Bound::Unbounded => parts.len(),
            Bound::Included(k) | Bound::Excluded(k) => parts.partition_point(|p| p.place.first_key.as_slice() <= k),
        };
        start..end.max(start)
    }

    /// The rows between a part's first key and the next part's, as they are now.
    pub(super) fn rows_of_part(&self, index: usize) -> Result<Rows, LedgerError> {
        let parts = &self.state.parts;
        let from = if index == 0 { Bound::Unbounded } else { Bound::Included(parts[index].place.first_key.as_slice()) };
        let to = parts.get(index + 1).map_or(Bound::Unbounded, |p| Bound::Excluded(p.place.first_key.as_slice()));
        self.range(from, to)
    }

    pub(super) fn all_rows(&self) -> Result<Rows, LedgerError> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }
}

fn inside(key: &[u8], from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    let starts = match from {
        Bound::Unbounded => true,
        Bound::Included(k) => key >= k,
        Bound::Excluded(k) => key > k,
    };
    let ends = match to {
        Bound::Unbounded => true,
        Bound::Included(k) => key <= k,
        Bound::Excluded(k) => key < k,
    };
    starts && ends
}

/// The smallest key after all keys that start with `prefix`; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}
