//! A consistent point of running disks: what changed is read while everything goes on, until little is left; the rest is
//! read while all file systems are held still.
//!
//! ```text
//! pass, pass … ─▶ sync, pass … ─▶ applications: before ─▶ sync, pass ─▶ freeze ─▶ read the rest, look again ─▶ thaw ─▶ applications: after
//! (little left?)                                                               (somebody writes all the same?)
//! ```
//!
//! Never knows: what becomes of the bytes (the keeper does), or when points are due.
//! Invariant: on every way out that is not `Ok`, all marks that were taken are live again.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::Volume;

use crate::deep::Deep;
use crate::freeze::facts::{self, FactsError};
use crate::freeze::group::{Broken, FreezeError, Group, Limits, PrepareError, SyncError};
use crate::freeze::locked::MemoryLock;
use crate::freeze::mounts::{Unseen, plan};
use crate::freeze::watchdog::Watchdog;
use crate::hooks::{Application, End, Quiet, Report};
use crate::marks::{Marks, Pass};
use crate::number::DeviceNumber;
use crate::residue::Residue;

const PAGE: u64 = 4096;
/// Bytes that are read in some milliseconds.
const LITTLE: u64 = 1 << 20;
/// Bytes of room beyond what is left before a freeze.
const SPARE: usize = 12 << 20;

/// A disk whose changes are followed.
pub struct Disk<'a> {
    /// Its number.
    pub number: DeviceNumber,
    /// Read past the page cache.
    pub device: &'a BlockDevice,
    /// What may have changed.
    pub marks: &'a Marks,
}

/// Takes what was read.
pub trait Keep {
    /// Why it could not.
    type Error;

    /// Pages of a disk, read from `volume`; they cover what was given before in the same point.
    ///
    /// # Errors
    /// Ends the attempt.
    fn pass(&mut self, disk: usize, volume: &dyn Volume, pages: Vec<Range<u64>>) -> Result<(), Self::Error>;

    /// As [`Keep::pass`], of pages that were read into memory while everything was held still.
    ///
    /// # Errors
    /// As [`Keep::pass`].
    fn rest(&mut self, disk: usize, read: &dyn Volume, pages: Vec<Range<u64>>) -> Result<(), Self::Error> {
        self.pass(disk, read, pages)
    }
}

/// How hard to try.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// At most so many passes before the freeze.
    pub passes: u32,
    /// How long a freeze may last.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { passes: 6, limits: Limits::default() }
    }
}

/// How still everything was.
#[derive(Clone, Debug)]
pub struct Stillness {
    /// The moment of the point.
    pub at: SystemTime,
    /// How long everything was held.
    pub held: Duration,
    /// Bytes read meanwhile.
    pub residue: u64,
    /// How many file systems were frozen.
    pub frozen: usize,
    /// Where something was written all the same: pages of disks. Empty: the disks are of one moment.
    pub moving: Vec<(usize, Range<u64>)>,
    /// Those that cannot be frozen and lie on the disks, as people call them.
    pub unfrozen: Vec<String>,
    /// What may have written unseen.
    pub unseen: Vec<Unseen>,
    /// What applications said, before and after.
    pub reports: Vec<Report>,
    /// Folders of their data that lie on other disks than these: not of the same moment.
    pub elsewhere: Vec<PathBuf>,
}

