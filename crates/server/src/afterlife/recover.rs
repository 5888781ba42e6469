//! A dead server brought back in a new data folder, from the store alone.
//!
//! 1. The vault is claimed. From then on the server that had it, should it live, writes nothing more of its own there, and ends.
//! 2. What it kept is written as it was; the newest that can be read.
//! 3. The audit log goes on where its copy ends, with a record that says so.
//!
//! Never knows: how a server is started.

use std::time::Duration;

use backstay_audit::Event;
use backstay_env::objects::{Key, Objects as _};
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::time::Clock as _;
use backstay_format::served::Kept;
use backstay_format::units::Timestamp;
use backstay_vault::Vault;
use serde_json::json;

use super::below::Below;
use super::claim;
use super::keep::{CATALOGUE, SETTINGS};
use crate::catalogue::Catalogue;
use crate::moment::rfc3339;
use crate::place::Place;
use crate::record::Record;
use crate::running::{self, Settings};
use crate::{ServerError, words};

/// What a server that lost its vault may still be writing, it has written by then.
const PAUSE: Duration = Duration::from_secs(3);

/// A server that was brought back. It does not run.
#[derive(Debug)]
pub struct Recovered {
    /// Of when its people, machines and settings are.
    pub at: Timestamp,
    /// What was newer, and could not be read.
    pub passed_over: Vec<String>,
    /// How it had been started, in the words of whoever started it.
    pub settings: String,
    /// Machines that are enrolled with it.
    pub machines: u64,
    /// Records of its audit log.
    pub records: u64,
}

/// Brings a server back: that of the store and vault that `settings` name, in their data folder, which must be new.
///
/// # Errors
/// [`ServerError::NotNew`], [`ServerError::NothingKept`], and others; then the folder is of no use, and can be removed.
pub fn recover(settings: &Settings) -> Result<Recovered, ServerError> {
    let place = Place::take(&settings.data)?;
    for name in ["ca/key.pem", "keys/audit", "keys/store", CATALOGUE, "audit", "store"] {
        if place.path(name).exists() {
            return Err(ServerError::NotNew(settings.data.clone()));
        }
    }
    let none = || ServerError::NothingKept(settings.vault.clone());
    let store = settings.store.as_ref().ok_or_else(none)?;
    let passphrase = store.passphrase.as_deref().ok_or_else(none)?;
    let vault = Vault::open_before_damage(store.seams.clone(), &settings.vault, passphrase)?.vault;
    // Before anything is taken from anybody.
    newest(&vault)?.ok_or_else(none)?;
    let now = SystemClock.now();
    claim::take_over(&vault, claim::own(&place, &SystemRandom)?, (&settings.name, now))?;
    std::thread::sleep(PAUSE);
    let (kept, passed_over) = newest(&vault)?.ok_or_else(none)?;
    let mut text = String::new();
    for (name, content) in &kept.files {
        match name.as_str() {
            SETTINGS => text = String::from_utf8_lossy(content).into_owned(),
            name if is_own(name) => place.write(name, content)?,
            _ => {} // of a newer version: it does without, and this one knows nothing of it
        }
    }
    copy_log(&vault, &place)?;
    place.write("keys/store", passphrase.as_slice())?;
    let about = json!({ "kept": rfc3339(kept.at), "passed_over": passed_over }).to_string();
    let record = Record::open_alone(&place, vault.store_id())?;
    let records = record.note(&Event::done("server.recover", true).on(&settings.name).detail(&about))? + 1;
    let machines = running::once(async {
        let catalogue = Catalogue::open(&place.path(CATALOGUE)).await?;
        let machines = catalogue.count_machines().await?;
        catalogue.close().await;
        Ok(machines)
    })?;
    Ok(Recovered { at: kept.at, passed_over, settings: text, machines, records })
}

/// Names that belong into a data folder.
fn is_own(name: &str) -> bool {
    let within = name.strip_prefix("ca/").or_else(|| name.strip_prefix("keys/"));
    name == CATALOGUE || within.is_some_and(|rest| !rest.contains('/') && Key::new(rest).is_some())
}

/// The newest of what was kept that can be read, and what is wrong with what is newer. `None`: nothing was kept, or nothing of it can
/// be read.
fn newest(vault: &Vault) -> Result<Option<(Kept, Vec<String>)>, ServerError> {
    let mut passed_over = Vec::new();
    for number in vault.kept_numbers()?.into_iter().rev() {
        match vault.kept(number) {
            Ok(kept) => return Ok(Some((kept, passed_over))),
            Err(error) if error.is_damage() => passed_over.push(words(&error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Copies the log as far as it was copied into the store.
fn copy_log(vault: &Vault, place: &Place) -> Result<(), ServerError> {
    let (copy, own) = (Below::new(vault.audit_copy()), Folder::create(place.path("audit"))?);
    for listed in copy.all().map_err(ServerError::Copy)? {
        let bytes = copy.get(&listed.key).map_err(ServerError::Copy)?;
        own.put(&listed.key, &[&bytes]).map_err(ServerError::Copy)?;
    }
    Ok(())
}
