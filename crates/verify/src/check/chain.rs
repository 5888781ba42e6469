//! Both ledgers as a whole: no gap, the chain of `previous`, each part in
//! both copies, and each state the same as the one before with the entries
//! between them.
//!
//! Never knows: what rows mean.

use std::collections::BTreeMap;

use crate::book::{Link, Rows, Source, apply};
use crate::ledger::{Domain, Entry, State};
use crate::reader::Reader;
use crate::report::{Kind, Report};

use super::small::sources;

pub(super) fn check(reader: &Reader, report: &mut Report) {
    for source in sources(reader) {
        let list = |kind: &str| source.folder.numbered(&format!("{}/{kind}", source.place)).unwrap_or_default().numbers;
        let mut ledger = Ledger { states: BTreeMap::new(), entries: BTreeMap::new() };
        for number in list("state") {
            // One that cannot be read has been named already.
            ledger.states.extend(source.state(number).ok().map(|state| (number, state)));
        }
        let numbers = list("entry");
        for &number in &numbers {
            ledger.entries.extend(source.entry(number).ok().map(|entry| (number, entry)));
        }
        gaps(&source, &list("state"), &numbers, report);
        links(&source, &ledger, report);
        replay(&source, &ledger, report);
        if source.domain == Domain::Ledger {
            history(&source, &ledger, &list("state"), report);
        }
    }
    report.seen.rows += reader.key_rows.len() as u64;
}

struct Ledger {
    states: BTreeMap<u64, State>,
    entries: BTreeMap<u64, (Entry, Link)>,
}

/// All entries after the older of the two newest states must be there. With
/// one state or none, that is all entries.
fn gaps(source: &Source<'_>, states: &[u64], entries: &[u64], report: &mut Report) {
    let older = states.iter().rev().nth(1).copied().unwrap_or(0);
    let newest = entries.last().max(states.last()).copied().unwrap_or(0);
    if newest == 0 {
        // A key table starts with a bucket; a ledger may still be empty.
        if source.domain == Domain::KeyTable {
            report.find(Kind::Ledger, &source.place, "has no entry");
        }
        return;
    }
    let mut due = older.saturating_add(1);
    for &number in entries.iter().filter(|&&number| number > older).chain([&(newest.saturating_add(1))]) {
        if number > due {
            let text = format!("is missing, and so are those up to before {number:016x}");
            report.find(Kind::Ledger, source.name("entry", due), text);
        }
        due = number.saturating_add(1);
    }
}

fn links(source: &Source<'_>, ledger: &Ledger, report: &mut Report) {
    for (&number, (entry, own)) in &ledger.entries {
        let before = match number {
            0 => None,
            1 => Some([0; 32]),
            _ => ledger.entries.get(&(number - 1)).map(|(_, link)| *link),
        };
        if number == 0 {
            report.find(Kind::Ledger, source.name("entry", 0), "entries are numbered from 1");
        }
        if before.is_some_and(|link| link != entry.previous) {
            report.find(Kind::Ledger, source.name("entry", number), "its `previous` is not the entry before");
        }
        if let Some(state) = ledger.states.get(&number)
            && state.last != *own
        {
            report.find(Kind::Ledger, source.name("state", number), "its `last` is not the entry of its number");
        }
        if let Some(state) = number.checked_sub(1).and_then(|number| ledger.states.get(&number))
            && state.last != entry.previous
        {
            report.find(
                Kind::Ledger,
                source.name("entry", number),
                "its `previous` is not the `last` of the state before",
            );
        }
    }
}

fn replay(source: &Source<'_>, ledger: &Ledger, report: &mut Report) {
    let mut before = Some((0, Rows::new()));
    for (&number, root) in &ledger.states {
        let rows = state(source, root, report);
        if let (Some((from, base)), Some(rows)) = (before.take(), &rows)
            && let Some(due) = forward(ledger, from, number, base)
            && due != *rows
        {
            let text =
                format!("says something else than {from:016x} and the entries after it; {}", difference(&due, rows));
            report.find(Kind::Ledger, source.name("state", number), text);
        }
        before = rows.map(|rows| (number, rows));
    }
}

/// Follows the entries from the oldest state that can be read, or from the
/// beginning, as far as they go on without a gap.
fn history(source: &Source<'_>, ledger: &Ledger, states: &[u64], report: &mut Report) {
    let mut start = if ledger.entries.contains_key(&1) { Some((0, Rows::new())) } else { None };
    for number in states {
        if start.is_some() {
            break;
        }
        start = ledger.states.get(number).and_then(|root| {
            let mut missed = 0;
            let rows = source.state_rows(root, |_, _| missed += 1); // `state` names them
            if missed == 0 { Some((*number, rows)) } else { None }
        });
    }
    let Some((from, rows)) = start else { return };
    let follow = ledger.entries.range(from..).filter(|(number, _)| **number > from);
    let unbroken = follow.zip(1u64..).take_while(|((number, _), step)| **number - from == *step);
    let entries = unbroken.map(|((number, (entry, _)), _)| (*number, entry));
    super::history::check(source, rows, entries, report);
}

/// Reads all parts of a state, each in both copies.
fn state(source: &Source<'_>, root: &State, report: &mut Report) -> Option<Rows> {
    for at in &root.parts {
        let place = source.name("parts", at.object);
        for (which, second) in [("first", false), ("second", true)] {
            if let Err(e) = source.part_copy(at, second) {
                report.find(Kind::Copy, &place, format!("part at {}, {which} copy: {e}", at.offset));
            }
        }
    }
    let mut missed = 0;
    let rows = source.state_rows(root, |at, e| {
        missed += 1;
        report.find(Kind::Lost, source.name("parts", at.object), format!("part at {}: {e}", at.offset));
    });
    if missed == 0 { Some(rows) } else { None }
}

/// The rows after entry `to`, if all entries to there can be read.
fn forward(ledger: &Ledger, from: u64, to: u64, mut rows: Rows) -> Option<Rows> {
    let after = || ledger.entries.range(from..=to).filter(|(number, _)| **number > from);
    if (after().count() as u64) < to - from {
        return None;
    }
    for (_, (entry, _)) in after() {
        apply(&mut rows, entry);
    }
    Some(rows)
}

fn difference(due: &Rows, found: &Rows) -> String {
    let lacks = due.iter().find(|(key, value)| found.get(*key) != Some(value));
    let adds = found.keys().find(|key| !due.contains_key(*key));
    let key = lacks.map(|(key, _)| key).or(adds);
    key.map_or_else(String::new, |key| format!("such as the row {}", crate::bytes::hex(key)))
}