/// Why there is no point now. What changed is still marked.
#[derive(Debug, thiserror::Error)]
pub enum NoPoint<E: std::error::Error + 'static> {
    /// The keeper failed.
    #[error("what was read could not be kept")]
    Keep(#[source] E),
    /// Marks could not be taken.
    #[error("the marks of a disk could not be taken")]
    Marks(#[source] std::io::Error),
    /// What is mounted could not be learned.
    #[error("what is mounted could not be learned")]
    Facts(#[source] FactsError),
    /// There are too many file systems.
    #[error(transparent)]
    Prepare(PrepareError),
    /// A file system could not be flushed.
    #[error(transparent)]
    Sync(SyncError),
    /// Nothing could be frozen.
    #[error(transparent)]
    Freeze(FreezeError),
    /// The freeze did not hold.
    #[error(transparent)]
    Broken(Broken),
    /// The disks change faster than they are read.
    #[error("the disks change faster than they can be read: {left} bytes were left, {room} can be read in a freeze")]
    TooBusy {
        /// Bytes left.
        left: u64,
        /// Bytes of room.
        room: u64,
    },
    /// The disks could not be read while frozen.
    #[error("the disks could not be read")]
    Read(#[source] std::io::Error),
}

/// What a freeze needs.
pub struct Guarded<'a> {
    /// Ends the freeze if this process does not.
    pub watchdog: &'a mut Watchdog,
    /// Takes what is read meanwhile.
    pub residue: &'a mut Residue,
    /// Is locked meanwhile.
    pub memory: &'a mut MemoryLock,
}

/// Makes an attempt at a point of all disks together. After one that succeeds the memory is still locked, for the caller to let go once
/// nobody waits for the point.
///
/// # Errors
/// [`NoPoint`].
pub fn attempt<K: Keep>(
    disks: &[Disk<'_>],
    pass: Pass,
    guarded: Guarded<'_>,
    (keep, applications): (&mut K, &mut [Box<dyn Application>]),
    settings: Settings,
) -> Result<Stillness, NoPoint<K::Error>>
where
    K::Error: std::error::Error + 'static,
{
    let deep: Vec<Deep<'_>> = disks.iter().map(|disk| Deep::new(disk.device)).collect();
    let Guarded { watchdog, residue, memory } = guarded;
    let mut attempt = Attempt { disks, deep: &deep, pass, residue, memory, keep, settings };
    let outcome = attempt.run(watchdog, applications);
    if outcome.is_err() {
        memory.let_go();
        for disk in disks {
            // A mark that comes back twice costs a read.
            drop(disk.marks.merge_back(pass));
        }
    }
    outcome
}

struct Attempt<'a, K> {
    disks: &'a [Disk<'a>],
    /// The same, for passes.
    deep: &'a [Deep<'a>],
    pass: Pass,
    residue: &'a mut Residue,
    memory: &'a mut MemoryLock,
    keep: &'a mut K,
    settings: Settings,
}

type Outcome<T, K> = Result<T, NoPoint<<K as Keep>::Error>>;

