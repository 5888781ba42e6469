//! The map of a machine at a point: runs laid over each other, looked up region by region.
//!
//! Opening reads the roots of the runs on the way, and nothing else; blocks are read when a region they touch is asked for.
//! Never knows: chunks' contents.

mod known;
mod run;
mod trail;

use std::num::NonZero;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_format::units::{DiskNo, MachineId, PointNo};
use backstay_timeline::extent::Extent;
use lru::LruCache;

pub(crate) use self::known::Known;
pub(crate) use self::run::{Lost, Run, RunCache, merge};
use self::trail::Trail;
use crate::{Vault, VaultError};

/// Pages of a disk whose extents are laid over each other at once: 256 MiB.
const REGION: u64 = 1 << 16;
/// Regions kept in memory.
const REGIONS: NonZero<usize> = NonZero::new(32).unwrap();

/// Pages of a region.
pub(crate) fn region_pages(region: u64) -> Range<u64> {
    region * REGION..(region + 1).saturating_mul(REGION)
}

/// What is known of regions, by disk and number.
type Regions = LruCache<(DiskNo, u64), Arc<Known>>;

/// What a machine's disks held at a point, or what changed since another.
pub struct Map {
    trail: Trail,
    /// The runs on the way, newest first; `None`: one of them is lost.
    runs: Option<Vec<Arc<Run>>>,
    regions: Mutex<Regions>,
}

impl Map {
    fn new(trail: Trail, runs: Option<Vec<Arc<Run>>>) -> Map {
        Map { trail, runs, regions: Mutex::new(LruCache::new(REGIONS)) }
    }

    /// Extents of a disk in a range of pages, in order, cut at the range's ends. Pages that none covers are zeros (or, for a
    /// map of changes, did not change).
    ///
    /// # Errors
    /// [`VaultError`]; [`VaultError::Unknown`] if there are pages among them of which nothing is known.
    pub fn extents(&self, disk: DiskNo, range: Range<u64>) -> Result<Vec<Extent>, VaultError> {
        let known = self.known(disk, range)?;
        match known.unknown.is_empty() {
            true => Ok(known.extents),
            false => Err(VaultError::Unknown(known.why.unwrap_or_default())),
        }
    }

    /// What is known of a range of pages.
    pub(crate) fn known(&self, disk: DiskNo, range: Range<u64>) -> Result<Known, VaultError> {
        let mut out = Known::default();
        let mut at = range.start;
        while at < range.end {
            let region = at / REGION;
            let end = (region + 1).saturating_mul(REGION).min(range.end);
            out.append(&*self.region(disk, region)?, &(at..end));
            at = end;
        }
        Ok(out)
    }

    fn region(&self, disk: DiskNo, region: u64) -> Result<Arc<Known>, VaultError> {
        let key = (disk, region);
        if let Some(known) = self.regions.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let pages = region_pages(region);
        let merged = self.runs.as_ref().map(|runs| merge(runs, &self.trail.packs, disk, &pages));
        let known = match merged {
            Some(Err(error)) if !error.is_damage() => return Err(error),
            Some(Ok(extents)) => Known { extents, ..Known::default() },
            _ => self.trail.salvage(disk, &pages)?,
        };
        let known = Arc::new(known);
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).put(key, known.clone());
        Ok(known)
    }

    /// How many runs it is made of; 0 if one of them is lost.
    pub fn depth(&self) -> usize {
        self.runs.as_ref().map_or(0, Vec::len)
    }
}

impl Vault {
    /// What a machine's disks held at a point.
    ///
    /// # Errors
    /// [`VaultError`]; damage names the pack with the part of the map that cannot be read.
    pub fn map(&self, machine: MachineId, point: PointNo) -> Result<Map, VaultError> {
        self.changes(machine, PointNo::BEGINNING, point)
    }

    /// What changed on a machine's disks between two points.
    ///
    /// # Errors
    /// As [`Vault::map`].
    pub fn changes(&self, machine: MachineId, from: PointNo, to: PointNo) -> Result<Map, VaultError> {
        let trail = self.trail(machine, (from, to));
        let (runs, damage) = trail.open()?;
        damage.map_or(Ok(Map::new(trail, Some(runs))), Err)
    }

    /// As [`Vault::map`], also where a run is lost: then what others say is known, and nothing else.
    pub(crate) fn map_as_far_as_known(&self, machine: MachineId, point: PointNo) -> Result<Map, VaultError> {
        let trail = self.trail(machine, (PointNo::BEGINNING, point));
        match trail.open()? {
            (runs, Some(error)) if runs.is_empty() => Err(error),
            (_, Some(_)) => Ok(Map::new(trail, None)),
            (runs, None) => Ok(Map::new(trail, Some(runs))),
        }
    }

    fn trail(&self, machine: MachineId, way: (PointNo, PointNo)) -> Trail {
        let (ledger, packs, cache) = (self.ledger.clone(), self.packs.clone(), self.runs.clone());
        Trail { ledger, packs, cache, machine, way }
    }
}
