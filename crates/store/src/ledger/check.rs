//! Looking at all objects of a ledger in both copies.
//!
//! Never knows: what it means that one of them is damaged.

use std::sync::Arc;

use backstay_env::objects::ObjectError;
use backstay_format::twin::{self, Kind};

use super::LedgerError;
use super::io::{LedgerIo, RETRIES};
use super::view::View;

/// Reads all objects of a ledger in both copies.
pub(super) fn check(io: &Arc<LedgerIo>) -> Result<Vec<LedgerError>, LedgerError> {
    let mut findings = Vec::new();
    for (name, kind) in [("state", Kind::State), ("entry", Kind::Entry), ("parts", Kind::Parts)] {
        for seq in io.numbers(name)? {
            let key = io.key(name, seq);
            let object = match io.home().get(&key) {
                Ok(object) => object,
                Err(ObjectError::NotFound(_)) => continue, // folded away while we looked
                Err(error) => return Err(LedgerError::Home(error)),
            };
            match twin::decode(&object, kind, Some(io.place.store)) {
                Ok(twin) if twin.both => {}
                Ok(_) => {
                    let why = "one of its two copies is damaged".to_owned();
                    findings.push(LedgerError::Damaged { name: key.as_str().to_owned(), why });
                }
                Err(error) => findings.push(LedgerError::decode(key.as_str(), &error)),
            }
        }
    }
    let (mut view, unreadable) = match check_parts(io) {
        Err(error) if error.is_damage() => {
            findings.push(error);
            return Ok(findings);
        }
        other => other?,
    };
    for error in unreadable.into_iter().chain(io.catch_up(&mut view).err()) {
        match error {
            // What is out of reach is not damaged.
            LedgerError::Home(_) => return Err(error),
            _ => findings.push(error),
        }
    }
    Ok(findings)
}

/// The newest state, and what is wrong with the parts that it names.
fn check_parts(io: &Arc<LedgerIo>) -> Result<(View, Vec<LedgerError>), LedgerError> {
    let mut outcome = None;
    for _ in 0..RETRIES {
        let view = io.newest_state()?;
        let unreadable: Vec<LedgerError> =
            view.state().parts.iter().filter_map(|part| io.read_part(&part.place).err()).collect();
        // Parts of a state that was folded away while we looked are missing, and nobody misses them.
        let is_newest = io.newest_state()?.state().seq == view.state().seq;
        let done = unreadable.is_empty() || is_newest;
        outcome = Some((view, unreadable));
        if done {
            break;
        }
    }
    outcome.ok_or(LedgerError::Contended(RETRIES))
}
