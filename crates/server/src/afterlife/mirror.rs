//! The audit log, copied into the store as it is written, so that it outlives the machine that it was written on.
//!
//! Writes pass to the log's own home and are noted; a thread copies what was noted. Whoever appends waits for that for a while, but
//! not for a store that cannot be reached: a log must be written then, too.
//!
//! Never knows: what is in the log, beyond the names of its objects.
//! Invariant: the copied checkpoint covers only what was copied before it.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backstay_env::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};
use tracing::warn;

use super::below::Below;
use crate::words;

/// What is copied last, and read first.
const CHECKPOINT: &str = "checkpoint";
/// Folders of a log.
const FOLDERS: [&str; 3] = ["journal", "names", "tile"];
/// What is written once and never changes: another content in the copy is another log.
const JOURNAL: &str = "journal/";
/// How long whoever appends waits for the copy.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a store that fails is left alone.
const AGAIN: Duration = Duration::from_secs(5);

/// The log's own home, whose objects are copied.
pub(crate) struct Mirror {
    own: Arc<dyn Objects>,
    copy: Below,
    /// Whether copying is still this server's to do.
    may: Box<dyn Fn() -> bool + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    dirty: BTreeSet<Key>,
    /// Changes that were noted, and how many of them are copied.
    noted: u64,
    copied: u64,
    /// The store failed last time, or the copy is not ours any more.
    fails: bool,
    /// Another log is there.
    forked: bool,
    over: bool,
}

impl Mirror {
    /// Of a log in `own`, to `copy`. What differs is to be copied at once.
    pub(crate) fn new(
        own: Arc<dyn Objects>,
        copy: Below,
        may: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Mirror, ObjectError> {
        let mut mine: Vec<Listed> = Vec::new();
        for folder in FOLDERS {
            mine.extend(own.list(&Key::new(folder).expect("it is a name"))?);
        }
        let there = copy.all()?;
        let differs = |(one, others): (&Listed, &Vec<Listed>)| !others.contains(one);
        let new = mine.iter().filter(|one| differs((one, &there)));
        let gone = there.iter().filter(|one| one.key.as_str() != CHECKPOINT && differs((one, &mine)));
        let dirty: BTreeSet<Key> = new.chain(gone).map(|one| one.key.clone()).collect();
        let state = State { dirty, noted: 1, ..State::default() };
        Ok(Mirror { own, copy, may: Box::new(may), state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Copies, until [`Mirror::end`]; then once more.
    pub(crate) fn work(&self) {
        loop {
            let mut state = self.state();
            while state.copied == state.noted && !state.over {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.copied == state.noted {
                return;
            }
            drop(state);
            let outcome = self.round();
            let mut state = self.state();
            if let (Err(error), false) = (&outcome, state.fails) {
                warn!("the audit log cannot be copied into the store: {}", words(error));
            }
            state.fails = outcome.is_err();
            self.changed.notify_all();
            if state.fails {
                if state.over {
                    return;
                }
                drop(self.changed.wait_timeout(state, AGAIN));
            }
        }
    }

    /// Ends [`Mirror::work`].
    pub(crate) fn end(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }

    /// Another log is where this one was copied to: another server writes one of its own there.
    pub(crate) fn forked(&self) -> bool {
        self.state().forked
    }

    /// Waits a while until all that was written so far is copied.
    pub(crate) fn settle_for(&self) {
        let (mut state, end) = (self.state(), Instant::now() + PATIENCE);
        let aim = state.noted;
        while state.copied < aim && !state.fails && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Copies what was noted.
    fn round(&self) -> Result<(), ObjectError> {
        if !(self.may)() {
            let source = std::io::Error::other("another server serves the vault");
            return Err(ObjectError::Denied { key: checkpoint(), source });
        }
        // Before what it covers is taken note of: all that was written before it.
        let newest = found(self.own.get(&checkpoint()))?;
        let (dirty, noted) = {
            let mut state = self.state();
            (std::mem::take(&mut state.dirty), state.noted)
        };
        let outcome = self.copy_all(&dirty, newest.as_deref());
        let mut state = self.state();
        match outcome {
            Ok(()) => state.copied = noted,
            Err(_) => state.dirty.extend(dirty),
        }
        outcome
    }

    fn copy_all(&self, dirty: &BTreeSet<Key>, newest: Option<&[u8]>) -> Result<(), ObjectError> {
        let mut gone = Vec::new();
        for key in dirty.iter().filter(|key| key.as_str() != CHECKPOINT) {
            match found(self.own.get(key))? {
                Some(bytes) => self.copy_one(key, &bytes)?,
                None => gone.push(key),
            }
        }
        if let Some(newest) = newest {
            self.copy.put(&checkpoint(), &[newest])?;
        }
        gone.into_iter().try_for_each(|key| self.copy.delete(key))
    }

    fn copy_one(&self, key: &Key, bytes: &[u8]) -> Result<(), ObjectError> {
        if !key.as_str().starts_with(JOURNAL) {
            return self.copy.put(key, &[bytes]);
        }
        match self.copy.put_new(key, &[bytes]) {
            Err(ObjectError::Exists(_)) if self.copy.get(key)? == bytes => Ok(()),
            Err(error @ ObjectError::Exists(_)) => {
                self.state().forked = true;
                Err(error)
            }
            outcome => outcome,
        }
    }

    fn note(&self, key: &Key) {
        let mut state = self.state();
        state.dirty.insert(key.clone());
        state.noted += 1;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn checkpoint() -> Key {
    Key::new(CHECKPOINT).expect("it is a name")
}

/// `None`: there is no such object.
fn found(got: Result<Vec<u8>, ObjectError>) -> Result<Option<Vec<u8>>, ObjectError> {
    match got {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ObjectError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Objects for Mirror {
    fn abilities(&self) -> Abilities {
        self.own.abilities()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.own.put(key, parts)?;
        self.note(key);
        Ok(())
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.own.put_new(key, parts)?;
        self.note(key);
        Ok(())
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        self.own.get(key)
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        self.own.open(key)
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        self.own.list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        self.own.delete(key)?;
        self.note(key);
        Ok(())
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        self.own.settle(folder)
    }
}
