//! What a timeline's points come to: sums over blocks of at most 64 neighbours, kept in memory for each part of the ledger.
//!
//! A part never changes, and what is known of it never goes stale; what changed since the ledger's last state is looked at anew each
//! time, and that is little. So after points came, went or were replaced there is nothing to bring up to date. A block takes 96
//! bytes: ten million points take about 15 MB, eight times that at worst; they are read once, when they are first asked about.
//!
//! Never knows: who asks.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_format::rows::RowKey;
use backstay_format::units::{MachineId, PointNo, Timestamp};
use backstay_store::ledger::{PartId, Piece, View};

use crate::points::of_block;
use crate::rows::{Point, point, row_key};
use crate::{Vault, VaultError};

/// Points in a block, at most.
const MOST: u64 = 64;
/// From so many points on a block ends before a time without points that is as long as all of it: a picture shows where there are none.
const FEW: u64 = 8;
/// Parts of the ledger that are read for a picture, at most, because borders of its columns cut blocks in them.
pub(crate) const READ: usize = 64;
/// From so many parts on that are not known yet, one who asks learns them, and others wait for that.
const MANY: usize = 16;

/// What some points come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many they are.
    pub points: u64,
    /// Pages found changed.
    pub changed: u64,
    /// Bytes added to packs.
    pub stored: u64,
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes of their disks.
    pub disks: u64,
    /// The longest time for which writers were held still for one of them, in nanoseconds.
    pub held: u64,
}

/// What a timeline comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Of all its points.
    pub sums: Sums,
    /// The earliest moment of any of them.
    pub earliest: Timestamp,
    /// The latest moment.
    pub latest: Timestamp,
}

/// Neighbours in a timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) machine: MachineId,
    /// The first and the last number.
    pub(crate) numbers: (PointNo, PointNo),
    /// The earliest and the latest moment.
    pub(crate) times: (Timestamp, Timestamp),
    sums: Sums,
}

/// The blocks of a part of the ledger, of one machine or of several.
pub(crate) struct Part {
    pub(crate) blocks: Vec<Block>,
    /// The earliest and the latest moment of any of them.
    times: (Timestamp, Timestamp),
}

/// What is known of the parts that were looked at.
#[derive(Default)]
pub(crate) struct Figures {
    known: Mutex<HashMap<PartId, Arc<Part>>>,
    learning: Mutex<()>,
}

impl Sums {
    fn of(point: &Point) -> Sums {
        let row = &point.row;
        let disks = row.disks.iter().map(|disk| disk.size).fold(0, u64::saturating_add);
        Sums { points: 1, changed: row.changed, stored: row.stored, read: row.read, disks, held: row.held }
    }

    /// With what others come to.
    pub fn add(&mut self, other: &Sums) {
        self.points += other.points;
        // What rows say may be anything.
        self.changed = self.changed.saturating_add(other.changed);
        self.stored = self.stored.saturating_add(other.stored);
        self.read = self.read.saturating_add(other.read);
        self.disks = self.disks.saturating_add(other.disks);
        self.held = self.held.max(other.held);
    }

    /// The share of one point, if all had the same; shares of all points come to the whole. The longest time is that of each.
    fn share(&self, which: u64) -> Sums {
        let of = |whole: u64| {
            let up_to = |n: u64| u128::from(whole) * u128::from(n) / u128::from(self.points);
            (up_to(which + 1) - up_to(which)) as u64
        };
        Sums {
            points: 1,
            changed: of(self.changed),
            stored: of(self.stored),
            read: of(self.read),
            disks: of(self.disks),
            held: self.held,
        }
    }
}

impl Block {
    fn new(machine: MachineId, point: &Point) -> Block {
        let (number, time) = (point.number, point.row.time);
        Block { machine, numbers: (number, number), times: (time, time), sums: Sums::of(point) }
    }

    fn has_room(&self, machine: MachineId, point: &Point) -> bool {
        let length = self.times.1.0.saturating_sub(self.times.0.0);
        let pause = point.row.time.0.saturating_sub(self.times.1.0);
        self.machine == machine && self.sums.points < MOST && (self.sums.points < FEW || pause < length.max(1))
    }

    fn add(&mut self, point: &Point) {
        self.numbers.1 = point.number;
        self.times = (self.times.0.min(point.row.time), self.times.1.max(point.row.time));
        self.sums.add(&Sums::of(point));
    }

