//! Some points of a timeline of millions: a page of them, in either direction, between two moments, at the cost of the page.
//!
//! Never knows: how a page is shown.

use std::ops::Bound;

use backstay_format::rows::RowKey;
use backstay_format::units::{MachineId, PointNo, Timestamp};
use backstay_store::ledger::{End, View};

use crate::figures::Block;
use crate::rows::{Point, point};
use crate::{Vault, VaultError};

/// Points taken together where all of a timeline are looked at.
const AT_ONCE: usize = 4096;

/// Which points of a timeline, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Not of before this moment.
    pub from: Option<Timestamp>,
    /// Not of after this moment.
    pub to: Option<Timestamp>,
    /// Only those that come behind this one in the order.
    pub behind: Option<PointNo>,
    /// By falling numbers.
    pub newest_first: bool,
    /// So many at most.
    pub most: usize,
}

impl Choice {
    /// The newest ones.
    pub fn newest(most: usize) -> Choice {
        Choice { from: None, to: None, behind: None, newest_first: true, most }
    }

    /// The oldest ones, behind one if it is named.
    pub fn oldest(behind: Option<PointNo>, most: usize) -> Choice {
        Choice { behind, newest_first: false, ..Choice::newest(most) }
    }

    /// Keys of the points that can be meant: from the first on, and before the second.
    fn keys(&self, machine: MachineId) -> (Vec<u8>, Vec<u8>) {
        let key = |number| RowKey::Point(machine, PointNo(number)).encode();
        let after = |number| [key(number), vec![0]].concat();
        match self.behind {
            None => (key(0), after(u64::MAX)),
            Some(PointNo(number)) if self.newest_first => (key(0), key(number)),
            Some(PointNo(number)) => (after(number), after(u64::MAX)),
        }
    }

    fn end(&self) -> End {
        if self.newest_first { End::Last } else { End::First }
    }

    fn is_between(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time <= to)
    }

    /// Whether a block may hold points that are meant.
    fn may_be_in(&self, block: &Block) -> bool {
        let behind = self.behind.is_none_or(|number| match self.newest_first {
            true => block.numbers.0 < number,
            false => block.numbers.1 > number,
        });
        behind && self.from.is_none_or(|from| block.times.1 >= from) && self.to.is_none_or(|to| block.times.0 <= to)
    }
}

impl Vault {
    /// Some points of a machine. Costs what they cost, and with moments a look at what is known of the timeline's figures, which is
    /// learned at the first look: then all points are read once. Numbers give the order; should a clock have jumped, times do not
    /// follow it, and yet all points between the two moments are found.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn some_points(&self, machine: MachineId, choice: &Choice) -> Result<Vec<Point>, VaultError> {
        let view = self.ledger.view();
        let (first, end) = choice.keys(machine);
        let keys = (Bound::Included(&first[..]), Bound::Excluded(&end[..]));
        if choice.from.is_none() && choice.to.is_none() {
            return decoded(view.some_in(keys, choice.end(), choice.most)?);
        }
        let parts = self.parts(&view, machine)?;
        let parts = parts.iter().filter(|part| part.may_be_in(choice.from, choice.to));
        let blocks = parts.flat_map(|part| &part.blocks);
        let meant = |block: &&Block| block.machine == machine && choice.may_be_in(block);
        match choice.newest_first {
            false => within(&view, blocks.filter(meant), choice),
            true => within(&view, blocks.rev().filter(meant), choice),
        }
    }

    /// How many points a machine has. Decodes none.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn count_points(&self, machine: MachineId) -> Result<u64, VaultError> {
        let (first, end) = Choice::newest(1).keys(machine);
        Ok(self.ledger.view().count(Bound::Included(&first), Bound::Excluded(&end))?)
    }

    /// Shows all points of a machine, oldest first, a few thousand of them in memory at a time.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn each_point(&self, machine: MachineId, mut look: impl FnMut(Point)) -> Result<(), VaultError> {
        let view = self.ledger.view();
        let mut choice = Choice::oldest(None, AT_ONCE);
        loop {
            let (first, end) = choice.keys(machine);
            let keys = (Bound::Included(&first[..]), Bound::Excluded(&end[..]));
            let some = decoded(view.some_in(keys, End::First, AT_ONCE)?)?;
            let Some(last) = some.last() else { return Ok(()) };
            choice.behind = Some(last.number);
            some.into_iter().for_each(&mut look);
        }
    }
}

/// The points of a block that is still as it was.
pub(crate) fn of_block(view: &View, block: &Block) -> Result<Vec<Point>, VaultError> {
    let key = |number| RowKey::Point(block.machine, number).encode();
    let (first, last) = (key(block.numbers.0), key(block.numbers.1));
    decoded(view.range(Bound::Included(&first), Bound::Included(&last))?)
}

/// Points of blocks, in the order in which these come.
fn within<'b>(view: &View, blocks: impl Iterator<Item = &'b Block>, choice: &Choice) -> Result<Vec<Point>, VaultError> {
    let mut found = Vec::new();
    for block in blocks {
        let mut points = of_block(view, block)?;
        if choice.newest_first {
            points.reverse();
        }
        let is_behind =
            |number| choice.behind.is_none_or(|from| if choice.newest_first { number < from } else { number > from });
        points.retain(|point| is_behind(point.number) && choice.is_between(point.row.time));
        found.append(&mut points);
        if found.len() >= choice.most {
            found.truncate(choice.most);
            break;
        }
    }
    Ok(found)
}

fn decoded(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<Point>, VaultError> {
    rows.iter().map(|(key, value)| point(key, value)).collect()
}
