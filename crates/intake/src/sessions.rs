//! Sessions of agents: one of each machine, and a few at a time that compare whole disks.
//!
//! Never knows: what is said in them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_env::link::Link;
use backstay_env::time::Clock;
use backstay_vault::protect::Made;
use backstay_vault::{Vault, VaultError};

use crate::talk::talk;

/// Told what happens. Called on the session's thread: what takes long is for somebody else to do.
pub trait Watch: Sync {
    /// An agent is there, with a program of this name.
    fn came(&self, machine: &str, program: &str);
    /// A point is safe.
    fn made(&self, made: &Made);
    /// A request failed, for the log.
    fn failed(&self, machine: &str, error: &VaultError);
    /// The session ended; why, if not because the agent ended it.
    fn left(&self, machine: &str, why: Option<&str>);
}

/// Where agents' sessions are held.
pub struct Intake {
    clock: Arc<dyn Clock>,
    /// The link of each machine's session.
    sessions: Mutex<HashMap<String, Arc<dyn Link>>>,
    comparing: Rooms,
    /// Of those who look rules up in images that may be hostile.
    looking: Rooms,
    patience: Duration,
    stopping: AtomicBool,
}

/// How many look rules up at once.
const LOOKING: usize = 2;

/// How long an agent may be silent while an answer is due: a disk that fails takes some time for a read.
const PATIENCE: Duration = Duration::from_secs(120);

impl Intake {
    /// An intake in which at most `most` sessions compare whole disks at once: each takes some 100 MiB.
    pub fn new(clock: Arc<dyn Clock>, most: usize) -> Intake {
        Intake {
            clock,
            sessions: Mutex::default(),
            comparing: Rooms::new(most),
            looking: Rooms::new(LOOKING),
            patience: PATIENCE,
            stopping: AtomicBool::new(false),
        }
    }

    /// Agents may be silent for so long while an answer is due.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Intake {
        Intake { patience, ..self }
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Holds a session until it ends. An older session of the machine is ended: its agent is most likely gone. What the agent
    /// says goes into the timeline of `machine` in `vault`, and nowhere else.
    pub fn serve(&self, link: &Arc<dyn Link>, machine: &str, vault: &Vault, watch: &dyn Watch) {
        if let Some(older) = self.lock().insert(machine.to_owned(), link.clone()) {
            older.close();
        }
        let why = if self.stopping.load(Ordering::Relaxed) {
            None
        } else {
            talk(self, &**link, (machine, vault), watch).err()
        };
        link.close();
        let mut sessions = self.lock();
        if sessions.get(machine).is_some_and(|now| Arc::ptr_eq(now, link)) {
            sessions.remove(machine);
        }
        drop(sessions);
        watch.left(machine, why.map(|error| error.to_string()).as_deref());
    }

    /// Ends the session of a machine, if there is one: it lost its rights.
    pub fn end(&self, machine: &str) {
        if let Some(link) = self.lock().remove(machine) {
            link.close();
        }
    }

    /// Ends all sessions, and those that begin later.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for (_, link) in self.lock().drain() {
            link.close();
        }
    }

    /// Machines whose agents are there now.
    pub fn present(&self) -> Vec<String> {
        let mut present: Vec<String> = self.lock().keys().cloned().collect();
        present.sort_unstable();
        present
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Set when sessions are to end.
    pub(crate) fn stopping(&self) -> &AtomicBool {
        &self.stopping
    }

    /// Waits for room to compare whole disks.
    pub(crate) fn enter(&self) -> Room<'_> {
        self.comparing.enter()
    }

    /// Waits for room to look rules up.
    pub(crate) fn enter_to_look(&self) -> Room<'_> {
        self.looking.enter()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn Link>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many at once may do what takes much.
struct Rooms {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Rooms {
    fn new(most: usize) -> Rooms {
        Rooms { free: Mutex::new(most.max(1)), freed: Condvar::new() }
    }

    fn enter(&self) -> Room<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Room(self)
    }
}

/// Room for one of them.
pub(crate) struct Room<'a>(&'a Rooms);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
