//! Another process, which talks to the guest agent and outlives us: guests are let go in time, and what is held of disks is let go,
//! whatever becomes of the process that asked for it.
//!
//! ```text
//!   charge ─▶ Idle ──freeze──▶ Frozen ──thaw, time is over, or the other process is gone──▶ Idle ──bye──▶ end
//!                 └────────── the other process is gone: clean up, end
//! ```
//!
//! Never knows: what the stillness is used for.

mod client;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use client::{Frozen, Watchdog};
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
    /// They were until now.
    Thawed,
    /// They had been let go before; or nothing was held.
    Late,
    /// It did not work, and nothing is held still.
    Failed(String),
}
