//! Which server serves a vault: the one of the newest claim. Claims are numbered, and each is made by one server alone.
//!
//! Never knows: how a claim is kept.

use backstay_env::random::Random;
use backstay_format::served::Claim;
use backstay_format::units::Timestamp;
use backstay_vault::{Vault, VaultError};
use data_encoding::HEXLOWER;

use crate::ServerError;
use crate::moment::rfc3339;
use crate::place::Place;

/// The file with this server's own id.
pub(crate) const FILE: &str = "keys/claim";

/// The claim that this server serves by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mine {
    number: u64,
}

/// The id of the data folder's server; a new one if it has none.
pub(crate) fn own(place: &Place, random: &dyn Random) -> Result<[u8; 16], ServerError> {
    let new = || {
        let mut id = [0; 16];
        random.fill(&mut id);
        HEXLOWER.encode(&id)
    };
    let text = place.keep(FILE, new)?;
    let id = HEXLOWER.decode(text.trim().as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    id.ok_or_else(|| ServerError::Bad { place: place.path(FILE), why: "not the id of a server".to_owned() })
}

/// Claims a vault that nobody claimed, or goes on with the claim that is this server's already.
///
/// # Errors
/// [`ServerError::Claimed`] if it is another's.
pub(crate) fn take(vault: &Vault, server: [u8; 16], (name, at): (&str, Timestamp)) -> Result<Mine, ServerError> {
    loop {
        match vault.newest_claim()? {
            Some((number, claim)) if claim.server == server => return Ok(Mine { number }),
            Some((_, claim)) => return Err(claimed(vault, &claim)),
            None => {
                if vault.claim(1, &Claim { server, at, name: name.to_owned() })? {
                    return Ok(Mine { number: 1 });
                }
            }
        }
    }
}

/// Takes the vault over from whoever had it.
///
/// # Errors
/// [`ServerError::Claimed`] if somebody else did at the same time.
pub(crate) fn take_over(vault: &Vault, server: [u8; 16], (name, at): (&str, Timestamp)) -> Result<(), ServerError> {
    let number = vault.newest_claim_number()? + 1;
    if vault.claim(number, &Claim { server, at, name: name.to_owned() })? {
        return Ok(());
    }
    match vault.newest_claim()? {
        Some((_, claim)) => Err(claimed(vault, &claim)),
        None => Err(VaultError::NoStore.into()),
    }
}

fn claimed(vault: &Vault, claim: &Claim) -> ServerError {
    let Claim { at, name, .. } = claim;
    ServerError::Claimed { vault: vault.name().to_owned(), name: name.clone(), since: rfc3339(*at) }
}

impl Mine {
    /// Whether it is the newest still. Costs a listing.
    pub(crate) fn holds(self, vault: &Vault) -> Result<bool, VaultError> {
        Ok(vault.newest_claim_number()? == self.number)
    }
}
