//! File systems that are frozen together: all or none, for a bounded time, under a watchdog.
//!
//! From the first freeze to the last thaw nothing here allocates, logs, starts a process or touches a file: any of
//! these may wait for a file system that is frozen. The same is demanded of who reads meanwhile, in this thread and in
//! any it waits for; [`MemoryLock`](super::locked::MemoryLock) takes the page faults out.
//!
//! Never knows: what is read while everything is still.
//! Invariant: on every way out, a panic included, nothing stays frozen by us.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;

use super::haste::Haste;
use super::mounts::{FileSystem, Plan};
use super::watchdog::shared::{MOST, Phase, Slot};
use super::watchdog::{Deaf, LONGEST, Watchdog};
use super::{facts, ioctl};

/// How long a freeze may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    frozen: Duration,
    busy: Duration,
}

impl Limits {
    /// `frozen`: from the first file system's freeze to the last one's thaw. `busy`: how long to wait in all, with
    /// nothing frozen, for file systems that somebody else has frozen. `None` if `frozen` is zero or above
    /// [`LONGEST`].
    pub fn new(frozen: Duration, busy: Duration) -> Option<Limits> {
        (!frozen.is_zero() && frozen <= LONGEST).then_some(Limits { frozen, busy })
    }
}

impl Default for Limits {
    /// A second, and two for others.
    fn default() -> Limits {
        Limits { frozen: Duration::from_secs(1), busy: Duration::from_secs(2) }
    }
}

/// Why a group could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// More file systems than can be handed to the watchdog.
    #[error("{0} file systems are on these disks; at most {MOST} can be frozen together")]
    TooMany(usize),
}

/// A file system could not be flushed.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be flushed", name.display())]
pub struct SyncError {
    /// Where it is mounted.
    pub name: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Why nothing was frozen. Nothing is frozen any more.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// No watchdog, no freeze. Start another.
    #[error("nothing may be frozen without a watchdog")]
    Unguarded(#[source] Deaf),
    /// Somebody else keeps it frozen.
    #[error("{} is frozen by another program", name.display())]
    Busy {
        /// Where it is mounted.
        name: PathBuf,
    },
    /// The freezes alone took longer than the limit: too much was dirty.
    #[error("freezing {} took longer than the limit", name.display())]
    Late {
        /// The file system that was being frozen then.
        name: PathBuf,
    },
    /// The kernel refused.
    #[error("{} could not be frozen", name.display())]
    Io {
        /// Where it is mounted.
        name: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It does not thaw. The watchdog goes on trying; another one is needed for other freezes.
    #[error("{} could not be thawed yet", name.display())]
    Stuck {
        /// Where it is mounted.
        name: PathBuf,
    },
}

/// Everything was still from `at` until `duration` after the freeze began.
#[derive(Clone, Debug)]
pub struct Held {
    /// When all were frozen: the time of the point.
    pub at: SystemTime,
    /// From before the first freeze until after the last thaw.
    pub duration: Duration,
    /// How many file systems were frozen.
    pub frozen: usize,
    /// Those that have no freeze, by their place in [`Group::members`]; their part of the disk may have changed.
    pub unfrozen: Vec<usize>,
}

/// What was read while frozen is not of one time: discard it. Nothing is frozen any more, but for `Stuck`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The watchdog thawed at the limit.
    #[error("the freeze was ended by its watchdog, as it reached the limit")]
    Expired,
    /// The watchdog died; this process thawed at once.
    #[error("the freeze was ended, as its watchdog died")]
    Unguarded,
    /// Another program thawed it.
    #[error("{} was thawed by another program", name.display())]
    Thawed {
        /// Where it is mounted.
        name: PathBuf,
    },
    /// It does not thaw. The watchdog goes on trying; another one is needed for other freezes.
    #[error("{} could not be thawed yet", name.display())]
    Stuck {
        /// Where it is mounted.
        name: PathBuf,
    },
}

/// File systems with a way open to each, in the order in which they are frozen. While this is there, they cannot be
/// unmounted but lazily.
#[derive(Debug)]
pub struct Group {
    members: Vec<FileSystem>,
    files: Arc<[OwnedFd]>,
    unreached: Vec<FileSystem>,
}

impl Group {
    /// Opens a way to each file system of a plan.
    ///
    /// # Errors
    /// [`PrepareError`]. A file system that no way leads to (hidden by another mount, gone) is no error: see
    /// [`Group::unreached`].
    pub fn prepare(plan: Plan) -> Result<Group, PrepareError> {
        let (mut members, mut files, mut unreached) = (Vec::new(), Vec::new(), Vec::new());
        for fs in plan.file_systems {
            match fs.places.iter().find_map(|place| facts::open(place).ok()) {
                Some(file) => {
                    members.push(fs);
                    files.push(file);
                }
                None => unreached.push(fs),
            }
        }
        if members.len() > MOST {
            return Err(PrepareError::TooMany(members.len()));
        }
        Ok(Group { members, files: files.into(), unreached })
    }

