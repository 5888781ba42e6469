//! The log of who did what, for the asynchronous parts of the server.
//!
//! Never knows: what must be logged.

use std::sync::Arc;

use backstay_audit::tree::Hash;
use backstay_audit::{AuditError, Event, Keys, Log, Reader, Seams, Shown};
use backstay_env::objects::Objects;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::time::Clock;
use backstay_format::units::StoreId;
use backstay_seal::Secret;
use backstay_vault::Vault;
use data_encoding::HEXLOWER;

use crate::ServerError;
use crate::afterlife::below::Below;
use crate::afterlife::mirror::Mirror;
use crate::place::Place;
use crate::running::secret_text;

/// The log, and its copy in the store.
#[derive(Clone)]
pub(crate) struct Record {
    log: Arc<Log>,
    mirror: Option<Arc<Mirror>>,
}

/// How many records are looked at a time.
const SOME: u64 = 256;

impl Record {
    /// Opens the log of a data folder, to be copied into the store that the vault is in. `may`: whether that is still to be.
    pub(crate) fn open(
        place: &Place,
        clock: Arc<dyn Clock>,
        vault: &Vault,
        may: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Record, ServerError> {
        let own: Arc<dyn Objects> = Arc::new(Folder::create(place.path("audit"))?);
        let copied = Reader::open(Arc::new(Below::new(vault.audit_copy())))?;
        let old = || ServerError::OldLog(place.path("audit"));
        // Before one is begun where there is none, though the store knows of one.
        if copied.as_ref().is_some_and(|copied| copied.checkpoint().size > 0) && Reader::open(own.clone())?.is_none() {
            return Err(old());
        }
        let copy = Below::new(vault.audit_copy());
        let mirror = Arc::new(Mirror::new(own, copy, may).map_err(ServerError::Copy)?);
        let log = open(place, clock, mirror.clone(), vault.store_id())?;
        if let Some(copied) = copied
            && !log.begins_with(copied.checkpoint())?
        {
            return Err(old());
        }
        let copying = mirror.clone();
        std::thread::spawn(move || copying.work());
        Ok(Record { log: Arc::new(log), mirror: Some(mirror) })
    }

    /// Opens the log of a data folder that no server runs in.
    pub(crate) fn open_alone(place: &Place, store: StoreId) -> Result<Record, ServerError> {
        let log = open(place, Arc::new(SystemClock), Arc::new(Folder::create(place.path("audit"))?), store)?;
        Ok(Record { log: Arc::new(log), mirror: None })
    }

    /// Appends an event, on this thread; its number.
    pub(crate) fn note(&self, event: &Event) -> Result<u64, AuditError> {
        let receipt = self.log.append(event)?;
        if let Some(mirror) = &self.mirror {
            mirror.settle_for();
        }
        Ok(receipt.index)
    }

    /// The public key, for those who verify.
    pub(crate) fn key(&self) -> String {
        self.log.verifier_key().to_string()
    }

    /// Another server's log is where this one is copied to.
    pub(crate) fn forked(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.forked())
    }

    /// Nothing more is appended.
    pub(crate) fn end(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.end();
        }
    }

    /// The hash of the configuration as the log has it; `None`: it says nothing of that.
    pub(crate) fn config(&self) -> Result<Option<Hash>, AuditError> {
        let mut before = None;
        loop {
            let records = self.read(before, SOME)?;
            if let Some(change) = records.iter().find_map(|shown| shown.record.config) {
                return Ok(Some(change.after));
            }
            match records.last() {
                Some(oldest) if oldest.index > 0 => before = Some(oldest.index),
                _ => return Ok(None),
            }
        }
    }

    /// Appends an event; its number. Whoever gets an error must not do what was to be logged.
    pub(crate) async fn append(&self, event: Event) -> Result<u64, AuditError> {
        let this = self.clone();
        let appended = tokio::task::spawn_blocking(move || this.note(&event)).await;
        appended.unwrap_or(Err(AuditError::Abandoned))
    }

    /// The newest `most` records before number `before`, newest first.
    pub(crate) fn read(&self, before: Option<u64>, most: u64) -> Result<Vec<Shown>, AuditError> {
        let size = self.log.checkpoint()?.0.size;
        let end = before.unwrap_or(size).min(size);
        let mut shown = self.log.read(end.saturating_sub(most)..end)?;
        shown.reverse();
        Ok(shown)
    }

    /// The newest checkpoint as it is signed, and the key to verify it with.
    pub(crate) fn checkpoint(&self) -> Result<(String, String), AuditError> {
        let (_, note) = self.log.checkpoint()?;
        Ok((String::from_utf8_lossy(&note.encode()).into_owned(), self.log.verifier_key().to_string()))
    }
}

/// The file with what the log's keys come from.
const KEY: &str = "keys/audit";
/// The file with the key that opens names.
const NAMES: &str = "keys/names";

/// Opens the log in a home, with the keys of a data folder.
fn open(place: &Place, clock: Arc<dyn Clock>, home: Arc<dyn Objects>, store: StoreId) -> Result<Log, ServerError> {
    let secret = place.keep(KEY, || secret_text(&SystemRandom))?;
    let secret = HEXLOWER.decode(secret.trim().as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let bad = || ServerError::Bad { place: place.path(KEY), why: "not a key".to_owned() };
    let keys = Keys::derive(&Secret(secret.ok_or_else(bad)?));
    let seams = Seams { home, clock, random: Arc::new(SystemRandom) };
    // For auditors who may read names: it signs nothing.
    place.keep(NAMES, || HEXLOWER.encode(&keys.names().0))?;
    // By the store, for that is what the log is about, wherever its server runs.
    Ok(Log::open(&seams, &keys, &format!("backstay-{store}"))?)
}
