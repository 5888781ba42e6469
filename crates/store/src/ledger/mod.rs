//! The ledger: a small table of rows whose changes are numbered objects (`docs/format/ledger.md`).
//!
//! Writers are ordered by put-if-absent alone. [`Ledger::commit`] shows the caller the rows as they are, takes the
//! changes it decides on, and tries to make them the next entry; if somebody was faster it shows the new rows and asks
//! again. So a decision always rests on everything committed before it.
//!
//! Never knows: what rows mean.

mod check;
mod fold;
mod io;
mod parts;
mod rescue;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_env::objects::{ObjectError, Objects};
use backstay_env::random::Random;
use backstay_format::DecodeError;
use backstay_format::ledger::{Change, Entry};
use backstay_format::units::{Digest, StoreId, Timestamp, VaultId};
use backstay_seal::{OpenError, Secret};

pub use parts::PartId;
pub use view::{End, Piece, View};

/// A state is written after so many entries.
pub const FOLD_AFTER: u64 = 64;

/// Where a ledger is and what seals it.
pub struct Place {
    /// Its home.
    pub home: Arc<dyn Objects>,
    /// Its folder there, such as `vault/main/ledger`; the last part is its domain.
    pub folder: String,
    /// The store it belongs to.
    pub store: StoreId,
    /// The vault it belongs to.
    pub vault: VaultId,
    /// Its key.
    pub key: Secret,
}

