//! Each entry that is kept against the state that it extends: the rules of
//! "Order of writing" in rows.md, which keep a reader from ever meeting a row
//! that leads nowhere.
//!
//! Never knows: what packs hold, or anything of the key table.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::{Rows, Source, apply};
use crate::bytes::Id;
use crate::ledger::Entry;
use crate::report::{Kind, Report};
use crate::rows::{Row, row};

/// What the rules look at.
#[derive(Default)]
struct World {
    packs: BTreeSet<Id>,
    banned: BTreeSet<Id>,
    refers: BTreeMap<Id, u64>,
}

impl World {
    fn of(rows: &Rows) -> Self {
        let mut world = Self::default();
        for (key, value) in rows {
            world.set(key, value);
        }
        world
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        match row(key, value) {
            Ok(Row::Pack(pack, _)) => drop(self.packs.insert(pack)),
            Ok(Row::Banned(object, _)) => drop(self.banned.insert(object)),
            Ok(Row::Refers(pack, _)) => *self.refers.entry(pack).or_default() += 1,
            _ => {}
        }
    }

    fn delete(&mut self, key: &[u8], value: &[u8]) {
        match row(key, value) {
            Ok(Row::Pack(pack, _)) => drop(self.packs.remove(&pack)),
            Ok(Row::Banned(object, _)) => drop(self.banned.remove(&object)),
            Ok(Row::Refers(pack, _)) => {
                if let Some(count) = self.refers.get_mut(&pack) {
                    *count -= 1;
                }
            }
            _ => {}
        }
    }

    fn names(&self, pack: &Id) -> bool {
        self.refers.get(pack).is_some_and(|&count| count > 0)
    }
}

/// Follows the entries after a state whose rows are `rows`.
pub(super) fn check<'a>(
    source: &Source<'_>,
    mut rows: Rows,
    entries: impl Iterator<Item = (u64, &'a Entry)>,
    report: &mut Report,
) {
    let mut world = World::of(&rows);
    for (number, entry) in entries {
        for fault in faults(&world, &rows, entry) {
            report.find(Kind::Ledger, source.name("entry", number), fault);
        }
        for change in &entry.changes {
            if let Some(old) = rows.get(&change.key) {
                world.delete(&change.key, old);
            }
            if let Some(new) = &change.value {
                world.set(&change.key, new);
            }
        }
        apply(&mut rows, entry);
    }
}

fn faults(before: &World, rows: &Rows, entry: &Entry) -> Vec<String> {
    let mut faults = Vec::new();
    let sets = |change: &crate::ledger::Change| row(&change.key, change.value.as_ref()?).ok();
    let own: BTreeSet<Id> = entry.changes.iter().filter_map(sets).filter_map(pack_of).collect();
    for change in &entry.changes {
        match (sets(change), &change.value) {
            (Some(Row::Refers(pack, span)), _) if !before.packs.contains(&pack) && !own.contains(&pack) => {
                faults.push(format!("it lets {span} refer to pack {pack}, which has no row"));
            }
            (Some(Row::Pack(pack, place)), _) if before.banned.contains(&place.object) => {
                faults.push(format!("it puts pack {pack} into object {}, which is banned", place.object));
            }
            (_, None) => {
                let old = rows.get(&change.key).and_then(|value| row(&change.key, value).ok());
                if let Some(pack) = old.and_then(pack_of).filter(|pack| before.names(pack)) {
                    faults.push(format!("it deletes the row of pack {pack}, to which spans refer"));
                }
            }
            _ => {}
        }
    }
    faults
}

fn pack_of(row: Row) -> Option<Id> {
    if let Row::Pack(pack, _) = row { Some(pack) } else { None }
}
