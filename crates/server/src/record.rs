//! The log of who did what, for the asynchronous parts of the server.
//!
//! Never knows: what must be logged.

use std::sync::Arc;

use backstay_audit::{AuditError, Event, Keys, Log, Seams, Shown};
use backstay_env::real::folder::Folder;
use backstay_env::real::system::SystemRandom;
use backstay_env::time::Clock;
use backstay_format::units::StoreId;
use backstay_seal::Secret;

use crate::ServerError;
use crate::place::Place;

/// The log.
#[derive(Clone)]
pub(crate) struct Record(Arc<Log>);

impl Record {
    /// Opens the log of a data folder. `secret`: what its keys come from.
    pub(crate) fn open(
        place: &Place,
        clock: Arc<dyn Clock>,
        secret: &Secret,
        store: StoreId,
    ) -> Result<Record, ServerError> {
        let home = Arc::new(Folder::create(place.path("audit"))?);
        let seams = Seams { home, clock, random: Arc::new(SystemRandom) };
        // By the store, for that is what the log is about, wherever its server runs.
        let log = Log::open(&seams, &Keys::derive(secret), &format!("backstay-{store}"))?;
        Ok(Record(Arc::new(log)))
    }

    /// Appends an event; its number. Whoever gets an error must not do what was to be logged.
    pub(crate) async fn append(&self, event: Event) -> Result<u64, AuditError> {
        let log = self.0.clone();
        let appended = tokio::task::spawn_blocking(move || log.append(&event)).await;
        appended.unwrap_or(Err(AuditError::Abandoned)).map(|receipt| receipt.index)
    }

    /// The newest `most` records before number `before`, newest first.
    pub(crate) fn read(&self, before: Option<u64>, most: u64) -> Result<Vec<Shown>, AuditError> {
        let size = self.0.checkpoint()?.0.size;
        let end = before.unwrap_or(size).min(size);
        let mut shown = self.0.read(end.saturating_sub(most)..end)?;
        shown.reverse();
        Ok(shown)
    }

    /// The newest checkpoint as it is signed, and the key to verify it with.
    pub(crate) fn checkpoint(&self) -> Result<(String, String), AuditError> {
        let (_, note) = self.0.checkpoint()?;
        Ok((String::from_utf8_lossy(&note.encode()).into_owned(), self.0.verifier_key().to_string()))
    }
}
