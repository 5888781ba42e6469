//! Checking the ledger and the key table, and what it means if entries of them are lost.
//!
//! Never knows: packs and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_format::ledger::Entry;
use backstay_format::rows::RowKey;
use backstay_format::units::MachineId;
use backstay_store::ledger::{Ledger, LedgerError, View};

use crate::rows::machines_in;
use crate::{Vault, VaultError};

impl Vault {
    /// The newest rows that can be had: if an entry is damaged, those before it.
    pub(super) fn newest_readable(&self) -> Result<Arc<View>, VaultError> {
        damage_of(&self.table)?;
        damage_of(&self.ledger)?;
        Ok(self.ledger.view())
    }

    /// What is wrong with the ledger and the key table, what that means, and what to do.
    pub(super) fn check_books(&self, view: &View) -> Result<Vec<String>, VaultError> {
        let mut found: Vec<String> = Vec::new();
        for book in [&self.ledger, &self.table] {
            if let Some(error) = damage_of(book)? {
                found.push(error.to_string());
                found.extend(self.meaning(book, &error, view)?);
            }
            for defect in book.check()?.iter().map(in_words) {
                if !found.contains(&defect) {
                    found.push(defect);
                }
            }
        }
        Ok(found)
    }

    /// What it means that a ledger cannot be read to its end.
    fn meaning(&self, book: &Ledger, error: &LedgerError, view: &View) -> Result<Vec<String>, VaultError> {
        let (which, lost) = match std::ptr::eq(book, &*self.ledger) {
            true => ("ledger", "points made, dropped or moved"),
            false => ("key table", "keys of packs made"),
        };
        let last = book.view().seq();
        let mut told = vec![format!(
            "{which}: entries up to {last} are whole and what they say is checked here; {lost} later are not shown, and nothing \
             can be written"
        )];
        let mut names = names(view)?;
        for beyond in book.beyond()? {
            let text = match &beyond.entry {
                Ok(entry) => format!("comes after the damage and is not applied: {}", summary(entry, &mut names)),
                Err(error) => error.to_string(),
            };
            let told_already = matches!(&beyond.entry, Err(e) if e.to_string() == error.to_string());
            told.extend((!told_already).then(|| format!("{which}: entry {}: {text}", beyond.seq)));
        }
        told.push(format!(
            "{which}: to have it all back, put the object from another copy of the store in the place of the damaged or missing one: \
             {}; until then restore what is needed from the points that are shown",
            book.entry_name(last + 1)
        ));
        Ok(told)
    }
}

/// Why the newest rows of a ledger cannot be had, if they cannot.
fn damage_of(book: &Ledger) -> Result<Option<LedgerError>, VaultError> {
    match book.refresh() {
        Ok(_) => Ok(None),
        Err(error) if error.is_damage() => Ok(Some(error)),
        Err(error) => Err(error.into()),
    }
}

/// A defect of a ledger; an object that is missing by its name.
fn in_words(error: &LedgerError) -> String {
    match error {
        LedgerError::Home(missing) => missing.to_string(),
        error => error.to_string(),
    }
}

type Names = BTreeMap<MachineId, String>;

fn names(view: &View) -> Result<Names, VaultError> {
    Ok(machines_in(view)?.into_iter().map(|m| (m.id, m.row.name)).collect())
}

/// What an entry did, in words. Machines that it makes are added to the names.
fn summary(entry: &Entry, names: &mut Names) -> String {
    let mut parts = Vec::new();
    for change in &entry.changes {
        match (RowKey::decode(&change.key), &change.value) {
            (Ok(RowKey::Name(name)), Some(id)) => {
                names.extend(<[u8; 16]>::try_from(&id[..]).map(|id| (MachineId(id), name)));
            }
            (Ok(RowKey::Point(machine, number)), value) => parts.push((machine, number.0, value.is_some())),
            _ => {}
        }
    }
    let part = |(machine, number, made): &(MachineId, u64, bool)| {
        let name = names.get(machine).cloned().unwrap_or_else(|| machine.to_string());
        format!("{} point {number} of machine {name}", if *made { "made" } else { "dropped" })
    };
    let points: Vec<String> = parts.iter().map(part).collect();
    let what = if points.is_empty() { String::new() } else { format!(", {}", points.join(", ")) };
    format!("{}{what}", entry.operation)
}
