//! The log as its owner has it: appends, one at a time or together, and reads.
//!
//! ```text
//! append: wait for the writer ─▶ batch of all who wait ─▶ journal (put-if-absent) ─▶ tiles ─▶ checkpoint ─▶ receipts
//!                                                          the commit                          the proof
//! ```
//!
//! Never knows: what is worth an event.
//! Invariant: a record that a checkpoint covers was in the journal, durable, before that checkpoint could be seen. So no crash can
//! make the log go on otherwise than a checkpoint that anybody may have seen.

mod expire;
mod open;
mod sweep;
mod writer;

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use backstay_env::objects::Objects;
use backstay_env::random::Random;
use backstay_env::time::Clock;
use backstay_seal::Secret;

use self::writer::Writer;
use crate::checkpoint::Checkpoint;
use crate::error::AuditError;
use crate::event::Event;
use crate::note::{Algorithm, Note, Signer, VerifierKey};
use crate::proof_file::ProofFile;
use crate::reader::{Reader, Shown};

/// The keys of a log.
#[derive(Clone, Debug)]
pub struct Keys {
    signing: Secret,
    names: Secret,
}

impl Keys {
    /// Derives them from one secret, to be kept where only the log's owner reads it.
    pub fn derive(secret: &Secret) -> Keys {
        let derive = |context: &str| Secret(blake3::derive_key(context, &secret.0));
        Keys { signing: derive("backstay 2026-11 audit signing"), names: derive("backstay 2026-11 audit names") }
    }

    /// The key that opens names and signs nothing: for those who may read them.
    pub fn names(&self) -> &Secret {
        &self.names
    }

    /// The public key, for those who verify. `None`: a log cannot have that origin.
    pub fn verifier_key(&self, origin: &str) -> Option<VerifierKey> {
        Some(Signer::new(origin, &self.signing.0)?.verifier_key(Algorithm::Ed25519))
    }
}

/// What the log reaches the world through.
#[derive(Clone)]
pub struct Seams {
    /// Where it lies. All of the home is the log's.
    pub home: Arc<dyn Objects>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For salts.
    pub random: Arc<dyn Random>,
}

/// That an event is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of its record; an outcome refers to its intent by it.
    pub index: u64,
    /// The size of the log whose checkpoint covers it.
    pub size: u64,
}

/// An open log.
///
/// ```
/// # use std::sync::Arc;
/// # use backstay_audit::{Event, Keys, Log, Seams};
/// # use backstay_env::sim::{clock::SimClock, objects::SimObjects, random::SimRandom};
/// # let (clock, random) = (Arc::new(SimClock::seeded(1)), Arc::new(SimRandom::seeded(1)));
/// # let seams = Seams { home: Arc::new(SimObjects::seeded(1)), clock, random };
/// # let keys = Keys::derive(&backstay_seal::Secret([1; 32]));
/// let log = Log::open(&seams, &keys, "backup.example.com/audit")?;
/// let what = Event::intent("restore.read").by("ann").from("192.0.2.1").on("web");
/// let intent = log.append(&what.request([7; 16]))?;
/// // Only now may it be done.
/// log.append(&Event::outcome(intent.index, "restore.read", true).detail("70000 bytes"))?;
/// # Ok::<(), backstay_audit::AuditError>(())
/// ```
///
/// Guarantees: when [`Log::append`] says `Ok`, the record survives a power loss, its number is its own for ever, and a signed
/// checkpoint covers it. No crash, full disk or failing home makes two checkpoints of one log contradict each other. Any number
/// of threads may append; those who wait are written together.
///
/// Non-guarantees: two processes that append to one log at once do no harm to it, but a checkpoint may then be replaced by an
/// older one of the same log for a moment. Who has the keys and the home can write another history: only a checkpoint kept
/// elsewhere shows that.
pub struct Log {
    home: Arc<dyn Objects>,
    keys: Keys,
    key: VerifierKey,
    queue: Mutex<Queue>,
    turn: Condvar,
    writer: Mutex<Writer>,
}

/// Who waits to be written. One of them writes for all, while others come to wait for the next time.
#[derive(Default)]
struct Queue {
    waiting: Vec<Arc<Ticket>>,
    is_led: bool,
}

