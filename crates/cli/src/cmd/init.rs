//! `backstay init`.
//!
//! Never knows: formats.

use std::path::Path;

use backstay_format::names;
use backstay_vault::Vault;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::store::{self, Location};

pub(super) fn run(common: &Common, location: &str) -> Result<(), Failure> {
    let place = Location::parse(location)?;
    if let Some(folder) = place.folder() {
        check_folder(folder, common.vault())?;
    }
    let passphrase = store::passphrase(common.passphrase_file.as_deref(), true)?;
    let id = Vault::create(&place.seams(true)?, common.vault(), &passphrase)
        .map_err(|e| Failure::from(e).about(&location))?;
    if common.json {
        return output::json(
            &serde_json::json!({ "store": id.to_string(), "vault": common.vault(), "location": location }),
        );
    }
    say!("made store {id} with vault {} in {location}", common.vault())?;
    say!("keep the passphrase safe, or print the keys with `backstay key paper`: without them nothing can be read")
}

/// A folder with something else in it is not a place for a store.
fn check_folder(folder: &Path, vault: &str) -> Result<(), Failure> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let what = match folder.join(names::STORE_HEADER).exists() {
        // An init that is under way or was interrupted.
        true if !folder.join(names::ledger(vault, "keytable")).exists() => return Ok(()),
        true => "is a store already",
        false if entries.flatten().all(|entry| entry.file_name() == ".tmp") => return Ok(()),
        false => "is not empty",
    };
    Err(Failure::refused(format!("{} {what}; name an empty folder or a new one", folder.display())))
}
