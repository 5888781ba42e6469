//! Gaps: times without points, and why. Suspensions, which make them on purpose.
//!
//! What was promised, and for how long nothing is wanted, are rows of the vault, so that any process on any machine sees them.
//! A gap is told by the point that ends it, in the same entry, for only then is it known; by what was promised when it began.
//!
//! Never knows: how points are made, or who waits for them.

use std::ops::Bound;

use backstay_format::ledger::Change;
use backstay_format::rows::gap::{Cause, GapRow, IntervalRow, SuspensionRow, Why};
use backstay_format::rows::{PointRow, RowKey};
use backstay_format::units::{MachineId, PointNo, Timestamp};
use backstay_store::ledger::View;
use backstay_timeline::gap::{gap, is_gap, is_suspended};

use crate::rows::{Machine, Point, decoded, delete, find_machine, point, row_key, set};
use crate::{Vault, VaultError};

/// What who makes a point promises, and what kept points from being made since the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Nanoseconds until the next point; 0: nothing is promised.
    pub every: u64,
    /// Why there was none, as far as it is known. Told only if there was a gap.
    pub causes: Vec<Cause>,
}

/// The gaps of a timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Those that ended, with the number of the point that ended each.
    pub closed: Vec<(PointNo, GapRow)>,
    /// One that has not ended; it ends `to` now.
    pub open: Option<GapRow>,
    /// Points are suspended now.
    pub suspended: Option<SuspensionRow>,
}

impl Vault {
    /// No points of a machine are wanted for `length` nanoseconds from now. One that lasts is made longer or shorter.
    ///
    /// # Errors
    /// [`VaultError::NoMachine`].
    pub fn suspend(&self, machine: &str, reason: &str, length: u64) -> Result<SuspensionRow, VaultError> {
        let now = self.seams.clock.now();
        let until = Timestamp(now.0.saturating_add_unsigned(length));
        let mut made = None;
        self.ledger.commit(("suspend", now), |view| {
            let machine = found(view, machine)?;
            let before = suspension_in(view, machine.id)?.filter(|row| is_suspended(row, now));
            let since = before.map_or(now, |row| row.since.min(now));
            let row = SuspensionRow { since, until, reason: reason.to_owned() };
            let change = set(RowKey::Suspension(machine.id), row.encode());
            made = Some(row);
            Ok::<_, VaultError>(vec![change])
        })?;
        Ok(made.expect("a commit that succeeded was decided on"))
    }

    /// Points of a machine are wanted again. The suspension that this ended; `None` if there was none.
    ///
    /// # Errors
    /// [`VaultError::NoMachine`].
    pub fn resume(&self, machine: &str) -> Result<Option<SuspensionRow>, VaultError> {
        let now = self.seams.clock.now();
        let mut ended = None;
        self.ledger.commit(("resume", now), |view| {
            let machine = found(view, machine)?;
            ended = suspension_in(view, machine.id)?.filter(|row| is_suspended(row, now));
            let Some(row) = ended.clone() else { return Ok::<_, VaultError>(Vec::new()) };
            // It stays, for the next point to tell.
            let over = SuspensionRow { since: row.since.min(now), until: now, ..row };
            Ok(vec![set(RowKey::Suspension(machine.id), over.encode())])
        })?;
        Ok(ended)
    }

    /// Whether points of a machine are suspended now, as far as everybody knows. A machine that is not there is not.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn suspension(&self, machine: &str) -> Result<Option<SuspensionRow>, VaultError> {
        let view = self.ledger.refresh()?;
        let Some(machine) = find_machine(&view, machine)? else { return Ok(None) };
        let now = self.seams.clock.now();
        Ok(suspension_in(&view, machine.id)?.filter(|row| is_suspended(row, now)))
    }

    /// Nobody promises points of a machine any more: times without them are no gaps.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn promise_nothing(&self, machine: &str) -> Result<(), VaultError> {
        self.ledger.commit(("unfollow", self.seams.clock.now()), |view| {
            let Some(machine) = find_machine(view, machine)? else { return Ok::<_, VaultError>(Vec::new()) };
            let promised = interval_in(view, machine.id)?;
            Ok(promised.map(|_| delete(RowKey::Interval(machine.id))).into_iter().collect())
        })?;
        Ok(())
    }

    /// How often points of a machine are promised, in nanoseconds from one to the next; `None`: nothing is.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn promised(&self, machine: &Machine) -> Result<Option<u64>, VaultError> {
        Ok(interval_in(&self.ledger.view(), machine.id)?.map(|row| row.every))
    }

    /// The gaps of a machine's timeline, up to now, oldest first.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn gaps(&self, machine: &Machine) -> Result<Gaps, VaultError> {
        let (view, now) = (self.ledger.view(), self.seams.clock.now());
        let closed = closed_in(&view, machine.id)?;
        let suspended = suspension_in(&view, machine.id)?.filter(|row| is_suspended(row, now));
        let newest = newest_in(&view, machine.id)?;
        let open = newest.map(|newest| gap_since(&view, machine.id, &newest, (now, Vec::new()))).transpose()?;
        Ok(Gaps { closed, open: open.flatten(), suspended })
    }

    /// Gaps before the oldest point are of no timeline.
    pub(crate) fn trim_gaps(&self, machine: MachineId) -> Result<(), VaultError> {
        self.ledger.commit(("forget", self.seams.clock.now()), |view| {
            let oldest = crate::rows::points_in(view, machine)?.first().map(|p| p.number);
            let is_before = |number: &PointNo| oldest.is_none_or(|oldest| *number <= oldest);
            let numbers = closed_in(view, machine)?.into_iter().map(|(number, _)| number).filter(is_before);
            Ok::<_, VaultError>(numbers.map(|number| delete(RowKey::Gap(machine, number))).collect())
        })?;
        Ok(())
    }
}