    /// When its points were, if the time between them was always the same.
    pub(crate) fn spread(&self) -> impl Iterator<Item = (Timestamp, Sums)> {
        let (from, sums, last) = (self.times.0, self.sums, self.sums.points.saturating_sub(1).max(1));
        let length = i128::from(self.times.1.0) - i128::from(from.0);
        (0..sums.points).map(move |which| {
            let later = length * i128::from(which) / i128::from(last);
            (Timestamp((i128::from(from.0) + later) as i64), sums.share(which))
        })
    }
}

impl Figures {
    fn known(&self, parts: &[Piece]) -> Vec<Option<Arc<Part>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|piece| known.get(&piece.part?).cloned()).collect()
    }

    /// Keeps what was learned; forgets parts that are gone, once these are many.
    fn learn(&self, learned: Vec<(PartId, Arc<Part>)>, view: &View) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(learned);
        let there = || view.pieces(Bound::Included(b"p"), Bound::Excluded(b"q"));
        if known.len() > 64 && known.len() / 2 > there().len() {
            let live: HashSet<PartId> = there().iter().filter_map(|piece| piece.part).collect();
            known.retain(|part, _| live.contains(part));
        }
    }
}

impl Part {
    /// Whether it may hold points between two moments.
    pub(crate) fn may_be_in(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
        from.is_none_or(|from| self.times.1 >= from) && to.is_none_or(|to| self.times.0 <= to)
    }
}

/// The blocks of a piece of the ledger.
fn part_of(view: &View, piece: &Piece) -> Result<Arc<Part>, VaultError> {
    let mut blocks: Vec<Block> = Vec::new();
    for (key, value) in view.piece_rows(piece)?.iter().filter(|(key, _)| key.first() == Some(&b'p')) {
        let RowKey::Point(machine, _) = row_key(key)? else { continue };
        let point = point(key, value)?;
        match blocks.last_mut().filter(|block| block.has_room(machine, &point)) {
            Some(block) => block.add(&point),
            None => blocks.push(Block::new(machine, &point)),
        }
    }
    let times = blocks.iter().map(|block| block.times);
    let times = times.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
    Ok(Arc::new(Part { blocks, times: times.unwrap_or((Timestamp(i64::MAX), Timestamp(i64::MIN))) }))
}

impl Vault {
    /// Parts with the blocks of a machine's points, in the order of their numbers, and perhaps with some of other machines.
    pub(crate) fn parts(&self, view: &View, machine: MachineId) -> Result<Vec<Arc<Part>>, VaultError> {
        let (first, last) = (RowKey::Point(machine, PointNo(0)), RowKey::Point(machine, PointNo(u64::MAX)));
        self.parts_in(view, &first.encode(), &last.encode())
    }

    fn parts_in(&self, view: &View, first: &[u8], last: &[u8]) -> Result<Vec<Arc<Part>>, VaultError> {
        let pieces = view.pieces(Bound::Included(first), Bound::Included(last));
        let mut known = self.figures.known(&pieces);
        let lacking =
            pieces.iter().zip(&known).filter(|(piece, known)| piece.part.is_some() && known.is_none()).count();
        let _alone = (lacking >= MANY).then(|| {
            let alone = self.figures.learning.lock().unwrap_or_else(PoisonError::into_inner);
            known = self.figures.known(&pieces);
            alone
        });
        let (mut found, mut learned) = (Vec::with_capacity(pieces.len()), Vec::new());
        for (piece, known) in pieces.iter().zip(known) {
            found.push(match known {
                Some(part) => part,
                None => {
                    let part = part_of(view, piece)?;
                    learned.extend(piece.part.map(|id| (id, part.clone())));
                    part
                }
            });
        }
        if !learned.is_empty() {
            self.figures.learn(learned, view);
        }
        Ok(found)
    }

    /// Looks at all points of all machines once, so that whoever asks next need not wait.
    ///
    /// # Errors
    /// [`VaultError`]; what was learned stays.
    pub fn learn_figures(&self) -> Result<(), VaultError> {
        self.parts_in(&self.ledger.view(), b"p", b"q").map(drop)
    }

