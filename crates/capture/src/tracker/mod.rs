//! The tracker: programs in the kernel that mark which pages of disks may have changed, through every way of writing.
//!
//! All of it, marks and programs, is pinned in a folder of the kernel and goes on when this process ends; a later one
//! takes over where it stood. [docs/capture.md] says what is promised and why it holds.
//!
//! [docs/capture.md]: https://github.com/backstay/backstay/blob/main/docs/capture.md
//!
//! Never knows: what is done about changes.
//! Invariant: for every page of a tracked disk, at every instant: the mark is live or pending, or a read that was issued
//! after it was taken answers all writes, or a write to the page has not yet been reported as done to who wrote.

mod check;
pub(crate) mod device;
mod disk;
mod folder;
mod programs;
mod refusal;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{HashOfMaps, Map, MapData, MapError};

pub use self::check::Distrust;
use self::check::{Found, LOST_EVENTS, LOST_PROGRAMS};
use self::device::{packed, short_hash};
pub(crate) use self::disk::boot;
pub use self::disk::{Disk, Stamp};
use self::folder::Folder;
use self::programs::{DISKS, PROGRAMS};
pub use self::refusal::Refusal;
use self::state::State;
use crate::marks::layout::{MOST_DISKS, word};
use crate::marks::pinned::plain;
use crate::number::DeviceNumber;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// It cannot be done here at all.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another process has the folder.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The system did not do something.
    #[error("{during} failed")]
    Io {
        /// What was being done.
        during: String,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(during: impl Into<String>) -> impl FnOnce(io::Error) -> TrackError {
    let during = during.into();
    move |source| TrackError::Io { during, source }
}

/// One set of programs, and the disks they mark.
///
/// Dropping it changes nothing in the kernel: marking goes on. [`Tracker::detach`] ends it.
#[derive(Debug)]
pub struct Tracker {
    folder: Folder,
    state: State,
    map: HashOfMaps<MapData, u32, MapData>,
    disks: BTreeMap<DeviceNumber, Disk>,
}

impl Tracker {
    /// Takes over what an earlier process left in `folder`, or begins there. The folder is made, and mounted, if there
    /// is none; it must be under `/sys/fs/bpf` or where nothing else is. Programs of another version are replaced
    /// without a gap.
    ///
    /// One process has a folder at a time. Blocks for a few hundred milliseconds where programs are loaded.
    ///
    /// # Errors
    /// [`TrackError::InUse`]; [`Refusal`]s that are about the kernel.
    pub fn open(folder: &Path) -> Result<Tracker, TrackError> {
        Tracker::open_with(folder, programs::OBJECT)
    }

    /// As [`Tracker::open`], with programs that were compiled elsewhere: for tests and measurements of the programs
    /// themselves.
    ///
    /// # Errors
    /// As [`Tracker::open`].
    pub fn open_with(folder: &Path, object: &[u8]) -> Result<Tracker, TrackError> {
        let folder = Folder::open(folder)?;
        let state = State::open(&folder.pin("state")).map_err(failed("opening the tracker's state"))?;
        match state.set() {
            0 => Tracker::start(folder, state, object),
            set => Tracker::take_over(folder, state, set, object),
        }
    }

    fn start(folder: Folder, state: State, object: &[u8]) -> Result<Tracker, TrackError> {
        unpin_all(&folder).map_err(failed("clearing what was left half made"))?;
        match programs::attach(&folder, 1, object) {
            Ok(ids) => state.switch(1, short_hash(object), ids),
            Err(cause) => {
                // Nothing of ours stays in a kernel that does not take all of it.
                clear(folder)?;
                return Err(cause);
            }
        }
        let map = open_map(&folder)?;
        Ok(Tracker { folder, state, map, disks: BTreeMap::new() })
    }

    fn take_over(folder: Folder, state: State, set: u64, object: &[u8]) -> Result<Tracker, TrackError> {
        let during = || failed("taking over the tracker");
        programs::remove_others(&folder, Some(set)).map_err(during())?;
        let are_there =
            are_attached(&folder, &state).map_err(during())?.iter().all(|(should, is)| *is == Some(*should));
        if !folder.pin(DISKS).exists() {
            // The disks' marks are of no use to programs that do not find them.
            disk::pinned(&folder)
                .map_err(during())?
                .into_iter()
                .try_for_each(|n| disk::forget(&folder, n))
                .map_err(during())?;
        }
        let replaced = !are_there || !folder.pin(DISKS).exists() || state.object() != short_hash(object);
        let ids = replaced.then(|| programs::attach(&folder, set + 1, object)).transpose()?;
        let mut tracker = Tracker { map: open_map(&folder)?, folder, state, disks: BTreeMap::new() };
        tracker.open_disks().map_err(during())?;
        if let Some(ids) = ids {
            tracker.replace((set, are_there), short_hash(object), ids)?;
        }
        Ok(tracker)
    }

    fn open_disks(&mut self) -> io::Result<()> {
        for number in disk::pinned(&self.folder)? {
            let opened = Disk::open(&self.folder, number)?;
            match opened {
                Some(disk) if self.marks_given(number)? == Some(disk.map_id()?) => {
                    self.disks.insert(number, disk);
                }
                // Whoever added or removed it died halfway.
                _ => disk::forget(&self.folder, number)?,
            }
        }
        Ok(())
    }

    /// Has the next set take over from `set`, both being attached. What the new one misses from now on counts against
    /// it, and what the old one missed until after that against the old one: no instant is left out.
    fn replace(
        &mut self,
        (set, were_there): (u64, bool),
        object: u64,
        ids: [u32; PROGRAMS.len()],
    ) -> Result<(), TrackError> {
        let begun = programs::misses(&self.folder, set + 1)?;
        let last = programs::misses(&self.folder, set).ok();
        for disk in self.disks.values() {
            if !were_there {
                disk.header().or_word(word::LOST, LOST_PROGRAMS);
            } else if last.is_none_or(|last| check::missed(disk.header(), set, last)) {
                disk.header().or_word(word::LOST, LOST_EVENTS);
            }
            disk.rebase(set + 1, begun);
        }
        self.state.switch(set + 1, object, ids);
        programs::remove_others(&self.folder, Some(set + 1)).map_err(failed("detaching the old programs"))
    }

    /// Begins to mark the changes of the whole disk at `path`, from the moment this returns on. Marks need 32 MiB of
    /// memory a TiB, and as much for each pass that is not yet committed.
    ///
    /// # Errors
    /// A [`Refusal`] for a disk that cannot be vouched for.
    pub fn add(&mut self, path: &Path) -> Result<Disk, TrackError> {
        let number = device::number(path)?;
        let facts = device::vouch(number)?;
        if self.disks.contains_key(&number) {
            return Err(Refusal::Tracked(number).into());
        }
        if self.disks.len() == MOST_DISKS {
            return Err(Refusal::TooMany(MOST_DISKS).into());
        }
        let set = self.state.set();
        let misses = programs::misses(&self.folder, set)?;
        let disk = Disk::begin(&self.folder, (number, &facts), (set, misses))?;
        let given = self.map.insert(packed(number), disk.map(), 0).map_err(plain);
        given.map_err(failed(format!("tracking {}", facts.name)))?;
        self.disks.insert(number, disk.clone());
        Ok(disk)
    }

    /// The disks that are marked, by their numbers.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.disks.values()
    }

    /// One of them.
    pub fn disk(&self, number: DeviceNumber) -> Option<&Disk> {
        self.disks.get(&number)
    }

    /// Ends marking a disk. Nothing happens if it is not tracked.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&mut self, number: DeviceNumber) -> Result<(), TrackError> {
        let during = || failed(format!("ending to track disk {number}"));
        if self.disks.remove(&number).is_some() {
            match self.map.remove(&packed(number)).map_err(plain) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(during())?,
            }
            disk::forget(&self.folder, number).map_err(during())?;
        }
        Ok(())
    }

    /// Whether the marks of a disk tell all that has changed since `stamp` was the disk's: `Ok(Err(_))` says why not,
    /// and then a rescan is due, after the disk was removed and added again.
    ///
    /// To be asked after all is read that is to be published. Costs about a millisecond.
    ///
    /// # Errors
    /// What the system says; then nothing is known.
    pub fn check(&self, number: DeviceNumber, stamp: &Stamp) -> Result<Result<(), Distrust>, TrackError> {
        self.judge(number, stamp).map_err(failed(format!("checking the marks of disk {number}")))
    }

    fn judge(&self, number: DeviceNumber, stamp: &Stamp) -> io::Result<Result<(), Distrust>> {
        if stamp.boot != disk::boot()? {
            return Ok(Err(Distrust::OtherBoot));
        }
        let Some(disk) = self.disks.get(&number) else {
            return Ok(Err(Distrust::NotTracked(number)));
        };
        if stamp.generation != disk.stamp().generation {
            return Ok(Err(Distrust::OtherGeneration));
        }
        if self.marks_given(number)? != Some(disk.map_id()?) {
            return Ok(Err(Distrust::MarksGone));
        }
        let set = self.state.set();
        let found = Found {
            header: disk.header(),
            set,
            programs: are_attached(&self.folder, &self.state)?,
            misses: programs::misses(&self.folder, set).ok(),
            facts: gone_is_none(device::facts(number))?,
            is_writing: gone_is_none(device::is_writing(number))?.unwrap_or(false),
        };
        Ok(check::check(&found))
    }

    /// The number of the map that the programs find for a disk.
    fn marks_given(&self, number: DeviceNumber) -> io::Result<Option<u32>> {
        match self.map.get(&packed(number), 0) {
            Ok(map) => map.info().map(|info| Some(info.id())).map_err(plain),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(e) => Err(plain(e)),
        }
    }

    /// Ends all marking and removes everything from the kernel.
    ///
    /// # Errors
    /// What the system says; then some of it may be left, and detaching again removes that too.
    pub fn detach(self) -> Result<(), TrackError> {
        clear(self.folder)
    }

    /// As [`Tracker::detach`], for what a process left in `folder`, whatever its version.
    ///
    /// # Errors
    /// [`TrackError::InUse`]; as [`Tracker::detach`].
    pub fn detach_at(folder: &Path) -> Result<(), TrackError> {
        clear(Folder::open(folder)?)
    }
}

