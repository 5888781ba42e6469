//! The rows of a vault's ledger, by type.
//!
//! Never knows: what to do with them.

use std::ops::Bound;

use backstay_format::DecodeError;
use backstay_format::ledger::Change;
use backstay_format::rows::{MachineRow, PackRow, PointRow, RowKey, SpanId, SpanRow};
use backstay_format::units::{MachineId, PackId, PointNo, Timestamp};
use backstay_store::ledger::View;

use crate::{Vault, VaultError};

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// What is known of it.
    pub row: MachineRow,
}

/// A point of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its number.
    pub number: PointNo,
    /// What is known of it.
    pub row: PointRow,
}

impl Vault {
    /// All machines, by name.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn machines(&self) -> Result<Vec<Machine>, VaultError> {
        machines_in(&self.ledger.view())
    }

    /// The machine of a name.
    ///
    /// # Errors
    /// [`VaultError::NoMachine`].
    pub fn machine(&self, name: &str) -> Result<Machine, VaultError> {
        find_machine(&self.ledger.view(), name)?.ok_or_else(|| VaultError::NoMachine(name.to_owned()))
    }

    /// All points of a machine, oldest first.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn points(&self, machine: MachineId) -> Result<Vec<Point>, VaultError> {
        points_in(&self.ledger.view(), machine)
    }

    /// A point by its number.
    ///
    /// # Errors
    /// [`VaultError::NoPoint`].
    pub fn point(&self, machine: &Machine, number: PointNo) -> Result<Point, VaultError> {
        let value = self.ledger.view().get(&RowKey::Point(machine.id, number).encode())?;
        let value = value.ok_or_else(|| VaultError::NoPoint(machine.row.name.clone()))?;
        Ok(Point { number, row: decoded("point", PointRow::decode(&value))? })
    }

    /// The number of the point before one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn number_before(&self, machine: MachineId, number: PointNo) -> Result<Option<PointNo>, VaultError> {
        let (first, end) = (RowKey::Point(machine, PointNo(0)).encode(), RowKey::Point(machine, number).encode());
        let before = self.ledger.view().last_in(Bound::Included(&first), Bound::Excluded(&end))?;
        Ok(before.map(|(key, value)| point(&key, &value)).transpose()?.map(|point| point.number))
    }

    /// The newest point not later than `at`; `None`: the newest of all. Numbers follow the order of capture; should a clock
    /// have jumped, the newest in that order wins.
    ///
    /// # Errors
    /// [`VaultError::NoPoint`].
    pub fn point_at(&self, machine: &Machine, at: Option<Timestamp>) -> Result<Point, VaultError> {
        let view = self.ledger.view();
        let mut below = machine_points_end(machine.id);
        let start = [b"p", &machine.id.0[..]].concat();
        while let Some((key, value)) = view.last_in(Bound::Included(&start), Bound::Excluded(&below))? {
            let found = point(&key, &value)?;
            if at.is_none_or(|at| found.row.time <= at) {
                return Ok(found);
            }
            below = self.skip_later(&view, machine.id, found.number, at)?;
        }
        Err(VaultError::NoPoint(machine.row.name.clone()))
    }

    /// Where to go on looking below a point that is too late: by halves, as times mostly grow with numbers.
    fn skip_later(
        &self,
        view: &View,
        machine: MachineId,
        late: PointNo,
        at: Option<Timestamp>,
    ) -> Result<Vec<u8>, VaultError> {
        let (mut low, mut high) = (0, late.0);
        let start = [b"p", &machine.0[..]].concat();
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let end = RowKey::Point(machine, PointNo(middle)).encode();
            match view.last_in(Bound::Included(&start), Bound::Included(&end))? {
                Some((key, value)) => {
                    let found = point(&key, &value)?;
                    if at.is_some_and(|at| found.row.time > at) {
                        high = found.number.0;
                    } else {
                        low = middle;
                    }
                }
                None => low = middle,
            }
        }
        Ok(RowKey::Point(machine, PointNo(high)).encode())
    }
}

