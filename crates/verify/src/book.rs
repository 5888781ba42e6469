//! Reading a ledger from its home: the newest state, and the entries after.
//!
//! Never knows: what rows mean.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bytes::Id;
use crate::crypt::{Key, inflate, open_box};
use crate::folder::Folder;
use crate::ledger::{Domain, Entry, Part, RawRow, State, entry, part, state};
use crate::report::{Kind, Report};
use crate::twin::{self, What, twin};

/// All rows of a ledger, by key.
pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The hash that the next entry's `previous` must be.
pub(crate) type Link = [u8; 32];

/// A ledger's objects, each read when asked for.
pub(crate) struct Source<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) place: String,
    pub(crate) store: Id,
    pub(crate) vault: Id,
    pub(crate) domain: Domain,
    pub(crate) key: &'a Key,
    last_parts: RefCell<Option<(u64, Vec<u8>)>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        folder: &'a Folder,
        vault_name: &str,
        store: Id,
        vault: Id,
        domain: Domain,
        key: &'a Key,
    ) -> Self {
        let place = format!("vault/{vault_name}/{}", domain.name());
        Self { folder, place, store, vault, domain, key, last_parts: RefCell::new(None) }
    }

    pub(crate) fn name(&self, kind: &str, number: u64) -> String {
        format!("{}/{kind}/{number:016x}", self.place)
    }

    /// An entry from whichever copy serves, and the hash of its payload.
    pub(crate) fn entry(&self, number: u64) -> Result<(Entry, Link), String> {
        let (plain, link) = self.open("entry", "backstay entry 1", What::Entry, number)?;
        Ok((entry(&plain).map_err(|e| e.to_string())?, link))
    }

    /// A state's root from whichever copy serves.
    pub(crate) fn state(&self, number: u64) -> Result<State, String> {
        let (plain, _) = self.open("state", "backstay state 1", What::State, number)?;
        state(&plain).map_err(|e| e.to_string())
    }

    fn open(&self, kind: &str, purpose: &str, what: What, number: u64) -> Result<(Vec<u8>, Link), String> {
        let object = self.folder.read(&self.name(kind, number)).map_err(|e| e.to_string())?;
        let pair = twin(&object, what, Some(self.store));
        let aad = self.domain.aad(purpose, self.vault, &[number]);
        let mut why = None;
        for copy in pair.copies() {
            match open_box(self.key, &aad, copy.payload) {
                Ok(plain) => return Ok((plain, *blake3::hash(copy.payload).as_bytes())),
                Err(e) => why = Some(e.to_string()),
            }
        }
        Err(why.unwrap_or_else(|| neither(&pair)))
    }

    /// A part's rows from whichever copy of it opens.
    pub(crate) fn part(&self, at: &Part) -> Result<Vec<RawRow>, String> {
        self.part_copy(at, false).or_else(|first| {
            self.part_copy(at, true).map_err(|second| format!("first copy: {first}; second copy: {second}"))
        })
    }

    /// A part's rows from one copy.
    pub(crate) fn part_copy(&self, at: &Part, second: bool) -> Result<Vec<RawRow>, String> {
        self.with_parts(at.object, |object| {
            let sealed = twin::within(object, second, at.offset, at.length)
                .ok_or_else(|| "the object is too short for it".to_owned())?;
            let aad = self.domain.aad("backstay part 1", self.vault, &[at.object, at.offset]);
            let packed = open_box(self.key, &aad, sealed).map_err(|e| e.to_string())?;
            let plain = inflate(&packed, at.plain).map_err(|e| e.to_string())?;
            let rows = part(&plain).map_err(|e| e.to_string())?;
            if rows.len() as u64 != at.rows {
                return Err(format!("it has {} rows, not {}", rows.len(), at.rows));
            }
            if rows.first().is_none_or(|(key, _)| *key != at.first) {
                return Err("its first row is not the one that the root names".to_owned());
            }
            Ok(rows)
        })
    }

    fn with_parts<T>(&self, number: u64, use_it: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, String> {
        let mut held = self.last_parts.borrow_mut();
        if held.as_ref().is_none_or(|(other, _)| *other != number) {
            let object = self.folder.read(&self.name("parts", number)).map_err(|e| e.to_string())?;
            *held = Some((number, object));
        }
        use_it(held.as_ref().map(|(_, object)| object.as_slice()).unwrap_or_default())
    }

    /// All rows of a state, and how many parts could not be read. `missed`
    /// hears of each of them.
    pub(crate) fn state_rows(&self, root: &State, mut missed: impl FnMut(&Part, String)) -> Rows {
        let mut rows = Rows::new();
        for at in &root.parts {
            match self.part(at) {
                Ok(part) => {
                    if rows.last_key_value().is_some_and(|(last, _)| *last >= at.first) {
                        missed(at, "it overlaps the part before".to_owned());
                        continue;
                    }
                    rows.extend(part);
                }
                Err(e) => missed(at, e),
            }
        }
        rows
    }
}

