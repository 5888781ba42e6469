//! Where following begins: at what an earlier process left, or with a rescan.
//!
//! Never knows: how points are made.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_capture::freeze::locked::MemoryLock;
use backstay_capture::freeze::watchdog::{Shelter, Watchdog};
use backstay_capture::heap;
use backstay_capture::residue::Residue;
use backstay_capture::tracker::{TrackError, Tracker};
use backstay_env::real::disk::BlockDevice;
use backstay_env::volume::Volume;
use backstay_format::rows::Consistency;
use backstay_items::disk::DiskAllocation;
use backstay_items::exclude::{Rule, resolve};
use backstay_vault::VaultError;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Capture, Progress, Source, Verdict};

use super::disks::{LiveDisk, forget_all_but, hold_still};
use super::memory::{Memory, Place};
use super::missed::Missed;
use super::recall::Kept;
use super::saved::{self, PINS};
use super::{Live, Refused, State, WATCHDOG, What};
use crate::failure::sentence;
use crate::rate::Limited;

/// Bytes that are read at most while everything is held still.
const ROOM: usize = 64 << 20;

impl<'a> Live<'a> {
    /// Attaches to the kernel, and takes over what an earlier process left there.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is left in the kernel that was not there before.
    pub(crate) fn open(what: What<'a>) -> Result<Self, Refused> {
        let What { target, store, machine, note, all_blocks, sources, choices, applications, settings, rate, cancel } =
            what;
        let folder = folder_of(store, machine);
        let other = |why: &dyn std::error::Error| Refused::Impossible(sentence(why));
        // Before there are threads: it works for a moment, again and again.
        heap::share(2);
        let place = Place::of(&folder).map_err(|e| other(&e))?;
        let mut tracker = Tracker::open(&Path::new(PINS).join(&folder)).map_err(|error| match error {
            TrackError::InUse(_) => Refused::InUse,
            error => other(&error),
        })?;
        // From here on it would be of the past.
        saved::forget(&folder).map_err(|e| other(&e))?;
        let remembered = place.read();
        // Every disk is asked for before anything is captured.
        let begun = || {
            forget_all_but(&mut tracker, &[])?;
            sources.iter().try_for_each(|(path, name)| LiveDisk::begin(&mut tracker, path, name).map(drop))
        };
        if let Some(Err(error)) = remembered.is_none().then(begun) {
            let refused = other(&error);
            drop(tracker.detach());
            return Err(refused);
        }
        let watchdog = start_watchdog().map_err(Refused::Impossible)?;
        let mut live = Live {
            target,
            machine,
            note,
            cancel,
            all_blocks,
            sources,
            tracker,
            applications,
            settings,
            rate,
            watchdog,
            residue: Residue::new(ROOM),
            memory_lock: MemoryLock::default(),
            place,
            kept: None,
            choices,
            told: BTreeSet::new(),
            state: None,
            next_pass: NonZeroU64::MIN,
        };
        if let Some(memory) = remembered {
            live.recall(memory);
        }
        Ok(live)
    }

    /// Goes on where an earlier process stood, with all disks whose marks reach back to the newest point.
    fn recall(&mut self, memory: Memory) {
        match Kept::find((self.target, self.machine), &self.tracker, &memory, &self.sources) {
            Some(Kept { from, disks }) if disks.len() == self.sources.len() => {
                // Disks that are no longer named are no longer marked.
                drop(forget_all_but(&mut self.tracker, &disks));
                self.state = Some(State { disks, from, memory, doubt: None, left_out: None });
            }
            kept => self.kept = kept,
        }
    }