/// An event that waits to be written, and what became of it.
struct Ticket {
    event: Event,
    result: Mutex<Option<Result<Receipt, AuditError>>>,
}

impl Ticket {
    fn taken(&self) -> Option<Result<Receipt, AuditError>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Log {
    /// Opens the log of that origin, or begins it where there is nothing. Carries on what a crash interrupted.
    ///
    /// # Errors
    /// [`AuditError::Damaged`], [`AuditError::Foreign`]: it goes on only from what it signed itself. [`AuditError::Origin`],
    /// [`AuditError::Home`].
    pub fn open(seams: &Seams, keys: &Keys, origin: &str) -> Result<Log, AuditError> {
        let signer = Signer::new(origin, &keys.signing.0).ok_or_else(|| AuditError::Origin(origin.to_owned()))?;
        let key = signer.verifier_key(Algorithm::Ed25519);
        let writer = open::open(seams, signer, keys.names.clone())?;
        let (queue, turn, writer) = (Mutex::default(), Condvar::new(), Mutex::new(writer));
        Ok(Log { home: seams.home.clone(), keys: keys.clone(), key, queue, turn, writer })
    }

    /// Appends an event: durable, in its place and under a signed checkpoint when this returns. Blocks for some writes to the home,
    /// and for those of others before it.
    ///
    /// # Errors
    /// Whoever gets one must not do what was to be logged. The event may be in the log all the same, unless the error is
    /// [`AuditError::Event`].
    pub fn append(&self, event: &Event) -> Result<Receipt, AuditError> {
        event.check()?;
        let ticket = Arc::new(Ticket { event: event.clone(), result: Mutex::default() });
        let mut queue = self.queue();
        queue.waiting.push(ticket.clone());
        while queue.is_led {
            queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
            if let Some(result) = ticket.taken() {
                return result;
            }
        }
        queue.is_led = true;
        let batch = std::mem::take(&mut queue.waiting);
        drop(queue);
        self.lead(&batch);
        ticket.taken().unwrap_or(Err(AuditError::Abandoned))
    }

    /// Writes for all of `batch`.
    fn lead(&self, batch: &[Arc<Ticket>]) {
        let _leading = Leading(self);
        // Whoever dies in here leaves a writer that nobody can rely on.
        let Ok(mut writer) = self.writer.lock() else { return };
        let events: Vec<&Event> = batch.iter().map(|ticket| &ticket.event).collect();
        for (ticket, result) in batch.iter().zip(writer.append(&events)) {
            *ticket.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The public key, to be given to those who verify.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// The newest checkpoint, signed: to be kept elsewhere.
    ///
    /// # Errors
    /// [`AuditError::Home`].
    pub fn checkpoint(&self) -> Result<(Checkpoint, Note), AuditError> {
        let reader = self.reader()?;
        Ok((reader.checkpoint().clone(), reader.note().clone()))
    }

    /// Records of a range with their names, as far as there are any.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(&self, range: Range<u64>) -> Result<Vec<Shown>, AuditError> {
        self.reader()?.read(range, Some(&self.keys.names))
    }

    /// A proof that record `index` is in the log, to be given to somebody.
    ///
    /// # Errors
    /// As [`Reader::prove`].
    pub fn prove(&self, index: u64) -> Result<ProofFile, AuditError> {
        self.reader()?.prove(index)
    }

    /// Whether this log begins with the one of an older checkpoint, such as one that its owner kept elsewhere.
    ///
    /// # Errors
    /// As [`Reader::begins_with`].
    pub fn begins_with(&self, older: &Checkpoint) -> Result<bool, AuditError> {
        self.reader()?.begins_with(older)
    }

    /// The log as it is now.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Reader, AuditError> {
        let missing = || AuditError::Damaged { object: crate::checkpoint::NAME.to_owned(), why: "is missing" };
        Reader::open(self.home.clone())?.ok_or_else(missing)
    }
}

/// Hands over to the next one who waits, in a panic too.
struct Leading<'a>(&'a Log);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.queue().is_led = false;
        self.0.turn.notify_all();
    }
}