    /// What a machine's points come to; `None`: it has none.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn totals(&self, machine: MachineId) -> Result<Option<Totals>, VaultError> {
        let mut totals: Option<Totals> = None;
        for block in self.parts(&self.ledger.view(), machine)?.iter().flat_map(|part| &part.blocks) {
            if block.machine != machine {
                continue;
            }
            let (earliest, latest) = block.times;
            let all = totals.get_or_insert(Totals { sums: Sums::default(), earliest, latest });
            (all.earliest, all.latest) = (all.earliest.min(earliest), all.latest.max(latest));
            all.sums.add(&block.sums);
        }
        Ok(totals)
    }

    /// What a machine's points come to in each of equal times from one moment to another, both included. Exact, but where a picture
    /// shows so much time that borders of its columns cut blocks in more than 64 parts of the ledger, of some hundred points each:
    /// there the points of a block that is cut, at most 64, count as if they followed each other at equal times. No point is lost or
    /// counted twice.
    ///
    /// # Errors
    /// [`VaultError`].
    ///
    /// # Panics
    /// When there are no columns, or the first moment is after the second.
    pub fn columns(
        &self,
        machine: MachineId,
        (from, to): (Timestamp, Timestamp),
        columns: usize,
    ) -> Result<Vec<Sums>, VaultError> {
        let mut picture = Picture::new((from, to), columns);
        let view = self.ledger.view();
        let parts = self.parts(&view, machine)?;
        // Blocks that borders cut, by part.
        let mut cut: Vec<Vec<&Block>> = Vec::new();
        for part in parts.iter().filter(|part| part.may_be_in(Some(from), Some(to))) {
            let meant = |block: &&Block| block.machine == machine && block.times.1 >= from && block.times.0 <= to;
            let (mut here, blocks) = (Vec::new(), part.blocks.iter().filter(meant));
            for block in blocks {
                match (picture.column(block.times.0), picture.column(block.times.1)) {
                    (Some(first), Some(last)) if first == last => picture.sums[first].add(&block.sums),
                    _ => here.push(block),
                }
            }
            cut.extend((!here.is_empty()).then_some(here));
        }
        let is_exact = cut.len() <= READ;
        for block in cut.into_iter().flatten() {
            match is_exact {
                true => of_block(&view, block)?.iter().for_each(|p| picture.add(p.row.time, &Sums::of(p))),
                false => block.spread().for_each(|(time, sums)| picture.add(time, &sums)),
            }
        }
        Ok(picture.sums)
    }
}

/// Columns of equal times.
pub(crate) struct Picture {
    from: Timestamp,
    to: Timestamp,
    pub(crate) sums: Vec<Sums>,
}

impl Picture {
    /// Nothing is in its columns yet.
    ///
    /// # Panics
    /// When there are no columns, or the first moment is after the second.
    pub(crate) fn new((from, to): (Timestamp, Timestamp), columns: usize) -> Picture {
        assert!(columns > 0 && from <= to, "a picture without columns or time");
        Picture { from, to, sums: vec![Sums::default(); columns] }
    }

    /// In which column a moment is; `None`: it is in none.
    fn column(&self, time: Timestamp) -> Option<usize> {
        if time < self.from || time > self.to {
            return None;
        }
        let length = (i128::from(self.to.0) - i128::from(self.from.0)).max(1);
        let at = (i128::from(time.0) - i128::from(self.from.0)) * self.sums.len() as i128 / length;
        // The last moment belongs to the last column.
        Some((at as usize).min(self.sums.len() - 1))
    }

    pub(crate) fn add(&mut self, time: Timestamp, sums: &Sums) {
        if let Some(column) = self.column(time) {
            self.sums[column].add(sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_to_the_whole() {
        let sums = Sums { points: 7, changed: 100, stored: 3, read: u64::MAX, disks: 0, held: 5 };
        let block = Block {
            machine: MachineId([0; 16]),
            numbers: (PointNo(1), PointNo(7)),
            times: (Timestamp(i64::MIN), Timestamp(i64::MAX)),
            sums,
        };
        let mut whole = Sums::default();
        block.spread().for_each(|(_, share)| whole.add(&share));
        assert_eq!(whole, sums);
        let times: Vec<Timestamp> = block.spread().map(|(time, _)| time).collect();
        assert!(times.is_sorted() && times.first() == Some(&block.times.0) && times.last() == Some(&block.times.1));
    }

    #[test]
    fn each_moment_is_in_one_column() {
        let picture = |from, to, columns| Picture {
            from: Timestamp(from),
            to: Timestamp(to),
            sums: vec![Sums::default(); columns],
        };
        let two = picture(0, 100, 2);
        let columns = [-1, 0, 49, 50, 99, 100, 101].map(|time| two.column(Timestamp(time)));
        assert_eq!(columns, [None, Some(0), Some(0), Some(1), Some(1), Some(1), None]);
        assert_eq!(picture(i64::MIN, i64::MAX, 3).column(Timestamp(0)), Some(1));
        assert_eq!(picture(0, 0, 1).column(Timestamp(0)), Some(0));
    }
}