/// Why the ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The home failed.
    #[error("the ledger could not be accessed")]
    Home(#[source] ObjectError),
    /// An object does not open: damaged in both copies, or sealed with another key.
    #[error("ledger object {name} is damaged in both copies: {why}")]
    Damaged {
        /// Which object.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object is not there that others name.
    #[error("ledger object {name} is missing")]
    Missing {
        /// Which object.
        name: String,
    },
    /// Entries are missing between two that are there.
    #[error("ledger entry {missing} is missing although later ones are there")]
    Gap {
        /// The first missing entry's object.
        missing: String,
    },
    /// Too many writers at once: after many attempts somebody else was always faster.
    #[error("other writers were faster {0} times in a row; try again")]
    Contended(u32),
}

impl LedgerError {
    /// Reading again gives the same bytes.
    pub fn is_damage(&self) -> bool {
        matches!(self, LedgerError::Damaged { .. } | LedgerError::Missing { .. } | LedgerError::Gap { .. })
    }

    fn decode(name: &str, error: &DecodeError) -> Self {
        LedgerError::Damaged { name: name.to_owned(), why: error.to_string() }
    }

    fn open(name: &str, error: OpenError) -> Self {
        LedgerError::Damaged { name: name.to_owned(), why: error.to_string() }
    }
}

/// Why a commit was not made: the caller's reasons or the ledger's.
#[derive(Debug)]
pub enum CommitError<E> {
    /// The caller decided against it.
    Refused(E),
    /// The ledger failed.
    Ledger(LedgerError),
}

impl<E> From<LedgerError> for CommitError<E> {
    fn from(error: LedgerError) -> Self {
        CommitError::Ledger(error)
    }
}

/// An open ledger. All methods may be called from many threads.
pub struct Ledger {
    io: Arc<io::LedgerIo>,
    random: Arc<dyn Random>,
    view: Mutex<Arc<View>>,
    /// Held by the one thread that commits; the view can be read meanwhile, also by whoever decides on the changes.
    committing: Mutex<()>,
}

/// An entry that is not applied.
#[derive(Debug)]
pub struct Beyond {
    /// Its number.
    pub seq: u64,
    /// What it says, or why it cannot be read.
    pub entry: Result<Entry, LedgerError>,
}

const ATTEMPTS: u32 = 200;

impl Ledger {
    /// Opens a ledger; one without any objects is empty.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], [`LedgerError::Gap`] when something that is needed to know the newest rows cannot be
    /// read: never older rows passed off as the newest. [`Ledger::open_before_damage`] gives what can be had.
    pub fn open(place: Place, random: Arc<dyn Random>) -> Result<Self, LedgerError> {
        let (ledger, damage) = Self::open_before_damage(place, random)?;
        match damage {
            None => Ok(ledger),
            Some(error) => Err(error),
        }
    }

    /// Opens what can be had: all rows up to the first damage, and that damage. Later commits are not shown; none
    /// can be made.
    ///
    /// # Errors
    /// [`LedgerError`] when there is no state to start from.
    pub fn open_before_damage(
        place: Place,
        random: Arc<dyn Random>,
    ) -> Result<(Self, Option<LedgerError>), LedgerError> {
        let io = Arc::new(io::LedgerIo::new(place));
        let mut view = io.newest_state()?;
        let damage = io.catch_up(&mut view).err();
        Ok((Ledger { io, random, view: Mutex::new(Arc::new(view)), committing: Mutex::default() }, damage))
    }

    /// The rows as last seen by this process: a snapshot that never changes.
    pub fn view(&self) -> Arc<View> {
        self.lock().clone()
    }

    /// Sees what other processes committed.
    ///
    /// # Errors
    /// [`LedgerError`]; the view stays at the last entry that could be read.
    pub fn refresh(&self) -> Result<Arc<View>, LedgerError> {
        let mut current = self.lock();
        self.catch_up(&mut current)?;
        Ok(current.clone())
    }

    /// Commits the changes that `decide` makes of the newest rows; no changes, no entry. `decide` may be asked many
    /// times. On `Ok` the entry survives power loss, and so does what `decide` was shown; the view it left behind is returned.
    ///
    /// # Errors
    /// [`CommitError::Refused`]: nothing happened. [`CommitError::Ledger`]: if the home failed while the entry was
    /// written, it may or may not be there; the next refresh tells.
    pub fn commit<E>(
        &self,
        (operation, time): (&str, Timestamp),
        mut decide: impl FnMut(&View) -> Result<Vec<Change>, E>,
    ) -> Result<Arc<View>, CommitError<E>> {
        let _one_at_a_time = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let current = self.refresh()?;
            let changes = decide(&current).map_err(CommitError::Refused)?;
            self.io.settle(current.seq())?;
            if changes.is_empty() {
                return Ok(current);
            }
            let seq = current.seq() + 1;
            let entry = Entry { previous: current.last(), time, operation: operation.to_owned(), changes };
            drop(current);
            match self.io.put_entry(seq, &entry, self.salt()) {
                Ok(digest) => return Ok(self.applied(seq, entry.changes, digest)),
                Err(LedgerError::Home(ObjectError::Exists(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Contended(ATTEMPTS).into())
    }

    /// The view after our own entry, which another thread may have read already.
    fn applied(&self, seq: u64, changes: Vec<Change>, digest: Digest) -> Arc<View> {
        let mut current = self.lock();
        if current.seq() + 1 == seq {
            Arc::make_mut(&mut current).apply(changes, digest);
        }
        current.clone()
    }

    /// Writes a state if enough entries have come since the last one, and deletes what that makes superfluous.
    /// The cost is that of the rows changed since, and their neighbours. Safe to skip, to repeat and to interrupt.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing is lost.
    pub fn fold_if_due(&self) -> Result<bool, LedgerError> {
        let view = self.view();
        if view.entries_since_state() < FOLD_AFTER {
            return Ok(false);
        }
        self.fold()
    }

    /// As [`Ledger::fold_if_due`], due or not.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn fold(&self) -> Result<bool, LedgerError> {
        let view = self.view();
        let Some(state) = fold::write_state(&self.io, &view, || self.salt())? else {
            return Ok(false);
        };
        let mut current = self.lock();
        if current.seq() == view.seq() {
            Arc::make_mut(&mut current).rebase(state);
        }
        drop(current);
        fold::delete_superfluous(&self.io)?;
        Ok(true)
    }

    /// The entries after the last one that this process knows: if a refresh ended in damage, the damaged ones and those that
    /// cannot be applied for it.
    ///
    /// # Errors
    /// [`LedgerError::Home`].
    pub fn beyond(&self) -> Result<Vec<Beyond>, LedgerError> {
        let known = self.view().seq();
        let mut beyond = Vec::new();
        for seq in self.io.numbers("entry")?.into_iter().filter(|seq| *seq > known) {
            match self.io.read_entry(seq) {
                Ok(entry) => beyond.extend(entry.map(|(entry, _)| Beyond { seq, entry: Ok(entry) })),
                Err(error) if error.is_damage() => beyond.push(Beyond { seq, entry: Err(error) }),
                Err(error) => return Err(error),
            }
        }
        Ok(beyond)
    }

    /// The name of an entry's object.
    pub fn entry_name(&self, seq: u64) -> String {
        self.io.key("entry", seq).as_str().to_owned()
    }

    /// Lists the ledger's objects with a defect: those with a damaged copy, those that do not open, those that are missing.
    ///
    /// # Errors
    /// [`LedgerError::Home`].
    pub fn check(&self) -> Result<Vec<LedgerError>, LedgerError> {
        check::check(&self.io)
    }

    fn catch_up(&self, current: &mut MutexGuard<'_, Arc<View>>) -> Result<(), LedgerError> {
        self.io.catch_up(Arc::make_mut(current))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        salt
    }
}

/// The digest that the next entry names as its predecessor.
fn chain(payload: &[u8]) -> Digest {
    Digest::of(&[payload])
}
