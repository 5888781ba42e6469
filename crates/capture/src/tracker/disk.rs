//! One tracked disk: its marks, and what it was when they began.
//!
//! Never knows: programs, other disks.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use aya::maps::MapData;
use backstay_env::random::Random;
use backstay_env::real::system::SystemRandom;
use backstay_format::units::PAGE_SIZE;

use super::check::misses_word;
use super::device::{Facts, packed};
use super::folder::Folder;
use super::programs::Misses;
use super::refusal::Refusal;
use super::{TrackError, failed};
use crate::marks::layout::{Shape, word};
use crate::marks::pinned::{self, Pinned, plain};
use crate::marks::{Marks, Pass};
use crate::number::DeviceNumber;

/// What to remember beside a copy of a disk, to know later whether the marks tell all that changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The run of the machine.
    pub boot: [u8; 16],
    /// The beginning of the marks.
    pub generation: [u8; 16],
}

/// A disk whose changes are marked. Can be cloned: all clones are the same marks.
#[derive(Clone, Debug)]
pub struct Disk {
    number: DeviceNumber,
    stamp: Stamp,
    marks: Arc<Marks>,
    map: Arc<MapData>,
}

impl Deref for Disk {
    type Target = Marks;

    fn deref(&self) -> &Marks {
        &self.marks
    }
}

impl Disk {
    /// Makes marks for a disk. Nothing marks there before its map is given to the programs.
    pub(super) fn begin(
        folder: &Folder,
        (number, facts): (DeviceNumber, &Facts),
        (set, misses): (u64, Misses),
    ) -> Result<Disk, TrackError> {
        let too_large = || Refusal::TooLarge { name: facts.name.clone() };
        let shape = Shape::of(facts.size.div_ceil(PAGE_SIZE as u64)).ok_or_else(too_large)?;
        let during = || failed(format!("making the marks of {}", facts.name));
        forget(folder, number).map_err(during())?;
        let (marks, map) = pinned::create(&folder.pin(&live(number)), shape).map_err(during())?;
        let mut generation = [0; 16];
        SystemRandom.fill(&mut generation);
        for (at, half) in generation.chunks_exact(8).enumerate() {
            marks.set_word(word::GENERATION + at, u64::from_le_bytes(half.try_into().unwrap_or_default()));
        }
        marks.set_word(word::NUMBER, u64::from(packed(number)));
        marks.set_word(word::SIZE, facts.size);
        marks.set_word(word::SEQUENCE, facts.sequence.unwrap_or(0));
        marks.set_word(word::PARTITIONS, facts.partitions);
        set_misses(&marks, set, misses);
        marks.begin();
        Disk::of(folder, number, marks, map).map_err(during())
    }

    /// Opens the marks that an earlier process made. `None`: it did not finish them.
    pub(super) fn open(folder: &Folder, number: DeviceNumber) -> io::Result<Option<Disk>> {
        let Some((marks, map)) = pinned::open(&folder.pin(&live(number)))? else {
            return Ok(None);
        };
        marks.mend();
        Disk::of(folder, number, marks, map).map(Some)
    }

    fn of(folder: &Folder, number: DeviceNumber, marks: Pinned, map: MapData) -> io::Result<Disk> {
        let half = |at| marks.word(word::GENERATION + at).to_le_bytes();
        let mut generation = [0; 16];
        generation[..8].copy_from_slice(&half(0));
        generation[8..].copy_from_slice(&half(1));
        let stamp = Stamp { boot: boot()?, generation };
        let stem = pending(number);
        let passes = folder.names(&stem)?.into_iter().filter_map(|pass| pass.parse().ok().map(Pass));
        let marks = Arc::new(Marks::open(marks, &folder.pin(&stem), passes)?);
        Ok(Disk { number, stamp, marks, map: Arc::new(map) })
    }

    /// Its device number.
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// What to remember beside a copy that was begun from now on.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Says that from now on programs of another set mark, and what they had missed by then.
    pub(super) fn rebase(&self, set: u64, misses: Misses) {
        set_misses(self.header(), set, misses);
    }

    pub(super) fn map(&self) -> &MapData {
        &self.map
    }

    pub(super) fn map_id(&self) -> io::Result<u32> {
        self.map.info().map(|info| info.id()).map_err(plain)
    }
}

/// Removes all pins of a disk.
pub(super) fn forget(folder: &Folder, number: DeviceNumber) -> io::Result<()> {
    for pass in folder.names(&pending(number))? {
        folder.unpin(&format!("{}{pass}", pending(number)))?;
    }
    folder.unpin(&live(number))
}

/// Disks that have marks pinned, finished or not.
pub(super) fn pinned(folder: &Folder) -> io::Result<Vec<DeviceNumber>> {
    let number = |name: &String| {
        let (major, minor) = name.split_once('-')?;
        Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
    };
    Ok(folder.names("live-")?.iter().filter_map(number).collect())
}

fn live(number: DeviceNumber) -> String {
    format!("live-{}-{}", number.major, number.minor)
}

fn pending(number: DeviceNumber) -> String {
    format!("pending-{}-{}-", number.major, number.minor)
}

fn set_misses(header: &Pinned, set: u64, misses: Misses) {
    for (at, count) in misses.iter().enumerate() {
        header.set_word(misses_word(set) + at, *count);
    }
}

/// Names this run of the machine.
pub(crate) fn boot() -> io::Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(number.to_be_bytes())
}
