//! The home as the server's process has it: a planned end takes the links along, and with the links the home is gone too.
//!
//! Never knows: what is stored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use backstay_env::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};
use backstay_env::sim::net::Net;
use backstay_env::sim::objects::{SimObjects, When};

/// How a server's process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    PowerLost,
}

/// The planted bug: an entry is put only after so many further operations.
const LATE: u64 = 12;

/// The home, and what hangs on the process that uses it.
pub(crate) struct Gate {
    home: SimObjects,
    net: Net,
    /// At which of its operations the process ends.
    end: Option<(u64, End)>,
    operations: AtomicU64,
    /// The planted bug: the newest entry, and by which operation it was said to be kept.
    early: Option<Mutex<Option<(Key, u64)>>>,
}

impl Gate {
    pub(crate) fn new(home: SimObjects, net: Net, end: Option<(u64, End)>, acknowledges_early: bool) -> Gate {
        let early = acknowledges_early.then(Mutex::default);
        Gate { home, net, end, operations: AtomicU64::new(0), early }
    }

    /// The planted bug: an entry that a process that ended had said to be kept, and had not put yet.
    pub(crate) fn not_kept(&self) -> Option<Key> {
        let early = self.early.as_ref().filter(|_| self.net.is_down())?;
        let (key, put_at) = lock(early).take()?;
        (self.operations.load(Ordering::Relaxed) <= put_at + LATE).then_some(key)
    }

    fn pass<T>(&self, key: &Key, work: impl FnOnce(&SimObjects) -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        if self.net.is_down() {
            return Err(ObjectError::Io { key: key.clone(), source: std::io::Error::other("the process is dead") });
        }
        let number = self.operations.fetch_add(1, Ordering::Relaxed) + 1;
        let Some((_, end)) = self.end.filter(|(at, _)| *at == number) else { return work(&self.home) };
        let now = When::Operation(self.home.operations() + 1);
        match end {
            End::Killed => self.home.kill_at(now),
            End::PowerLost => self.home.lose_power_at(now),
        }
        let outcome = work(&self.home);
        self.net.go_down();
        outcome
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Objects for Gate {
    fn abilities(&self) -> Abilities {
        self.home.abilities()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.pass(key, |home| home.put(key, parts))
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.pass(key, |home| home.put_new(key, parts))?;
        if let Some(early) = self.early.as_ref().filter(|_| key.as_str().contains("ledger/entry/")) {
            *lock(early) = Some((key.clone(), self.operations.load(Ordering::Relaxed)));
        }
        Ok(())
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        self.pass(key, |home| home.get(key))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        self.pass(key, |home| home.open(key))
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        self.pass(prefix, |home| home.list(prefix))
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        self.pass(key, |home| home.delete(key))
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), ObjectError> {
        let Some(first) = keys.first() else { return Ok(()) };
        self.pass(first, |home| home.delete_all(keys))
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        self.pass(folder, |home| home.settle(folder))
    }
}
