//! The jobs that are at work: how far each is, who began it, and that it is to end.
//!
//! Never knows: what jobs do, or who may end one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_format::units::Timestamp;

/// All of them.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<Vec<Arc<AtWork>>>);

/// One of them.
pub(crate) struct AtWork {
    pub(crate) id: i64,
    /// Who began it, as the catalogue knows them; `None`: the calendar. Not by name: a name may be somebody else's later.
    pub(crate) person: Option<i64>,
    pub(crate) machine: Option<String>,
    pub(crate) may_stop: bool,
    /// When it is, for ages of points.
    pub(crate) now: Timestamp,
    pub(crate) stop: AtomicBool,
    pub(crate) done: AtomicU64,
    pub(crate) total: AtomicU64,
}

/// What became of a wish to cancel.
pub(crate) enum Cancelled {
    /// It will end.
    Yes,
    /// It cannot be stopped.
    Never,
    /// It is not at work.
    Gone,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<AtWork>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_work(&self, id: i64) -> Option<Arc<AtWork>> {
        self.lock().iter().find(|job| job.id == id).cloned()
    }

    /// From now on a job is at work.
    pub(crate) fn add(&self, job: AtWork) -> Arc<AtWork> {
        let job = Arc::new(job);
        self.lock().push(job.clone());
        job
    }

    /// From now on it is not.
    pub(crate) fn remove(&self, id: i64) {
        self.lock().retain(|job| job.id != id);
    }

    /// Steps done, and all steps, of a job that is at work.
    pub(crate) fn progress(&self, id: i64) -> Option<(u64, u64)> {
        self.at_work(id).map(|job| (job.done.load(Ordering::Relaxed), job.total.load(Ordering::Relaxed)))
    }

    /// Whether a job is at work that somebody began.
    pub(crate) fn is_of(&self, id: i64, person: i64) -> bool {
        self.at_work(id).is_some_and(|job| job.person == Some(person))
    }

    /// Asks a job to end.
    pub(crate) fn cancel(&self, id: i64) -> Cancelled {
        match self.at_work(id) {
            None => Cancelled::Gone,
            Some(job) if !job.may_stop => Cancelled::Never,
            Some(job) => {
                job.stop.store(true, Ordering::Relaxed);
                Cancelled::Yes
            }
        }
    }
}
