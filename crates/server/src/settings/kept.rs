//! The settings in force, and how others take their place: the log knows of it before it is so.
//!
//! Never knows: who changes them.

use std::sync::{Arc, PoisonError, RwLock};

use backstay_audit::tree::Hash;
use backstay_seal::Secret;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::Typed;
use super::secrets::Secrets;
use crate::ServerError;
use crate::catalogue::Catalogue;
use crate::place::Place;

/// The file with the key that secrets are sealed with.
const KEY: &str = "keys/settings";

/// Settings with their secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) typed: Typed,
    pub(crate) secrets: Secrets,
}

/// The settings of a server.
pub(crate) struct Kept {
    key: Secret,
    /// How the server was started, in short.
    started: String,
    in_force: RwLock<Arc<InForce>>,
}

impl Kept {
    /// Those of the catalogue; `started`: what else is settled, by who started the server. `random`: makes the key if there is none.
    pub(crate) async fn open(
        (place, catalogue): (&Place, &Catalogue),
        started: String,
        random: impl FnOnce() -> String,
    ) -> Result<Kept, ServerError> {
        let bad = |why: &str| ServerError::Bad { place: place.path(KEY), why: why.to_owned() };
        let key = place.keep(KEY, random)?;
        let key = HEXLOWER.decode(key.trim().as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let key = Secret(key.ok_or_else(|| bad("not a key"))?);
        let in_force = match catalogue.settings().await? {
            None => InForce::default(),
            Some((typed, sealed)) => InForce {
                typed: serde_json::from_str(&typed).map_err(|e| bad(&format!("the settings are not readable: {e}")))?,
                secrets: Secrets::open(&key, &sealed)
                    .ok_or_else(|| bad("not the key that the settings are sealed with"))?,
            },
        };
        Ok(Kept { key, started, in_force: RwLock::new(Arc::new(in_force)) })
    }

    /// Those in force.
    pub(crate) fn now(&self) -> Arc<InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that is settled, in short, as it is.
    pub(crate) fn hash(&self) -> Hash {
        self.hash_of(&self.now())
    }

    /// As it would be with others.
    pub(crate) fn hash_of(&self, other: &InForce) -> Hash {
        let mut all = Sha256::new();
        all.update(&self.started);
        // What was never settled leaves the hash as it was before there were settings.
        if *other != InForce::default() {
            all.update(serde_json::to_vec(&other.typed).expect("texts can be written"));
            all.update(other.secrets.trace(&self.key));
        }
        Hash(all.finalize().into())
    }

    /// Puts others in force, durably. `salt`: fresh.
    pub(crate) async fn set(&self, catalogue: &Catalogue, new: InForce, salt: [u8; 16]) -> Result<(), sqlx::Error> {
        let typed = serde_json::to_string(&new.typed).expect("texts can be written");
        catalogue.set_settings(&typed, &new.secrets.seal(&self.key, salt)).await?;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}
