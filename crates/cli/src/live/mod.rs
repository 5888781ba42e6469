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
mod memory;
mod missed;
mod recall;
mod saved;
mod told;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use backstay_capture::freeze::watchdog::{self, Watchdog};
use backstay_capture::heap;
use backstay_capture::hooks::Application;
use backstay_capture::marks::Pass;
use backstay_capture::point::{self, Settings, Stillness};
use backstay_capture::residue::Residue;
use backstay_capture::tracker::Tracker;
use backstay_vault::Vault;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Made};

use self::begin::start_watchdog;
use self::disks::{LiveDisk, trusted};
use self::keeper::Keeper;
use self::memory::{Memory, Place};
pub(crate) use self::missed::Missed;
use self::recall::Kept;
pub(crate) use self::saved::{load, save};
use self::told::{told, without_swap};
use crate::failure::{Failure, sentence};
use crate::output::note;
use crate::rate::Rate;

/// The hidden first argument that makes this program a watchdog.
pub(crate) const WATCHDOG: &str = "freeze-watchdog";

/// Extents of a point in the making that are held in memory at most; more become a span of their own.
const EXTENTS: usize = 1 << 20;

/// Watches over another process of this program that freezes.
pub(crate) fn watch() -> Result<(), Failure> {
    watchdog::serve().map_err(|e| Failure::usage(sentence(&e)))
}

/// Whole disks, and their names in the machine.
pub(crate) type Sources = Vec<(PathBuf, String)>;

/// A machine whose disks are followed.
pub(crate) struct Live<'a> {
    vault: &'a Vault,
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
    place: Place,
    /// Disks that the next rescan need not compare.
    kept: Option<Kept>,
    /// `None`: a rescan is due.
    state: Option<State>,
    next_pass: NonZeroU64,
}

/// What is followed, from where.
struct State {
    disks: Vec<LiveDisk>,
    from: Boundary,
    memory: Memory,
}

/// What is followed.
pub(crate) struct What<'a> {
    pub(crate) vault: &'a Vault,
    /// Names the store, for people or programs.
    pub(crate) store: &'a str,
    pub(crate) machine: &'a str,
    pub(crate) note: &'a str,
    pub(crate) all_blocks: bool,
    /// Whole disks, and their names in the machine.
    pub(crate) sources: Sources,
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
    pub(crate) fn rest(&self) {
        heap::give_back();
    }

    /// Makes a point.
    ///
    /// # Errors
    /// [`Missed`]; what changed is still marked, or a rescan is due.
    pub(crate) fn point(&mut self, promise: Promise) -> Result<LivePoint, Missed> {
        let outcome = self.try_point(promise);
        if let Err(Missed::Rescan(_)) = &outcome {
            self.state = None;
        }
        outcome
    }

    fn try_point(&mut self, promise: Promise) -> Result<LivePoint, Missed> {
        if !self.watchdog.is_fit() {
            self.watchdog = start_watchdog().map_err(Missed::later)?;
        }
        let pass = Pass(self.next_pass);
        self.next_pass = self.next_pass.saturating_add(1);
        let Some(state) = &mut self.state else { return Err(Missed::Rescan("nothing is followed yet".into())) };
        let following = self.vault.follow(&state.from).map_err(Missed::of)?;
        let without: Vec<_> = state.disks.iter().map(|disk| disk.without.clone()).collect();
        let mut keeper = Keeper { following, without: &without, rate: self.rate, cancel: self.cancel };
        let disks: Vec<point::Disk<'_>> = state
            .disks
            .iter()
            .map(|disk| point::Disk { number: disk.number(), device: &disk.device, marks: &disk.marks })
            .collect();
        let guarded = (&mut self.watchdog, &mut self.residue);
        let still = point::attempt(&disks, pass, guarded, (&mut keeper, &mut self.applications), self.settings);
        drop(disks);
        let still = without_swap(still.map_err(Missed::of_attempt)?, &without);
        let kept = keeper.following;
        let outcome = match trusted(&self.tracker, &state.disks) {
            Ok(()) if kept.extents() > EXTENTS => Err(Missed::Rescan("too much changed at once".into())),
            Ok(()) => {
                let memory = kept.in_making().map_or(state.memory.clone(), |next| state.memory.about_to(next));
                // Unwritten, a restart of this program costs a rescan.
                drop(self.place.write(&memory));
                kept.publish(told(self.note, &still, promise)).map_err(Missed::of)
            }
            Err(why) => Err(Missed::Rescan(why)),
        };
        let Ok(made) = outcome else {
            for disk in &state.disks {
                drop(disk.marks.merge_back(pass));
            }
            return outcome.map(|made| LivePoint { made, still });
        };
        state.go_on_from(&made, pass);
        drop(self.place.write(&state.memory));
        Ok(LivePoint { made, still })
    }
}

impl State {
    /// The point is published: its marks are cleared, and what changes from now on is relative to it.
    fn go_on_from(&mut self, made: &Made, pass: Pass) {
        for disk in &self.disks {
            if let Err(error) = disk.committed(pass) {
                note!("note: {}: marks could not be cleared, their pages will be read again: {error}", disk.name);
            }
        }
        let boundary = made.boundary();
        let ordered = self.disks.iter().filter_map(|disk| boundary.disks.iter().find(|at| at.name == disk.name));
        self.from = Boundary { disks: ordered.cloned().collect(), ..boundary };
        let stamps = self.disks.iter().map(|disk| (disk.name.as_str(), disk.marks.stamp()));
        self.memory = Memory::new(self.from.machine.id.0, self.from.number, stamps);
    }
}
