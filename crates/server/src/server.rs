//! What a running server has.
//!
//! Never knows: how people or agents reach it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use backstay_env::random::Random;
use backstay_env::time::Clock;
use backstay_format::units::Timestamp;
use backstay_vault::Vault;
use tokio::sync::Semaphore;

use crate::afterlife::keep::Keeper;
use crate::agents::Agents;
use crate::ages::Ages;
use crate::at_work::Jobs;
use crate::authority::Authority;
use crate::catalogue::Catalogue;
use crate::live::Live;
use crate::notice::Bell;
use crate::people::oidc;
use crate::people::passkey::{Asked, Parties};
use crate::people::password::Press;
use crate::people::pending::Pending;
use crate::people::throttle::Throttle;
use crate::record::Record;
use crate::settings::kept::Kept;

/// A server's insides, shared by all that happens in it.
pub struct Server {
    /// The vault that machines' points go into.
    pub vault: Arc<Vault>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What happens now, for those who watch.
    pub live: Live,
    /// Agents that are there.
    pub agents: Agents,
    /// The certificate authority.
    pub authority: Authority,
    pub(crate) catalogue: Catalogue,
    pub(crate) record: Record,
    /// Where passwords are worked on.
    pub(crate) press: Press,
    /// Who guesses.
    pub(crate) throttle: Mutex<Throttle>,
    /// The code that makes the first administrator; none: there is one.
    pub(crate) setup: tokio::sync::Mutex<Option<String>>,
    /// The clock that the calendar counts ages of points by.
    pub(crate) ages: Ages,
    /// Jobs at work.
    pub(crate) jobs: Jobs,
    /// Of the one job at a time.
    pub(crate) job_seat: Arc<Semaphore>,
    /// Of restores at once.
    pub(crate) restore_seats: Arc<Semaphore>,
    /// Of downloads at once: each keeps a thread.
    pub(crate) downloads: Arc<Semaphore>,
    /// The folder that the store is in, if it is in one.
    pub(crate) folder: Option<PathBuf>,
    /// The folder that disks may be restored to.
    pub(crate) restores: Option<PathBuf>,
    /// What an administrator settled. The log's signs of life carry it in short.
    pub(crate) settings: Kept,
    /// Held by whoever changes it.
    pub(crate) settling: tokio::sync::Mutex<()>,
    /// What of the server is kept in the store.
    pub(crate) keeper: Keeper,
    /// Set when another server has taken the vault over.
    pub(crate) superseded: OnceLock<()>,
    /// What asks for passkeys.
    pub(crate) passkeys: Parties,
    /// What browsers were asked about passkeys.
    pub(crate) ceremonies: Pending<Asked>,
    /// Issuers of single sign-on.
    pub(crate) issuers: oidc::Known,
    /// Who is with an issuer now.
    pub(crate) signing_on: Pending<oidc::Begun>,
    /// Rung when people are to be told something.
    pub(crate) bell: Bell,
    /// What people call it.
    pub(crate) name: String,
    /// What else people call it.
    pub(crate) other_names: Vec<String>,
    /// Why the newest of the vault cannot be shown, if it cannot.
    pub(crate) damage: Option<String>,
}

impl Server {
    /// The vault of a name.
    pub fn vault(&self, name: &str) -> Option<&Arc<Vault>> {
        (self.vault.name() == name).then_some(&self.vault)
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Bytes that nobody can guess.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}
