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

mod disks;
mod keeper;
mod memory;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use backstay_capture::freeze::group::{FreezeError, lock_memory};
use backstay_capture::freeze::mounts::UnseenWhy;
use backstay_capture::freeze::watchdog::{self, Shelter, Watchdog};
use backstay_capture::hooks::{Application, Outcome, Report};
use backstay_capture::marks::Pass;
use backstay_capture::point::{self, NoPoint, Settings, Stillness};
use backstay_capture::residue::Residue;
use backstay_capture::tracker::{TrackError, Tracker};
use backstay_format::rows::Consistency;
use backstay_format::units::Timestamp;
use backstay_vault::protect::{Boundary, Capture, Made, Progress, Source, Told, Verdict};
use backstay_vault::{Vault, VaultError};

use self::disks::{LiveDisk, forget_all, hold_still};
use self::keeper::{Keeper, outside};
use self::memory::{Memory, Place};
use crate::failure::{Failure, sentence};
use crate::output::note;

/// The hidden first argument that makes this program a watchdog.
pub(crate) const WATCHDOG: &str = "freeze-watchdog";

/// Bytes that are read at most while everything is held still.
const ROOM: usize = 64 << 20;
/// Extents of a point in the making that are held in memory at most; more become a span of their own.
const EXTENTS: usize = 1 << 20;

/// Watches over another process of this program that freezes.
pub(crate) fn watch() -> Result<(), Failure> {
    watchdog::serve().map_err(|e| Failure::usage(sentence(&e)))
}

/// A machine whose disks are followed.
pub(crate) struct Live<'a> {
    vault: &'a Vault,
    machine: &'a str,
    note: &'a str,
    cancel: &'a AtomicBool,
    all_blocks: bool,
    sources: Vec<(PathBuf, String)>,
    tracker: Tracker,
    applications: Vec<Box<dyn Application>>,
    settings: Settings,
    watchdog: Watchdog,
    residue: Residue,
    place: Place,
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
    pub(crate) sources: Vec<(PathBuf, String)>,
    /// Told of each freeze.
    pub(crate) applications: Vec<Box<dyn Application>>,
    pub(crate) settings: Settings,
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

/// Why there is no point this time.
pub(crate) enum Missed {
    /// The same may work next time.
    Later(String),
    /// The changes cannot be vouched for; a rescan comes first.
    Rescan(String),
    /// It makes no sense to go on.
    Final(Failure),
}

impl<'a> Live<'a> {
    /// Attaches to the kernel, and takes over what an earlier process left there.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is left in the kernel that was not there before.
    pub(crate) fn open(what: What<'a>) -> Result<Self, Refused> {
        let What { vault, store, machine, note, all_blocks, sources, applications, settings, cancel } = what;
        let folder = folder_of(store, machine);
        let other = |why: &dyn std::error::Error| Refused::Impossible(sentence(why));
        let place = Place(runtime_folder().map_err(|e| other(&e))?.join(format!("{folder}.json")));
        let mut tracker = Tracker::open(&Path::new("/sys/fs/bpf").join(&folder)).map_err(|error| match error {
            TrackError::InUse(_) => Refused::InUse,
            error => other(&error),
        })?;
        let remembered = place.read();
        // Every disk is asked for before anything is captured.
        let begun = || {
            forget_all(&mut tracker)?;
            sources.iter().try_for_each(|(path, name)| LiveDisk::begin(&mut tracker, path, name).map(drop))
        };
        if let Some(Err(error)) = remembered.is_none().then(begun) {
            let refused = other(&error);
            drop(tracker.detach());
            return Err(refused);
        }
        let watchdog = start_watchdog().map_err(Refused::Impossible)?;
        // Without this it works, too, but for a memory that is short at the wrong moment.
        drop(lock_memory());
        let mut live = Live {
            vault,
            machine,
            note,
            cancel,
            all_blocks,
            sources,
            tracker,
            applications,
            settings,
            watchdog,
            residue: Residue::new(ROOM),
            place,
            state: None,
            next_pass: NonZeroU64::MIN,
        };
        live.state = remembered.and_then(|memory| live.recall(memory));
        Ok(live)
    }

    /// Whether the next point needs a rescan first.
    pub(crate) fn needs_rescan(&self) -> bool {
        self.state.is_none()
    }