impl<K: Keep> Attempt<'_, K>
where
    K::Error: std::error::Error + 'static,
{
    fn run(&mut self, watchdog: &mut Watchdog, applications: &mut [Box<dyn Application>]) -> Outcome<Stillness, K> {
        self.read_until_little_is_left()?;
        let numbers: Vec<DeviceNumber> = self.disks.iter().map(|d| d.number).collect();
        let facts = facts::gather().map_err(NoPoint::Facts)?;
        let plan = plan(&facts, &numbers);
        let group = Group::prepare(plan.clone()).map_err(NoPoint::Prepare)?;
        // What is dirty is written and read before applications are held up, too.
        self.read_until_nearly_nothing_is_left(&group)?;
        let quiet = Quiet::begin(applications);
        let lies_elsewhere = |folder: &&PathBuf| {
            let superblock = facts::superblock_of(&facts, folder);
            !superblock.is_ok_and(|superblock| plan.holds(superblock))
        };
        let elsewhere = quiet.reports().iter().flat_map(|r| &r.folders).filter(lies_elsewhere).cloned().collect();
        let outcome = match quiet.reports().is_empty() {
            true => self.hold_still(&group, watchdog),
            false => self.flush(&group).and_then(|()| self.hold_still(&group, watchdog)),
        };
        let reports = quiet.end(if outcome.is_ok() { End::Kept } else { End::Discarded });
        let still = outcome?;
        self.keep_residue()?;
        Ok(Stillness { unseen: plan.unseen, reports, elsewhere, ..still })
    }

    /// Passes until what is left fits into half of the room, or is hardly getting less. What does not fit by then is found out
    /// before anybody is held up.
    fn read_until_little_is_left(&mut self) -> Outcome<(), K> {
        let mut before = u64::MAX;
        for _ in 0..self.settings.passes {
            let left = self.left();
            if left <= self.room() / 2 || left > before / 8 * 7 {
                break;
            }
            before = left;
            self.pass_all()?;
        }
        self.check_room(self.left())
    }

    fn check_room(&self, left: u64) -> Outcome<(), K> {
        if left > self.room() { Err(NoPoint::TooBusy { left, room: self.room() }) } else { Ok(()) }
    }

    fn pass_all(&mut self) -> Outcome<(), K> {
        for (index, disk) in self.disks.iter().enumerate() {
            let pages: Vec<_> = disk.marks.collect(self.pass).map_err(NoPoint::Marks)?.collect();
            if !pages.is_empty() {
                self.keep.pass(index, &self.deep[index], pages).map_err(NoPoint::Keep)?;
            }
        }
        Ok(())
    }

    /// What is dirty is written, and read, again and again as long as that leaves less: what is left is read in the freeze.
    fn read_until_nearly_nothing_is_left(&mut self, group: &Group) -> Outcome<(), K> {
        let mut before = u64::MAX;
        for _ in 0..self.settings.passes {
            self.flush(group)?;
            let left = self.left();
            if left <= LITTLE || left > before / 4 * 3 {
                return Ok(());
            }
            before = left;
        }
        Ok(())
    }

    fn flush(&mut self, group: &Group) -> Outcome<(), K> {
        group.sync().map_err(NoPoint::Sync)?;
        self.pass_all()
    }

    fn hold_still(&mut self, group: &Group, watchdog: &mut Watchdog) -> Outcome<Stillness, K> {
        let devices: Vec<&BlockDevice> = self.disks.iter().map(|d| d.device).collect();
        let mut moving = Vec::with_capacity(64);
        let left = self.left();
        self.check_room(left)?;
        // As much again for what comes before all is still, and some for what the freeze itself writes.
        self.residue.make_room(2 * left as usize + SPARE);
        // Without it this works, too, but for a memory that is short at the wrong moment.
        drop(self.memory.lock());
        let frozen = group.freeze(watchdog, self.settings.limits).map_err(NoPoint::Freeze)?;
        // From here to the thaw: no allocation, no file, no log.
        let read = self.read_rest(&devices, &mut moving);
        let held = frozen.thaw();
        read?;
        let held = held.map_err(NoPoint::Broken)?;
        let names = group.members().iter().map(|fs| fs.name().display().to_string());
        let unreached = group.unreached().iter().map(|fs| fs.name().display().to_string());
        let cannot = names.enumerate().filter(|(index, _)| held.unfrozen.contains(index)).map(|(_, name)| name);
        Ok(Stillness {
            at: held.at,
            held: held.duration,
            residue: self.residue.bytes() as u64,
            frozen: held.frozen,
            moving,
            unfrozen: cannot.chain(unreached).collect(),
            unseen: Vec::new(),
            reports: Vec::new(),
            elsewhere: Vec::new(),
        })
    }

    /// Everything is still: reads what is left, and looks whether somebody writes all the same.
    fn read_rest(&mut self, devices: &[&BlockDevice], moving: &mut Vec<(usize, Range<u64>)>) -> Outcome<(), K> {
        self.take_rest(devices)?;
        if self.left() > 0 {
            // The freeze itself writes, after what it waited for; and somebody may write past the file systems.
            self.residue.look_again();
            self.take_rest(devices)?;
        }
        for (index, disk) in self.disks.iter().enumerate() {
            // Looked at, not taken: these pages belong to the next point.
            let room = moving.capacity() - moving.len();
            moving.extend(disk.marks.live().map(|pages| (index, pages)).take(room));
        }
        Ok(())
    }

    fn take_rest(&mut self, devices: &[&BlockDevice]) -> Outcome<(), K> {
        for (index, disk) in self.disks.iter().enumerate() {
            for run in disk.marks.collect(self.pass).map_err(NoPoint::Marks)? {
                if !self.residue.add(index, run) {
                    return Err(NoPoint::TooBusy {
                        left: self.left() + self.residue.bytes() as u64,
                        room: self.room(),
                    });
                }
            }
        }
        self.residue.read(devices).map_err(NoPoint::Read)
    }

    fn keep_residue(&mut self) -> Outcome<(), K> {
        for (index, disk) in self.disks.iter().enumerate() {
            for look in self.residue.looks(index, disk.device.size()) {
                let pages = look.pages();
                if !pages.is_empty() {
                    self.keep.rest(index, &look, pages).map_err(NoPoint::Keep)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes that may have changed and were not read.
    fn left(&self) -> u64 {
        self.disks.iter().map(|d| d.marks.count() * PAGE).sum()
    }

    fn room(&self) -> u64 {
        self.residue.most() as u64
    }
}