    /// What is frozen, in this order.
    pub fn members(&self) -> &[FileSystem] {
        &self.members
    }

    /// What should be frozen and cannot, as no path leads to it any more.
    pub fn unreached(&self) -> &[FileSystem] {
        &self.unreached
    }

    /// Writes out what is dirty, stacked ones first, so that the freeze has little to do. Those that cannot be frozen
    /// are flushed as well.
    ///
    /// # Errors
    /// [`SyncError`] for the first that fails; the rest is not tried.
    pub fn sync(&self) -> Result<(), SyncError> {
        for (file, member) in self.files.iter().zip(&self.members) {
            let failed = |errno: Errno| SyncError { name: member.name().into(), source: errno.into() };
            rustix::fs::syncfs(file).map_err(failed)?;
        }
        Ok(())
    }

    /// Freezes all of them. While another program keeps one frozen, all others are let go and tried again.
    ///
    /// # Errors
    /// [`FreezeError`]; then nothing is frozen.
    pub fn freeze<'a>(&'a self, watchdog: &'a mut Watchdog, limits: Limits) -> Result<Frozen<'a>, FreezeError> {
        let patience = Instant::now() + limits.busy;
        let (since, at) = (Instant::now(), SystemTime::now());
        let mut frozen = Frozen { group: self, watchdog, since, at, over: true };
        loop {
            frozen.begin(limits)?;
            let Err((at, stop)) = frozen.freeze_all() else {
                frozen.at = SystemTime::now();
                return Ok(frozen);
            };
            let name = |at: usize| self.members[at].name().to_owned();
            if let Some(at) = frozen.let_go() {
                return Err(FreezeError::Stuck { name: name(at) });
            }
            match stop {
                Stop::Busy if Instant::now() < patience => std::thread::sleep(BUSY),
                Stop::Busy => return Err(FreezeError::Busy { name: name(at) }),
                Stop::Over(Phase::Unguarded) => return Err(FreezeError::Unguarded(Deaf(Errno::PIPE.into()))),
                Stop::Over(_) => return Err(FreezeError::Late { name: name(at) }),
                Stop::Errno(errno) => return Err(FreezeError::Io { name: name(at), source: errno.into() }),
            }
        }
    }
}

/// How soon to look again at what another program has frozen.
const BUSY: Duration = Duration::from_millis(20);

/// How often, and how soon, to try again what does not thaw, before it is left to the watchdog.
const TRIES: usize = 100;
const AGAIN: Duration = Duration::from_millis(10);

enum Stop {
    Busy,
    Over(Phase),
    Errno(Errno),
}

/// All are frozen. Dropping it thaws.
pub struct Frozen<'a> {
    group: &'a Group,
    watchdog: &'a mut Watchdog,
    since: Instant,
    at: SystemTime,
    /// Nothing is left to do.
    over: bool,
}

