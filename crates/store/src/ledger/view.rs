//! Rows at one entry: parts of the last state, and over them what changed since.
//!
//! Never knows: writers.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, Range};
use std::sync::Arc;

use backstay_format::ledger::{Change, Row, Rows};
use backstay_format::units::Digest;

use super::LedgerError;
use super::io::LedgerIo;
use super::parts::{Part, PartId};
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
    /// Its parts: many, and the same in each view that rests on it.
    pub(super) parts: Arc<[Arc<Part>]>,
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
        Ok(self.some_in((from, to), End::Last, 1)?.pop())
    }

    /// At most `most` rows of a range, taken one by one from one of its ends. Reads as few parts as it can.
    ///
    /// # Errors
    /// As [`View::prefix`].
    pub fn some_in(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        end: End,
        most: usize,
    ) -> Result<Rows, LedgerError> {
        let mut found = Vec::new();
        let (parts, changed) = (self.parts_in(from, to), self.overlay.range::<[u8], _>((from, to)));
        match end {
            End::First => {
                let mut changed = changed.peekable();
                for index in parts {
                    let rows = self.part(index)?;
                    lay_over(between(&rows, from, to).iter(), &mut changed, |a, b| a < b, (&mut found, most));
                    if found.len() >= most {
                        return Ok(found);
                    }
                }
                take(&mut changed, |_| true, (&mut found, most));
            }
            End::Last => {
                let mut changed = changed.rev().peekable();
                for index in parts.rev() {
                    let rows = self.part(index)?;
                    lay_over(between(&rows, from, to).iter().rev(), &mut changed, |a, b| a > b, (&mut found, most));
                    if found.len() >= most {
                        return Ok(found);
                    }
                }
                take(&mut changed, |_| true, (&mut found, most));
            }
        }
        Ok(found)
    }

    /// How many rows a range has. Reads the parts that changed or that the range cuts, and no others.
    ///
    /// # Errors
    /// As [`View::prefix`].
    pub fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<u64, LedgerError> {
        let mut count = 0;
        for piece in self.pieces(from, to) {
            let whole = piece.part.is_some() && self.is_inside(piece.index, from, to);
            count += match whole {
                true => self.state.parts[piece.index].place.rows,
                false => self.piece_rows(&piece)?.iter().filter(|(k, _)| inside(k, from, to)).count() as u64,
            };
        }
        Ok(count)
    }

    /// Whether all rows of a part are in a range: the one that begins the next part is not behind its end.
    fn is_inside(&self, index: usize, from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
        let first = |index: usize| self.state.parts.get(index).map(|part| part.place.first_key.as_slice());
        first(index).is_some_and(|key| inside(key, from, to))
            && first(index + 1).is_some_and(|key| inside(key, from, to))
    }

    /// Pieces that together have all rows of a range, in order, and perhaps some before it and after it. Reads nothing.
    pub fn pieces(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<Piece> {
        if self.state.parts.is_empty() {
            return vec![Piece { index: 0, part: None }];
        }
        let range = self.parts_in(from, to);
        let mut pieces: Vec<Piece> =
            range.clone().map(|index| Piece { index, part: Some(self.state.parts[index].id()) }).collect();
        for key in self.overlay.keys() {
            let after = self.state.parts.partition_point(|part| part.place.first_key <= *key);
            let index = after.saturating_sub(1);
            if range.contains(&index) {
                pieces[index - range.start].part = None;
            }
        }
        pieces
    }

    /// The rows of a piece of this view, as they are now.
    ///
    /// # Errors
    /// As [`View::prefix`].
    pub fn piece_rows(&self, piece: &Piece) -> Result<Arc<Rows>, LedgerError> {
        match piece.part {
            Some(_) => self.part(piece.index),
            None => self.rows_of_part(piece.index).map(Arc::new),
        }
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

    /// The keys from a part's first on, up to the next part's. The first part has all before it as well.
    fn keys(&self, index: usize) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let first = |index: usize| self.state.parts.get(index).map(|part| part.place.first_key.as_slice());
        let from = first(index).filter(|_| index > 0).map_or(Bound::Unbounded, Bound::Included);
        (from, first(index + 1).map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// The rows between a part's first key and the next part's, as they are now.
    pub(super) fn rows_of_part(&self, index: usize) -> Result<Rows, LedgerError> {
        let (from, to) = self.keys(index);
        self.range(from, to)
    }

    pub(super) fn all_rows(&self) -> Result<Rows, LedgerError> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }
}

/// From which end rows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// From the first row on.
    First,
    /// From the last row back.
    Last,
}

/// Rows of a view that a state has together.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    index: usize,
    /// The part that has exactly these rows. `None`: some of them changed since.
    pub part: Option<PartId>,
}

/// A row that changed since the state.
type Changed<'v> = (&'v Vec<u8>, &'v Option<Vec<u8>>);

/// Takes rows of a part, in an order, with what changed in between and over them, until there are enough.
fn lay_over<'r, 'v>(
    rows: impl Iterator<Item = &'r Row>,
    changed: &mut Peekable<impl Iterator<Item = Changed<'v>>>,
    comes_before: impl Fn(&[u8], &[u8]) -> bool,
    (found, most): (&mut Rows, usize),
) {
    for (key, value) in rows {
        take(changed, |one| comes_before(one, key), (found, most));
        if found.len() >= most {
            return;
        }
        match changed.next_if(|(one, _)| *one == key) {
            Some((key, value)) => found.extend(value.iter().map(|value| (key.clone(), value.clone()))),
            None => found.push((key.clone(), value.clone())),
        }
    }
}

/// Takes rows that changed, for as long as they are wanted, until there are enough.
fn take<'v>(
    changed: &mut Peekable<impl Iterator<Item = Changed<'v>>>,
    wanted: impl Fn(&[u8]) -> bool,
    (found, most): (&mut Rows, usize),
) {
    while found.len() < most {
        let Some((key, value)) = changed.next_if(|(key, _)| wanted(key)) else { return };
        found.extend(value.iter().map(|value| (key.clone(), value.clone())));
    }
}

/// The rows in a range of keys, of rows that are in order.
fn between<'r>(rows: &'r [Row], from: Bound<&[u8]>, to: Bound<&[u8]>) -> &'r [Row] {
    let start = rows.partition_point(|(key, _)| match from {
        Bound::Unbounded => false,
        Bound::Included(first) => key.as_slice() < first,
        Bound::Excluded(first) => key.as_slice() <= first,
    });
    let end = rows.partition_point(|(key, _)| inside(key, Bound::Unbounded, to));
    &rows[start..end.max(start)]
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