/// What is wrong with both copies.
pub(crate) fn neither(pair: &twin::Twin<'_>) -> String {
    let say = |copy: &Result<twin::Copy<'_>, twin::Fault>| match copy {
        Ok(_) => "whole".to_owned(),
        Err(fault) => fault.to_string(),
    };
    format!("first copy: {}; second copy: {}", say(&pair.first), say(&pair.second))
}

/// Sets and deletes rows.
pub(crate) fn apply(rows: &mut Rows, entry: &Entry) {
    for change in &entry.changes {
        match &change.value {
            Some(value) => rows.insert(change.key.clone(), value.clone()),
            None => rows.remove(&change.key),
        };
    }
}

/// Reads a ledger as ledger.md says; what cannot be read goes to `report`,
/// and the rest is read all the same.
pub(crate) fn load(source: &Source<'_>, report: &mut Report) -> std::io::Result<Rows> {
    let states = source.folder.numbered(&format!("{}/state", source.place))?;
    let entries = source.folder.numbered(&format!("{}/entry", source.place))?;
    let (mut rows, base, mut link) = newest_state(source, &states.numbers, report);
    let mut head = base;
    for &number in entries.numbers.iter().filter(|&&number| number > base) {
        if number != head + 1 {
            gap(source, head + 1, number, report);
            break;
        }
        match source.entry(number) {
            Ok((entry, _)) if link.is_some_and(|link| link != entry.previous) => {
                let text = "its `previous` is not the entry before; it and what follows is not applied";
                report.find(Kind::Ledger, source.name("entry", number), text);
                break;
            }
            Ok((entry, own)) => {
                apply(&mut rows, &entry);
                (head, link) = (number, Some(own));
            }
            Err(e) => {
                let text = format!("cannot be read ({e}); it and what follows is not applied");
                report.find(Kind::Lost, source.name("entry", number), text);
                break;
            }
        }
    }
    let newest = states.numbers.last().copied().unwrap_or(0);
    if head < newest && entries.numbers.last().is_none_or(|last| *last <= head) {
        let text = format!("is missing, but there is a state {newest:016x}");
        report.find(Kind::Ledger, source.name("entry", head + 1), text);
    }
    Ok(rows)
}

fn gap(source: &Source<'_>, missing: u64, found: u64, report: &mut Report) {
    let text = format!("is missing, but {found:016x} and maybe more follow; they are not applied");
    report.find(Kind::Ledger, source.name("entry", missing), text);
}

/// The newest state of which everything can be read; or the newest that can
/// be read in part; or nothing.
fn newest_state(source: &Source<'_>, numbers: &[u64], report: &mut Report) -> (Rows, u64, Option<Link>) {
    let mut partial = None;
    for &number in numbers.iter().rev() {
        let root = match source.state(number) {
            Ok(root) => root,
            Err(e) => {
                report.find(Kind::Lost, source.name("state", number), format!("cannot be read: {e}"));
                continue;
            }
        };
        let mut missed = 0;
        let rows = source.state_rows(&root, |at, e| {
            missed += 1;
            let text = format!("the part at {} for state {number:016x} cannot be read: {e}", at.offset);
            report.find(Kind::Lost, source.name("parts", at.object), text);
        });
        if missed == 0 {
            return (rows, number, Some(root.last));
        }
        partial.get_or_insert((rows, number, Some(root.last)));
    }
    partial.unwrap_or((Rows::new(), 0, Some([0; 32])))
}
