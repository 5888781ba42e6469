//! Work that is watched: a meter shows how far it is, and it is called off when somebody asks to stop or suspends the machine.
//!
//! Never knows: what is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstay_vault::protect::Progress;

use crate::progress::Meter;
use crate::stop::Stop;
use crate::target::Target;

/// How often the meter and the wish to stop are looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How often the store is asked whether the machine was suspended.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// Says that work has ended, also by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who attends to the work on a machine.
#[derive(Clone, Copy)]
pub(super) struct Attendant<'a> {
    pub(super) target: &'a dyn Target,
    pub(super) machine: &'a str,
    pub(super) stop: &'a Stop,
    /// Set when the work should end.
    pub(super) cancel: &'a AtomicBool,
}

impl Attendant<'_> {
    /// Attends while something is done.
    pub(super) fn during<T>(self, shown: Option<(&Meter, &Progress)>, work: impl FnOnce() -> T) -> T {
        self.cancel.store(false, Ordering::Relaxed);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let attendant = scope.spawn(|| self.attend(shown, &done));
            let ended = Ended(&done);
            let made = work();
            drop(ended);
            attendant.thread().unpark();
            made
        })
    }

    fn attend(self, shown: Option<(&Meter, &Progress)>, done: &AtomicBool) {
        let mut looked = Instant::now();
        while !done.load(Ordering::Relaxed) {
            if self.stop.asked() {
                self.cancel.store(true, Ordering::Relaxed);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                // A store that does not answer calls nothing off.
                if matches!(self.target.suspension(self.machine), Ok(Some(_))) {
                    self.cancel.store(true, Ordering::Relaxed);
                }
            }
            if let Some((meter, progress)) = shown {
                let now = progress.counters();
                if now.total > 0 {
                    meter.show(now.done, now.total);
                }
            }
            std::thread::park_timeout(GLANCE);
        }
    }
}