    /// Ends marking, and leaves nothing in the kernel.
    pub(crate) fn detach(self) -> Result<(), Failure> {
        self.place.clear().map_err(|e| Failure::new(format!("{} cannot be removed: {e}", self.place.0.display())))?;
        self.tracker.detach().map_err(|e| Failure::new(sentence(&e)))
    }

    /// Goes on where an earlier process stood, if the marks reach back to the newest point.
    fn recall(&mut self, memory: Memory) -> Option<State> {
        let boundary = self.vault.boundary(self.machine).ok().flatten()?;
        if !memory.reaches(boundary.machine.id.0, boundary.number) || memory.disks() != self.sources.len() {
            return None;
        }
        let (mut disks, mut ordered) = (Vec::new(), Vec::new());
        for (path, name) in &self.sources {
            let mut disk = LiveDisk::go_on(&self.tracker, path, name)?;
            let stamp = memory.stamp(name)?;
            let trusted = self.tracker.check(disk.marks.number(), &stamp);
            let at = boundary.disks.iter().find(|d| d.name == *name)?;
            if !matches!(trusted, Ok(Ok(()))) || at.size != disk.size() {
                return None;
            }
            disk.learn();
            ordered.push(at.clone());
            disks.push(disk);
        }
        let from = Boundary { disks: ordered, ..boundary };
        Some(State { disks, from, memory })
    }

    /// Begins anew: marks first, then the rescan, so that no change falls between.
    ///
    /// # Errors
    /// [`Missed`].
    pub(crate) fn rescan(&mut self, progress: &Progress) -> Result<(), Missed> {
        self.state = None;
        drop(self.place.clear());
        forget_all(&mut self.tracker).map_err(|e| Missed::Later(sentence(&e)))?;
        let mut disks = Vec::new();
        for (path, name) in &self.sources {
            let disk = LiveDisk::begin(&mut self.tracker, path, name);
            disks.push(disk.map_err(|e| Missed::Later(sentence(&e)))?);
        }
        let doubtful = match hold_still(&disks, &mut self.watchdog, self.settings.limits) {
            Ok(doubtful) => doubtful,
            Err(why) => vec![why],
        };
        let everything = self.all_blocks || !doubtful.is_empty();
        let from = self.catch_up(&mut disks, everything, progress)?;
        let stamps = disks.iter().map(|disk| (disk.name.as_str(), disk.marks.stamp()));
        let memory = Memory::new(from.machine.id.0, from.number, stamps);
        self.state = Some(State { disks, from, memory });
        Ok(())
    }

    fn catch_up(&self, disks: &mut [LiveDisk], everything: bool, progress: &Progress) -> Result<Boundary, Missed> {
        let whole = |disk: &LiveDisk| std::iter::once(0..disk.size()).collect();
        let used: Vec<Vec<_>> = disks
            .iter_mut()
            .map(|disk| {
                let on_it = disk.learn();
                if everything { whole(disk) } else { on_it.used.iter().collect() }
            })
            .collect();
        let sources = disks.iter().zip(used).map(|(disk, used)| Source {
            name: disk.name.clone(),
            origin: disk.path.display().to_string(),
            volume: &disk.device,
            used,
            excluded: Vec::new(),
            exclusions: Vec::new(),
        });
        let capture = Capture {
            machine: self.machine,
            sources: sources.collect(),
            note: String::new(),
            verdict: &|| Verdict { consistency: Consistency::Fuzzy, stamps: Vec::new() },
            cancel: self.cancel,
            progress,
        };
        self.vault.catch_up(&capture).map_err(Missed::of)
    }

    /// Makes a point.
    ///
    /// # Errors
    /// [`Missed`]; what changed is still marked, or a rescan is due.
    pub(crate) fn point(&mut self) -> Result<LivePoint, Missed> {
        let outcome = self.try_point();
        if let Err(Missed::Rescan(_)) = &outcome {
            self.state = None;
        }
        outcome
    }