impl Frozen<'_> {
    /// Whether nobody on our side has thawed yet. Costs one look at memory; only [`Frozen::thaw`] knows for sure.
    pub fn is_intact(&self) -> bool {
        self.watchdog.shared().phase() == Phase::Armed
    }

    /// How long it has lasted.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Thaws. To be called right after the last read.
    ///
    /// # Errors
    /// [`Broken`] if anything was thawed before this was called. It cannot tell if another program thawed and froze
    /// again: what was written in between shows in the marks only.
    pub fn thaw(mut self) -> Result<Held, Broken> {
        let in_time = self.watchdog.shared().enter(Phase::Armed, Phase::Thawing);
        let (frozen, thawed) = if in_time { self.thaw_in_time() } else { (0, None) };
        let duration = self.since.elapsed();
        let phase = self.watchdog.shared().phase();
        let unfrozen = self.unfrozen();
        let name = |at: usize| self.group.members[at].name().to_owned();
        if let Some(at) = self.let_go() {
            return Err(Broken::Stuck { name: name(at) });
        }
        match (in_time, thawed, phase) {
            (true, None, _) => Ok(Held { at: self.at, duration, frozen, unfrozen }),
            // Whoever thawed first, it was thawed.
            (_, _, Phase::Unguarded) => Err(Broken::Unguarded),
            (_, Some(at), Phase::Thawing) => Err(Broken::Thawed { name: name(at) }),
            _ => Err(Broken::Expired),
        }
    }

    fn begin(&mut self, limits: Limits) -> Result<(), FreezeError> {
        self.watchdog.arm(&self.group.files, limits.frozen).map_err(FreezeError::Unguarded)?;
        (self.since, self.over) = (Instant::now(), false);
        Ok(())
    }

    fn freeze_all(&mut self) -> Result<(), (usize, Stop)> {
        let shared = self.watchdog.shared();
        let _haste = Haste::begin(shared);
        for (at, file) in self.group.files.iter().enumerate() {
            shared.set_slot(at, Slot::Freezing);
            match ioctl::freeze(file) {
                Ok(()) => drop(shared.froze(at)),
                Err(Errno::OPNOTSUPP) => shared.set_slot(at, Slot::Cannot),
                Err(errno) => {
                    shared.set_slot(at, Slot::Free);
                    return Err((at, if errno == Errno::BUSY { Stop::Busy } else { Stop::Errno(errno) }));
                }
            }
            // Both at the limit and at its death the watchdog's side thaws what was frozen before, not what is being
            // frozen: that is looked after here.
            if shared.phase() != Phase::Armed {
                return Err((at, Stop::Over(shared.phase())));
            }
        }
        Ok(())
    }

    /// Thaws, in reverse order. Answers how many were frozen, and one that somebody else had thawed.
    fn thaw_in_time(&self) -> (usize, Option<usize>) {
        let (mut frozen, mut thawed) = (0, None);
        let shared = self.watchdog.shared();
        for (at, file) in self.group.files.iter().enumerate().rev() {
            if shared.slot(at) != Slot::Frozen {
                continue;
            }
            frozen += 1;
            match ioctl::thaw(file) {
                Ok(()) => shared.set_slot(at, Slot::Free),
                Err(Errno::INVAL) => {
                    thawed = Some(at);
                    shared.set_slot(at, Slot::Free);
                }
                // Tried again by who comes next.
                Err(_) => {}
            }
        }
        (frozen, thawed)
    }

    /// Not frozen, though asked to, and able to change.
    fn unfrozen(&self) -> Vec<usize> {
        let members = self.group.members.iter().enumerate();
        let cannot = |at: usize| self.watchdog.shared().slot(at) == Slot::Cannot;
        members.filter(|(at, fs)| cannot(*at) && !fs.read_only).map(|(at, _)| at).collect()
    }

    /// Thaws whatever is left and tells the watchdog. Answers what does not thaw.
    fn let_go(&mut self) -> Option<usize> {
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        for _ in 0..TRIES {
            if self.watchdog.thaw_all(&self.group.files) {
                self.watchdog.disarm();
                return None;
            }
            std::thread::sleep(AGAIN);
        }
        let shared = self.watchdog.shared();
        let stuck = (0..self.group.files.len()).find(|at| matches!(shared.slot(*at), Slot::Frozen | Slot::Freezing));
        self.watchdog.leave();
        stuck
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}