    /// Begins anew: marks first, then the rescan, so that no change falls between. Disks that an earlier process followed and
    /// whose marks are trusted are not compared.
    ///
    /// # Errors
    /// [`Missed`].
    pub(crate) fn rescan(&mut self, progress: &Progress) -> Result<(), Missed> {
        self.state = None;
        drop(self.place.clear());
        let kept = self.kept.take().filter(|kept| kept.is_newest(self.target));
        let spared = kept.as_ref().map_or(&[][..], |kept| &kept.disks);
        forget_all_but(&mut self.tracker, spared).map_err(|e| Missed::later(sentence(&e)))?;
        let mut disks = Vec::new();
        for (path, name) in &self.sources {
            if !spared.iter().any(|disk| disk.name == *name) {
                let disk = LiveDisk::begin(&mut self.tracker, path, name);
                disks.push(disk.map_err(|e| Missed::later(sentence(&e)))?);
            }
        }
        let doubtful = match hold_still(&disks, &mut self.watchdog, self.settings.limits) {
            Ok(doubtful) => doubtful,
            Err(why) => vec![why],
        };
        let everything = self.all_blocks || !doubtful.is_empty();
        let compared = match self.catch_up(&mut disks, everything, progress) {
            Ok(boundary) => boundary,
            Err(missed) => {
                self.kept = kept;
                return Err(missed);
            }
        };
        let (from, disks) = match kept {
            None => (compared, disks),
            Some(kept) => match kept.joined(compared, disks, &self.sources) {
                Some(Kept { from, disks }) => (from, disks),
                None => return Err(Missed::of_vault(VaultError::Overtaken)),
            },
        };
        // It read and compared whole disks; from now on little memory will do.
        self.target.rest();
        heap::give_back();
        let stamps = disks.iter().map(|disk| (disk.name.as_str(), disk.marks.stamp()));
        let memory = Memory::new(from.machine.id.0, from.number, stamps);
        self.state = Some(State { disks, from, memory, doubt: None, left_out: None });
        Ok(())
    }

    fn catch_up(&self, disks: &mut [LiveDisk], everything: bool, progress: &Progress) -> Result<Boundary, Missed> {
        let whole = |disk: &LiveDisk| std::iter::once(0..disk.size()).collect();
        let learned: Vec<DiskAllocation> = disks.iter_mut().map(LiveDisk::learn).collect();
        let (rate, cancel) = (self.rate, self.cancel);
        let volumes: Vec<_> = disks.iter().map(|disk| Limited { volume: &disk.device, rate, cancel }).collect();
        let sources = disks.iter().zip(&volumes).zip(&learned).map(|((disk, volume), on_it)| Source {
            name: disk.name.clone(),
            origin: disk.path.display().to_string(),
            volume,
            used: if everything { whole(disk) } else { on_it.used.iter().collect() },
            // As it seems while the disk is written; the first point looks again, in what it is made of.
            excluded: seem_excluded(disk, self.choices, on_it, cancel),
            exclusions: Vec::new(),
        });
        let capture = Capture {
            machine: self.machine,
            sources: sources.collect(),
            note: String::new(),
            verdict: &|| Verdict { consistency: Consistency::Fuzzy, stamps: Vec::new() },
            cancel: self.cancel,
            progress,
            promise: Promise::default(),
        };
        self.target.catch_up(&capture).map_err(Missed::of)
    }
}

/// Bytes of a disk that choices seem to leave out.
fn seem_excluded(disk: &LiveDisk, choices: &[Rule], on_it: &DiskAllocation, cancel: &AtomicBool) -> Vec<Range<u64>> {
    let Ok(device) = BlockDevice::open(&disk.path) else { return Vec::new() };
    let volume: Arc<dyn Volume> = Arc::new(device);
    let stop = || cancel.load(Ordering::Relaxed);
    resolve(choices, (&disk.name, &volume), &on_it.parts, &stop).found.ranges.iter().collect()
}

/// Starts another process of this program to watch over freezes.
pub(super) fn start_watchdog() -> Result<Watchdog, String> {
    let program = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
    let mut command = Command::new(program);
    command.arg(WATCHDOG);
    Watchdog::start(command, Shelter::best()).map_err(|e| sentence(&e))
}

/// The name of the tracker of a machine of a store.
fn folder_of(store: &str, machine: &str) -> String {
    let hash = blake3::hash(format!("{store}\n{machine}").as_bytes()).to_hex();
    let plain: String = machine.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    format!("backstay-{plain}-{}", &hash[..16])
}
