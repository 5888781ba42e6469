//! The rows of a vault's ledger, sorted by what they are.
//!
//! Never knows: whether what rows point to is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::Rows;
use crate::bytes::{Id, Malformed};
use crate::rows::{Gap, Machine, PackPlace, Point, Row, Span, SpanKey, Suspension, row};

/// What the ledger says. Rows that are not as rows.md says are in `bad`.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) machines: BTreeMap<Id, Machine>,
    pub(crate) names: BTreeMap<String, Id>,
    pub(crate) points: BTreeMap<(Id, u64), Point>,
    pub(crate) spans: BTreeMap<SpanKey, Span>,
    pub(crate) packs: BTreeMap<Id, PackPlace>,
    pub(crate) refers: BTreeSet<(Id, SpanKey)>,
    pub(crate) garbage: BTreeSet<Id>,
    pub(crate) banned: BTreeSet<Id>,
    pub(crate) intervals: BTreeMap<Id, u64>,
    pub(crate) suspensions: BTreeMap<Id, Suspension>,
    pub(crate) gaps: BTreeMap<(Id, u64), Gap>,
    pub(crate) bad: Vec<(Vec<u8>, Malformed)>,
}

impl Catalog {
    pub(crate) fn read(rows: &Rows) -> Self {
        let mut catalog = Self::default();
        for (key, value) in rows {
            match row(key, value) {
                Ok(row) => catalog.add(row),
                Err(e) => catalog.bad.push((key.clone(), e)),
            }
        }
        catalog
    }

    fn add(&mut self, row: Row) {
        match row {
            Row::Machine(id, machine) => drop(self.machines.insert(id, machine)),
            Row::Name(name, id) => drop(self.names.insert(name, id)),
            Row::Point(id, number, point) => drop(self.points.insert((id, number), point)),
            Row::Span(key, span) => drop(self.spans.insert(key, span)),
            Row::Pack(id, place) => drop(self.packs.insert(id, place)),
            Row::Refers(pack, span) => drop(self.refers.insert((pack, span))),
            Row::Garbage(pack, _) => drop(self.garbage.insert(pack)),
            Row::Banned(object, _) => drop(self.banned.insert(object)),
            Row::Setting(_) => {}
            Row::Interval(id, every) => drop(self.intervals.insert(id, every)),
            Row::Suspension(id, suspension) => drop(self.suspensions.insert(id, suspension)),
            Row::Gap(id, number, gap) => drop(self.gaps.insert((id, number), gap)),
        }
    }

    /// The spans of a machine that end at `to`, the one that begins earliest
    /// first.
    pub(crate) fn ending(&self, machine: Id, to: u64) -> Vec<SpanKey> {
        let key = |from| SpanKey { machine, to, from };
        self.spans.range(key(0)..=key(u64::MAX)).map(|(key, _)| *key).collect()
    }

    /// All spans of a machine, by where they end.
    pub(crate) fn spans_of(&self, machine: Id) -> impl Iterator<Item = (&SpanKey, &Span)> {
        let least = SpanKey { machine, to: 0, from: 0 };
        let most = SpanKey { machine, to: u64::MAX, from: u64::MAX };
        self.spans.range(least..=most)
    }

    /// The points of a machine, oldest first.
    pub(crate) fn points_of(&self, machine: Id) -> impl Iterator<Item = (u64, &Point)> {
        self.points.range((machine, 0)..=(machine, u64::MAX)).map(|((_, number), point)| (*number, point))
    }
}