    fn try_point(&mut self) -> Result<LivePoint, Missed> {
        if !self.watchdog.is_fit() {
            self.watchdog = start_watchdog().map_err(Missed::Later)?;
        }
        let pass = Pass(self.next_pass);
        self.next_pass = self.next_pass.saturating_add(1);
        let Some(state) = &mut self.state else { return Err(Missed::Rescan("nothing is followed yet".into())) };
        let following = self.vault.follow(&state.from).map_err(Missed::of)?;
        let without: Vec<_> = state.disks.iter().map(|disk| disk.without.clone()).collect();
        let mut keeper = Keeper { following, without: &without, cancel: self.cancel };
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
                let memory = kept.next().map_or(state.memory.clone(), |next| state.memory.about_to(next));
                // Unwritten, a restart of this program costs a rescan.
                drop(self.place.write(&memory));
                kept.publish(told(self.note, &still)).map_err(Missed::of)
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

impl Missed {
    fn of(error: VaultError) -> Missed {
        match error {
            VaultError::Overtaken => {
                Missed::Rescan("somebody else made a point of this machine, or took what this one used".into())
            }
            VaultError::Cancelled => Missed::Later("interrupted: no point was made".into()),
            error => {
                let failure = Failure::from(error);
                if failure.is_final() { Missed::Final(failure) } else { Missed::Later(failure.to_string()) }
            }
        }
    }

    fn of_attempt(why: NoPoint<VaultError>) -> Missed {
        match why {
            NoPoint::Keep(error) => Missed::of(error),
            NoPoint::Freeze(FreezeError::Unguarded(_)) => Missed::Later("the watchdog died; another is started".into()),
            why => Missed::Later(sentence(&why)),
        }
    }
}

/// What was written to swap meanwhile is nobody's concern.
fn without_swap(mut still: Stillness, without: &[Vec<std::ops::Range<u64>>]) -> Stillness {
    let left = |(disk, pages): (usize, std::ops::Range<u64>)| {
        let left = outside(std::slice::from_ref(&pages), &without[disk]);
        left.into_iter().map(move |pages| (disk, pages))
    };
    still.moving = still.moving.into_iter().flat_map(left).collect();
    still
}

/// Whether the marks of all disks tell all that changed.
fn trusted(tracker: &Tracker, disks: &[LiveDisk]) -> Result<(), String> {
    for disk in disks {
        match tracker.check(disk.marks.number(), &disk.marks.stamp()) {
            Ok(Ok(())) => {}
            Ok(Err(distrust)) => return Err(format!("{}: {distrust}", disk.name)),
            Err(error) => return Err(format!("{}: {}", disk.name, sentence(&error))),
        }
    }
    Ok(())
}

/// What the point says of itself.
fn told(note: &str, still: &Stillness) -> Told {
    let mut notes: Vec<String> = Some(note.to_owned()).filter(|note| !note.is_empty()).into_iter().collect();
    if let Some((_, pages)) = still.moving.first() {
        let more = if still.moving.len() > 1 { " and elsewhere" } else { "" };
        notes.push(format!("written while held still: bytes from {}{more}", pages.start * 4096));
    }
    if !still.unfrozen.is_empty() {
        notes.push(format!("could not be held still: {}", still.unfrozen.join(", ")));
    }
    let hidden = still.unseen.iter().filter(|unseen| unseen.why == UnseenWhy::NoMount);
    notes.extend(hidden.map(|unseen| format!("in use, and out of sight: {} on {}", unseen.kind, unseen.device)));
    notes.extend(still.elsewhere.iter().map(|folder| format!("not on these disks: {}", folder.display())));
    notes.extend(still.reports.iter().filter_map(of_application));
    let moved = !still.moving.is_empty();
    let since = still.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Told {
        time: Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        consistency: if moved { Consistency::Fuzzy } else { Consistency::Still },
        note: notes.join("; "),
        exclusions: Vec::new(),
    }
}

/// What a point says of an application.
fn of_application(report: &Report) -> Option<String> {
    match &report.outcome {
        Outcome::Done if report.what.is_empty() => None,
        Outcome::Done => Some(format!("{}: {}", report.application, report.what)),
        Outcome::Failed(why) => Some(format!("{} failed: {why}", report.application)),
        Outcome::Late => Some(format!("{} was not done in time", report.application)),
    }
}

fn start_watchdog() -> Result<Watchdog, String> {
    let program = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
    let mut command = Command::new(program);
    command.arg(WATCHDOG);
    Watchdog::start(command, Shelter::best()).map_err(|e| sentence(&e))
}

/// Where state that a restart of the machine may lose is kept.
fn runtime_folder() -> std::io::Result<PathBuf> {
    let folder = std::env::var_os("RUNTIME_DIRECTORY").map_or_else(|| PathBuf::from("/run/backstay"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The name of the tracker of a machine of a store.
fn folder_of(store: &str, machine: &str) -> String {
    let hash = blake3::hash(format!("{store}\n{machine}").as_bytes()).to_hex();
    let plain: String = machine.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    format!("backstay-{plain}-{}", &hash[..16])
}