fn clear(folder: Folder) -> Result<(), TrackError> {
    let all = || {
        unpin_all(&folder)?;
        folder.unpin("state")
    };
    all().and_then(|()| folder.remove()).map_err(failed("detaching the tracker"))
}

/// All but the state. Programs first, so that none looks for what is gone.
fn unpin_all(folder: &Folder) -> io::Result<()> {
    programs::remove_others(folder, None)?;
    disk::pinned(folder)?.into_iter().try_for_each(|number| disk::forget(folder, number))?;
    folder.unpin(DISKS)
}

/// The numbers that the programs of the set in use should have, and have.
fn are_attached(folder: &Folder, state: &State) -> io::Result<[(u32, Option<u32>); PROGRAMS.len()]> {
    let set = state.set();
    let mut found = state.ids(set).map(|should| (should, None));
    for ((_, is), (name, _)) in found.iter_mut().zip(PROGRAMS) {
        *is = programs::attached(folder, set, name)?;
    }
    Ok(found)
}

fn open_map(folder: &Folder) -> Result<HashOfMaps<MapData, u32, MapData>, TrackError> {
    let open = || {
        let map = MapData::from_pin(folder.pin(DISKS)).and_then(Map::from_map_data).map_err(plain)?;
        HashOfMaps::try_from(map).map_err(plain)
    };
    open().map_err(failed("opening the map of disks"))
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
        Err(e) => Err(e),
    }
}
