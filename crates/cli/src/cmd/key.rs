//! `backstay key`.
//!
//! Never knows: how keys are kept.

use std::path::Path;

use backstay_vault::Vault;
use serde_json::json;

use crate::args::{Common, Key};
use crate::failure::Failure;
use crate::output::{self, say};
use crate::{moment, store};

pub(super) fn run(common: &Common, command: &Key) -> Result<(), Failure> {
    let vault = match command {
        Key::Add { paper: Some(paper), .. } => store::open_with_paper(common, paper)?,
        _ => store::open(common)?,
    };
    match command {
        Key::List => list(common, &vault),
        Key::Add { new_passphrase_file, label, .. } => {
            let slot = add(&vault, new_passphrase_file.as_deref(), label)?;
            told(common, &json!({ "slot": slot }), &format!("added key slot {slot}"))
        }
        Key::Change { new_passphrase_file } => change(common, &vault, new_passphrase_file.as_deref()),
        Key::Remove { slot } => {
            if vault.slots()?.iter().all(|s| s.number != *slot) {
                return Err(Failure::usage(format!("there is no key slot {slot}; `backstay key list` lists them")));
            }
            vault.remove_slot(*slot)?;
            let words = format!("removed key slot {slot}; copies of it made before still open with its passphrase");
            told(common, &json!({ "removed": slot }), &words)
        }
        Key::Paper => {
            let paper = vault.keys_on_paper();
            match common.json {
                true => output::json(&paper.lines().collect::<Vec<_>>()),
                false => output::text(&paper),
            }
        }
    }
}

fn told(common: &Common, value: &serde_json::Value, words: &str) -> Result<(), Failure> {
    if common.json { output::json(value) } else { say!("{words}") }
}

fn list(common: &Common, vault: &Vault) -> Result<(), Failure> {
    let slots = vault.slots()?;
    if common.json {
        let value = |s: &backstay_vault::slots::SlotInfo| json!({ "slot": s.number, "label": s.label, "created": moment::rfc3339(s.created) });
        return output::json(&slots.iter().map(value).collect::<Vec<_>>());
    }
    let row =
        |s: &backstay_vault::slots::SlotInfo| vec![s.number.to_string(), moment::show(s.created), s.label.clone()];
    output::table(&["SLOT", "MADE", "LABEL"], slots.iter().map(row).collect(), "no key slots")
}

fn add(vault: &Vault, file: Option<&Path>, label: &str) -> Result<u16, Failure> {
    if label.len() > 64 {
        return Err(Failure::usage("a label has at most 64 bytes"));
    }
    let passphrase = store::passphrase(file, true)?;
    Ok(vault.add_passphrase(&passphrase, label, backstay_vault::slots::COST)?.number)
}

/// Adds the new one first: at no time is there none. The slot that goes is the one that opened the vault.
fn change(common: &Common, vault: &Vault, file: Option<&Path>) -> Result<(), Failure> {
    let Some(old) = vault.opened_slot() else {
        return Err(Failure::usage("the vault was not opened with a passphrase; use `backstay key add`"));
    };
    let label = vault.slots()?.into_iter().find(|s| s.number == old).map_or(String::new(), |s| s.label);
    let new = add(vault, file, &label)?;
    vault.remove_slot(old)?;
    let words = format!("the passphrase is changed (key slot {new} instead of {old})");
    told(common, &json!({ "slot": new, "removed": old }), &words)
}