/// What a new point says of the time before it, and promises.
pub(crate) fn changes(
    view: &View,
    (machine, number): (MachineId, PointNo),
    row: &PointRow,
    promise: &Promise,
) -> Result<Vec<Change>, VaultError> {
    let mut changes = Vec::new();
    if let Some(newest) = newest_in(view, machine)? {
        let gap = gap_since(view, machine, &newest, (row.time, promise.causes.clone()))?;
        changes.extend(gap.map(|gap| set(RowKey::Gap(machine, number), gap.encode())));
    }
    if suspension_in(view, machine)?.is_some_and(|suspension| !is_suspended(&suspension, row.time)) {
        changes.push(delete(RowKey::Suspension(machine)));
    }
    let promised = interval_in(view, machine)?.map_or(0, |row| row.every);
    match promise.every {
        every if every == promised => {}
        0 => changes.push(delete(RowKey::Interval(machine))),
        every => changes.push(set(RowKey::Interval(machine), IntervalRow { every }.encode())),
    }
    Ok(changes)
}

/// The gap from the newest point until some moment, if it is one: by what was promised, or, where nothing was, because points
/// were suspended.
fn gap_since(
    view: &View,
    machine: MachineId,
    newest: &Point,
    (to, mut causes): (Timestamp, Vec<Cause>),
) -> Result<Option<GapRow>, VaultError> {
    let from = newest.row.time;
    // Where the clock was set back, there was no time between.
    let suspension = suspension_in(view, machine)?.filter(|row| from < to && row.since < to && from < row.until);
    let promised = interval_in(view, machine)?;
    let is_gap = match &promised {
        Some(row) => is_gap(from, to, row.every),
        None => suspension.is_some(),
    };
    // Where nothing was promised, nothing else was amiss.
    let every = promised.map_or(u64::MAX, |row| row.every);
    causes.extend(suspension.into_iter().flat_map(|row| of_suspension(row, (to, every))));
    Ok(is_gap.then(|| gap((from, to), every, causes)))
}

/// What a suspension says of a gap; and that nobody says anything of what came after it.
fn of_suspension(row: SuspensionRow, (to, every): (Timestamp, u64)) -> Vec<Cause> {
    let after = Cause { since: row.until, why: Why::Unknown, text: String::new() };
    let mut causes = vec![Cause { since: row.since, why: Why::Suspended, text: row.reason }];
    causes.extend(is_gap(row.until, to, every).then_some(after));
    causes
}

fn found(view: &View, name: &str) -> Result<Machine, VaultError> {
    find_machine(view, name)?.ok_or_else(|| VaultError::NoMachine(name.to_owned()))
}

fn suspension_in(view: &View, machine: MachineId) -> Result<Option<SuspensionRow>, VaultError> {
    let value = view.get(&RowKey::Suspension(machine).encode())?;
    value.map(|value| decoded("suspension", SuspensionRow::decode(&value))).transpose()
}

fn interval_in(view: &View, machine: MachineId) -> Result<Option<IntervalRow>, VaultError> {
    let value = view.get(&RowKey::Interval(machine).encode())?;
    value.map(|value| decoded("interval", IntervalRow::decode(&value))).transpose()
}

fn closed_in(view: &View, machine: MachineId) -> Result<Vec<(PointNo, GapRow)>, VaultError> {
    let rows = view.prefix(&[b"a", &machine.0[..]].concat())?;
    let one = |(key, value): &(Vec<u8>, Vec<u8>)| match row_key(key)? {
        RowKey::Gap(_, number) => Ok((number, decoded("gap", GapRow::decode(value))?)),
        _ => Err(VaultError::NoWay),
    };
    rows.iter().map(one).collect()
}

fn newest_in(view: &View, machine: MachineId) -> Result<Option<Point>, VaultError> {
    let first = RowKey::Point(machine, PointNo(0)).encode();
    let last = RowKey::Point(machine, PointNo(u64::MAX)).encode();
    let newest = view.last_in(Bound::Included(&first), Bound::Included(&last))?;
    newest.map(|(key, value)| point(&key, &value)).transpose()
}