/// All machines, by name.
pub(crate) fn machines_in(view: &View) -> Result<Vec<Machine>, VaultError> {
    let mut machines = Vec::new();
    for (key, value) in view.prefix(b"m")? {
        let RowKey::Machine(id) = row_key(&key)? else { continue };
        machines.push(Machine { id, row: decoded("machine", MachineRow::decode(&value))? });
    }
    machines.sort_by(|a, b| a.row.name.cmp(&b.row.name));
    Ok(machines)
}

/// All points of a machine, oldest first.
pub(crate) fn points_in(view: &View, machine: MachineId) -> Result<Vec<Point>, VaultError> {
    let rows = view.prefix(&[b"p", &machine.0[..]].concat())?;
    rows.iter().map(|(key, value)| point(key, value)).collect()
}

fn machine_points_end(machine: MachineId) -> Vec<u8> {
    let mut end = RowKey::Point(machine, PointNo(u64::MAX)).encode();
    end.push(0);
    end
}

pub(crate) fn point(key: &[u8], value: &[u8]) -> Result<Point, VaultError> {
    let RowKey::Point(_, number) = row_key(key)? else {
        return Err(VaultError::Row { what: "point".into(), source: DecodeError::Invalid("kind of row") });
    };
    Ok(Point { number, row: decoded("point", PointRow::decode(value))? })
}

pub(crate) fn find_machine(view: &View, name: &str) -> Result<Option<Machine>, VaultError> {
    let Some(id) = view.get(&RowKey::Name(name.to_owned()).encode())? else { return Ok(None) };
    let id = id.try_into().map(MachineId);
    let id = decoded("name of a machine", id.map_err(|_| DecodeError::Invalid("machine")))?;
    let row = view.get(&RowKey::Machine(id).encode())?;
    let row = decoded("machine", row.ok_or(DecodeError::Truncated).and_then(|r| MachineRow::decode(&r)))?;
    Ok(Some(Machine { id, row }))
}

/// The spans of a machine that end at a number.
pub(crate) fn spans_ending(view: &View, machine: MachineId, to: PointNo) -> Result<Vec<(SpanId, SpanRow)>, VaultError> {
    let prefix = [b"s", &machine.0[..], &to.0.to_be_bytes()].concat();
    view.prefix(&prefix)?.iter().map(|(key, value)| span(key, value)).collect()
}

/// All spans of a machine, in the order of their ends.
pub(crate) fn spans_of(view: &View, machine: MachineId) -> Result<Vec<(SpanId, SpanRow)>, VaultError> {
    let rows = view.prefix(&[b"s", &machine.0[..]].concat())?;
    rows.iter().map(|(key, value)| span(key, value)).collect()
}

/// Where the newest span of a machine ends: the number that the next capture continues.
pub(crate) fn newest_boundary(view: &View, machine: MachineId) -> Result<PointNo, VaultError> {
    let start = [b"s", &machine.0[..]].concat();
    let end = [b"s", &machine.0[..], &[0xff; 17]].concat();
    let last = view.last_in(Bound::Included(&start), Bound::Excluded(&end))?;
    Ok(match last {
        Some((key, value)) => span(&key, &value)?.0.to,
        None => PointNo::BEGINNING,
    })
}

fn span(key: &[u8], value: &[u8]) -> Result<(SpanId, SpanRow), VaultError> {
    let RowKey::Span(id) = row_key(key)? else {
        return Err(VaultError::Row { what: "span".into(), source: DecodeError::Invalid("kind of row") });
    };
    Ok((id, decoded("span", SpanRow::decode(value))?))
}

pub(crate) fn pack_row(view: &View, pack: PackId) -> Result<Option<PackRow>, VaultError> {
    let value = view.get(&RowKey::Pack(pack).encode())?;
    value.map(|v| decoded("pack", PackRow::decode(&v))).transpose()
}

pub(crate) fn row_key(key: &[u8]) -> Result<RowKey, VaultError> {
    decoded("key of a row", RowKey::decode(key))
}

pub(crate) fn decoded<T>(what: &str, outcome: Result<T, DecodeError>) -> Result<T, VaultError> {
    outcome.map_err(|source| VaultError::Row { what: what.to_owned(), source })
}

pub(crate) fn set(key: RowKey, value: Vec<u8>) -> Change {
    Change { key: key.encode(), value: Some(value) }
}

pub(crate) fn delete(key: RowKey) -> Change {
    Change { key: key.encode(), value: None }
}
