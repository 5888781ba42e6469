//! `protect` of disks whose changes can be followed: a point every few seconds, at the cost of what changed.
//!
//! ```text
//!          begin: mark, hold still, rescan              marks are doubted, or others made a point
//!   Anew ─────────────────────────────────▶ Following ──────────────────────────────────────────────▶ Anew
//!                                            │  ▲
//!                                            └──┘ attempt, check, publish, clear the marks; a failure puts the marks back
//! ```
//!
//! Never knows: how changes are marked, how file systems are held still, how bytes are stored.
//! Invariant: marks are cleared only when the point that holds what they stood for is published, and a point is published only
//! if the marks were found trustworthy after its last read.

mod begin;
mod disks;
mod keeper;
mod left_out;
mod making;
mod memory;
mod missed;
mod own;
mod recall;
mod saved;
mod told;
mod unused;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use backstay_capture::freeze::locked::MemoryLock;
use backstay_capture::freeze::watchdog::{self, Watchdog};
use backstay_capture::heap;
use backstay_capture::hooks::Application;
use backstay_capture::point::{Settings, Stillness};
use backstay_capture::residue::Residue;
use backstay_capture::tracker::Tracker;
use backstay_items::exclude::Rule;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, InMaking, Made};

use self::disks::LiveDisk;
use self::left_out::LeftOut;
use self::memory::{Memory, Place};
pub(crate) use self::missed::Missed;
pub(crate) use self::own::{load_first, save_last};
use self::recall::Kept;
pub(crate) use self::saved::{load, save};
use crate::failure::{Failure, sentence};
use crate::rate::Rate;
use crate::target::Target;

/// The hidden first argument that makes this program a watchdog.
pub(crate) const WATCHDOG: &str = "freeze-watchdog";

/// Watches over another process of this program that freezes.
pub(crate) fn watch() -> Result<(), Failure> {
    watchdog::serve().map_err(|e| Failure::usage(sentence(&e)))
}

/// Whole disks, and their names in the machine.
pub(crate) type Sources = Vec<(PathBuf, String)>;

/// A machine whose disks are followed.
pub(crate) struct Live<'a> {
    target: &'a dyn Target,
    machine: &'a str,
    note: &'a str,
    cancel: &'a AtomicBool,
    all_blocks: bool,
    sources: Sources,
    tracker: Tracker,
    applications: Vec<Box<dyn Application>>,
    settings: Settings,
    rate: Option<&'a Rate>,
    watchdog: Watchdog,
    residue: Residue,
    memory_lock: MemoryLock,
    place: Place,
    /// Disks that the next rescan need not compare.
    kept: Option<Kept>,
    /// What is left out.
    choices: &'a [Rule],
    /// What was said about them: each is told once.
    told: BTreeSet<String>,
    /// `None`: a rescan is due.
    state: Option<State>,
    next_pass: NonZeroU64,
}

/// What is followed, from where.
struct State {
    disks: Vec<LiveDisk>,
    from: Boundary,
    memory: Memory,
    /// A point of which nobody knows whether it was made.
    doubt: Option<InMaking>,
    /// What `from` lacks of each disk by choice; `None`: not looked at yet.
    left_out: Option<Vec<LeftOut>>,
}

/// What is followed.
pub(crate) struct What<'a> {
    pub(crate) target: &'a dyn Target,
    /// Names the store, for people or programs.
    pub(crate) store: &'a str,
    pub(crate) machine: &'a str,
    pub(crate) note: &'a str,
    pub(crate) all_blocks: bool,
    /// Whole disks, and their names in the machine.
    pub(crate) sources: Sources,
    /// What is left out.
    pub(crate) choices: &'a [Rule],
    /// Told of each freeze.
    pub(crate) applications: Vec<Box<dyn Application>>,
    pub(crate) settings: Settings,
    /// How fast disks may be read.
    pub(crate) rate: Option<&'a Rate>,
    pub(crate) cancel: &'a AtomicBool,
}

/// Why disks are not followed.
pub(crate) enum Refused {
    /// It cannot be done here; in words.
    Impossible(String),
    /// Another process follows the machine.
    InUse,
}

/// A point that was made, and how.
pub(crate) struct LivePoint {
    pub(crate) made: Made,
    pub(crate) still: Stillness,
}

impl Live<'_> {
    /// The names of disks that must be compared before the next point.
    pub(crate) fn to_compare(&self) -> Vec<&str> {
        let kept = |name: &str| self.kept.iter().any(|kept| kept.disks.iter().any(|disk| disk.name == name));
        let due = self.sources.iter().map(|(_, name)| name.as_str()).filter(|name| self.state.is_none() && !kept(name));
        due.collect()
    }

    /// Ends marking, and leaves nothing in the kernel.
    pub(crate) fn detach(self) -> Result<(), Failure> {
        self.place.clear().map_err(|e| Failure::new(format!("{} cannot be removed: {e}", self.place.0.display())))?;
        self.tracker.detach().map_err(|e| Failure::new(sentence(&e)))
    }

    /// Between points: gives memory back that only points need.
    pub(crate) fn rest(&mut self) {
        self.memory_lock.let_go();
        heap::give_back();
    }

    /// Makes a point.
    ///
    /// # Errors
    /// [`Missed`]; what changed is still marked, or a rescan is due.
    pub(crate) fn point(&mut self, promise: Promise) -> Result<LivePoint, Missed> {
        let outcome = self.try_point(promise);
        if outcome.is_err() {
            self.memory_lock.let_go();
        }
        if let Err(Missed::Rescan(_)) = &outcome {
            self.state = None;
        }
        outcome
    }
}
