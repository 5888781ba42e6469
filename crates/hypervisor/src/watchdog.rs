//! Another process, which talks to the guest agent and outlives us: guests are let go in time, and what is held of disks is let go,
//! whatever becomes of the process that asked for it.
//!
//! ```text
//!   charge ─▶ Free ──freeze──▶ Still ──thaw, time is over, or the other process is gone──▶ Free ──bye──▶ end
//!              │  └ no answer ─▶ Unsure ──it says that it was let go──▶ Free
//!              └────────── the other process is gone: clean up, end
//! ```
//!
//! A second one watches the first, which may be killed together with the process that it watches.
//! Never knows: what the stillness is used for.

mod client;
mod hand;
mod second;
mod serve;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use client::{Frozen, Watchdog};
pub use second::serve_second;
pub use serve::serve;

use crate::agent::Way;

/// What a watchdog is in charge of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Of the machine.
    pub monitor: Way,
    /// In the guest.
    pub agent: Option<Way>,
    /// Before the names of what this process holds.
    pub prefix: String,
    /// Before the names of claims to the machine.
    pub claims: String,
    /// Where its sockets are.
    pub folder: PathBuf,
}

/// How long to try to let a guest go.
const PERSISTENCE: Duration = Duration::from_secs(600);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(30);

/// What one is told, a line of JSON each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Order {
    /// Hold the guest still.
    Freeze {
        /// How long that may take.
        within_ms: u64,
        /// How long it may last.
        hold_ms: u64,
    },
    /// Let it go.
    Thaw,
    /// All is in order; end.
    Bye,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    /// So many file systems are held still.
    Frozen(u64),
    /// So many were until now.
    Thawed(u64),
    /// They had been let go before; or nothing was held.
    Late,
    /// It did not work. If anything is held still all the same, it will be let go.
    Failed(String),
}

/// Makes this process outlive signals and shortages that are meant for others: it ends with the process that it watches.
fn harden() {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        drop(signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))));
    }
    // Not everybody may. The name keeps whoever kills all processes of our program's name from killing this one with them.
    drop(std::fs::write("/proc/self/oom_score_adj", "-1000"));
    drop(std::fs::write("/proc/self/comm", "bs-watchdog"));
}
