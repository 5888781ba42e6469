//! How many points a schedule will leave of those that there are, in each of equal times: from their sums, without reading most of
//! them.
//!
//! Never knows: which schedule is meant, or whether points are ever dropped.

use std::sync::Arc;

use backstay_format::units::{MachineId, PointNo, Timestamp};
use backstay_timeline::ahead::Share;
use backstay_timeline::schedule::Schedule;

use crate::figures::{Block, Part, Picture, READ, Sums};
use crate::points::of_block;
use crate::{Vault, VaultError};

impl Vault {
    /// How many of a machine's points in each of equal times, as of [`Vault::columns`], a schedule leaves at a moment, if nothing
    /// else drops points. Exact for up to 64 parts of the ledger with points of those times; of more, the points of a block count as
    /// if they followed each other at equal times. Where a clock was set back, a point may count that shares its period with one
    /// that was made after it.
    ///
    /// # Errors
    /// [`VaultError`].
    ///
    /// # Panics
    /// As [`Vault::columns`].
    pub fn left_at(
        &self,
        machine: MachineId,
        (from, to): (Timestamp, Timestamp),
        columns: usize,
        (schedule, at): (&Schedule, Timestamp),
    ) -> Result<Vec<u64>, VaultError> {
        let view = self.ledger.view();
        let parts = self.parts(&view, machine)?;
        let is_exact = parts.iter().filter(|part| part.may_be_in(Some(from), Some(to))).count() <= READ;
        let mut left = Left { picture: Picture::new((from, to), columns), schedule, at, newer: None };
        for block in newest_first(&parts).filter(|block| block.machine == machine) {
            if block.times.1 < from || block.times.0 > to {
                left.newer = Some(block.times.0);
            } else if is_exact {
                of_block(&view, block)?.iter().rev().for_each(|point| left.look(point.row.time));
            } else {
                left.look_at(block);
            }
        }
        Ok(left.picture.sums.into_iter().map(|sums| sums.points).collect())
    }

    /// The moment of the next newer point than each of some neighbours, in the order of their numbers; `None`: it is the newest.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn newer(
        &self,
        machine: MachineId,
        points: &[(PointNo, Timestamp)],
    ) -> Result<Vec<Option<Timestamp>>, VaultError> {
        let Some((last, _)) = points.last() else { return Ok(Vec::new()) };
        let next = self.some_points(machine, &crate::points::Choice::oldest(Some(*last), 1))?;
        let next = next.first().map(|point| point.row.time);
        Ok(points.iter().skip(1).map(|(_, time)| Some(*time)).chain([next]).collect())
    }
}

fn newest_first(parts: &[Arc<Part>]) -> impl Iterator<Item = &Block> {
    parts.iter().rev().flat_map(|part| part.blocks.iter().rev())
}

/// What is left, from the newest point to the oldest.
struct Left<'s> {
    picture: Picture,
    schedule: &'s Schedule,
    at: Timestamp,
    /// The moment of the point looked at before.
    newer: Option<Timestamp>,
}

impl Left<'_> {
    fn look(&mut self, time: Timestamp) {
        // The newest of all stays.
        if self.newer.is_none_or(|newer| self.schedule.leaves(time, newer, self.at)) {
            self.picture.add(time, &Sums { points: 1, ..Sums::default() });
        }
        self.newer = Some(time);
    }

    fn look_at(&mut self, block: &Block) {
        let (oldest, newest) = block.times;
        let share = |time: Timestamp| self.schedule.share(self.at.0.saturating_sub(time.0));
        match (share(oldest), share(newest)) {
            (Share::One(one), Share::One(other)) if one == other && one.of(oldest) == one.of(newest) => {
                self.look(newest);
                self.newer = Some(oldest);
            }
            _ => {
                let times: Vec<Timestamp> = block.spread().map(|(time, _)| time).collect();
                times.into_iter().rev().for_each(|time| self.look(time));
            }
        }
    }
}
