//! Ctrl-C and the service manager's request to stop: the first asks to stop cleanly, the second ends at once.
//!
//! Never knows: what is to be cleaned up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

/// Whether somebody asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let armed = signal_hook::flag::register_conditional_shutdown(signal, 1, flag.clone());
            let set = armed.and_then(|_| signal_hook::flag::register(signal, flag.clone()));
            set.map_err(|e| Failure::new(format!("cannot listen for signals: {e}")))?;
        }
        Ok(Stop(flag))
    }

    /// The flag itself, for those who look at it while they work.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether it was asked.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits; returns early, with true, when asked to stop.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.asked() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50).min(end.saturating_duration_since(Instant::now())));
        }
        self.asked()
    }
}
