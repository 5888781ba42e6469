//! A machine that is followed: what its kernel marked, where its timeline stands, and what its next point is to show.
//!
//! Marks are truthful: every page written since they were last cleared is marked. They are cleared when what they stood for is in the
//! timeline, put back when that failed, kept when the process dies, and gone when the power fails.
//!
//! Never knows: how a vault follows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::Volume as _;
use backstay_format::rows::Consistency;
use backstay_format::units::PointNo;
use backstay_vault::disk::PointDisk;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Changed, Following, InMaking, Told};
use backstay_vault::{Vault, VaultError};

use crate::Violation;
use crate::act::{Done, Outcome, Prepared};
use crate::disk::{Disk, DiskShot, PAGE, Shot};
use crate::model::Effect;
use crate::pauses::Moment;
use crate::witness::same;

/// What is known of a machine that is followed.
pub(crate) struct Followed {
    /// Where the timeline stands, as the process that follows knows it. `None`: it died, or a rescan is due.
    pub(crate) from: Option<Boundary>,
    /// What outlives the process: boundaries that the marks reach back to. None: a rescan is due.
    pub(crate) reached: Option<(PointNo, Option<InMaking>)>,
    disks: Vec<FollowedDisk>,
}

struct FollowedDisk {
    /// What the timeline holds at the boundary.
    base: DiskShot,
    /// Pages that were read since, whether or not that came to a point.
    passed: BTreeSet<u64>,
    /// Pages that could not be read when they were read last.
    bad: BTreeSet<u64>,
    /// Pages whose marks were taken for the point in the making.
    taken: BTreeSet<u64>,
    excluded: Vec<Range<u64>>,
}

/// Pages of a disk, to be read now.
#[derive(Clone)]
pub(crate) struct Part {
    volume: Arc<SimVolume>,
    pages: Vec<Range<u64>>,
    excluded: Vec<Range<u64>>,
}

/// What to do next for a point in the making.
#[derive(Clone)]
pub(crate) enum Turn {
    /// Read these, a part for each disk.
    Pass(Vec<Part>),
    /// Make the point; it is to show this.
    Publish(Arc<Shot>, Moment),
    /// Look at what it would be if it were made now: this.
    Look(Arc<Shot>),
    /// Make none, but keep what there is.
    SetDown,
    /// The changes cannot be vouched for any more.
    Abandon,
}

/// Follows changes, turn by turn.
pub(crate) fn follow(vault: &Vault, from: &Boundary, next: &mut dyn FnMut() -> Turn, done: &mut Done) -> Outcome {
    let mut following = vault.follow(from)?;
    done.next = following.in_making();
    loop {
        match next() {
            Turn::Pass(parts) => {
                let changed = parts.iter().enumerate().map(|(disk, part)| Changed {
                    disk,
                    volume: &*part.volume,
                    pages: part.pages.clone(),
                    excluded: part.excluded.clone(),
                });
                following.pass(&changed.collect::<Vec<_>>(), &AtomicBool::new(false))?;
            }
            Turn::Look(shot) => look(&mut following, &shot, done)?,
            Turn::Publish(shot, moment) => {
                done.effect = Some(Effect::MaybeMade(shot.clone()));
                let Moment { time, every } = moment;
                let (exclusions, promise) = (Vec::new(), Promise { every, causes: Vec::new() });
                let told =
                    Told { time, consistency: Consistency::Still, held: 0, note: String::new(), exclusions, promise };
                let made = following.publish(told)?;
                done.moment = Some(moment);
                done.effect = Some(Effect::Made(made.point.number.0, shot));
                return Ok(Some(made.boundary()));
            }
            Turn::SetDown => return following.set_down().map(Some),
            Turn::Abandon => return Ok(None),
        }
    }
}

/// Holds the image of a point in the making against what the point is to be.
fn look(following: &mut Following<'_>, shot: &Shot, done: &mut Done) -> Result<(), VaultError> {
    for disk in following.image().inspect_err(|_| done.is_image_lost = true)? {
        let name = &disk.info().name;
        let Some(shot) = shot.0.iter().find(|shot| shot.name == *name) else {
            done.found.push(format!("the image has a disk {name}"));
            continue;
        };
        let read = read_image(&disk).inspect_err(|_| done.is_image_lost = true)?;
        let (bytes, unreadable) = read;
        if let Err(why) = same(&bytes, &unreadable, shot, true) {
            done.found.push(format!("the image of {name}: {why}"));
        }
    }
    done.images += 1;
    Ok(())
}

/// An image's bytes, and the pages that the source could not read.
fn read_image(disk: &PointDisk) -> Result<(Vec<u8>, BTreeSet<u64>), VaultError> {
    let mut bytes = vec![0; disk.size() as usize];
    let mut unreadable = BTreeSet::new();
    for (number, page) in bytes.chunks_mut(PAGE as usize).enumerate() {
        if let Err(error) = disk.read_at(number as u64 * PAGE, page) {
            // What the source could not read is no error of the vault.
            match error.into_inner().map(|inner| inner.downcast::<VaultError>()) {
                Some(Ok(error)) => return Err(*error),
                _ => drop(unreadable.insert(number as u64)),
            }
        }
    }
    Ok((bytes, unreadable))
}

impl Followed {
    /// What is followed after a rescan, or a point, of all disks as they were prepared.
    pub(crate) fn begun(from: Boundary, prepared: &Prepared) -> Followed {
        let disks = prepared.disks.iter().zip(&prepared.shot.0).map(|(ready, shot)| FollowedDisk {
            base: shot.clone(),
            passed: BTreeSet::new(),
            bad: shot.unreadable.clone(),
            taken: BTreeSet::new(),
            excluded: ready.excluded.clone(),
        });
        let mut followed = Followed { from: None, reached: None, disks: disks.collect() };
        followed.go_on_from(from);
        followed
    }

    fn go_on_from(&mut self, from: Boundary) {
        let at = |disk: &FollowedDisk| from.disks.iter().find(|at| at.name == disk.base.name).cloned();
        let ordered = self.disks.iter().filter_map(at).collect();
        self.reached = Some((from.number, None));
        self.from = Some(Boundary { disks: ordered, ..from });
    }

    /// The process died: what it knew is gone, what is marked is not.
    pub(crate) fn process_died(&mut self) {
        self.from = None;
    }

    /// A rescan is due.
    pub(crate) fn give_up(&mut self) {
        (self.from, self.reached) = (None, None);
    }

    /// Whether what a process that died followed can be followed on from `boundary`; `shot`: what the point there shows.
    pub(crate) fn recall(&mut self, boundary: Boundary, shot: Option<&Shot>) -> bool {
        let fits = |disk: &FollowedDisk| {
            let size = disk.base.bytes.len() as u64;
            boundary.disks.iter().any(|at| at.name == disk.base.name && at.size == size)
        };
        let Some((from, next)) = self.reached else { return false };
        let reaches = from == boundary.number || next.is_some_and(|next| boundary.is(&next));
        if !reaches || !self.disks.iter().all(fits) {
            return false;
        }
        if from != boundary.number {
            for disk in &mut self.disks {
                let found = shot.and_then(|shot| shot.0.iter().find(|of| of.name == disk.base.name));
                let Some(found) = found.filter(|of| of.bytes.len() == disk.base.bytes.len()) else { return false };
                (disk.base, disk.bad) = (found.clone(), found.unreadable.clone());
            }
        }
        self.go_on_from(boundary);
        true
    }

    /// Takes all marks, to be read now.
    pub(crate) fn take_marks(&mut self, disks: &mut [Disk]) -> Result<Vec<Part>, Violation> {
        let taking = self.disks.iter_mut().zip(disks).map(|(followed, disk)| {
            let marks = std::mem::take(&mut disk.marks);
            followed.bad.retain(|page| !marks.contains(page));
            let excluded = |page: &u64| followed.excluded.iter().any(|r| r.start <= page * PAGE && page * PAGE < r.end);
            let bad = disk.bad_pages()?;
            followed.bad.extend(bad.into_iter().filter(|page| marks.contains(page) && !excluded(page)));
            followed.taken.extend(&marks);
            followed.passed.extend(&marks);
            let (volume, excluded) = (disk.volume.clone(), followed.excluded.clone());
            Ok(Part { volume, pages: ranges(&marks), excluded })
        });
        taking.collect()
    }

    /// What a point made now is to show: the base, and over it what was written or read since, as it is now.
    pub(crate) fn shot(&self, disks: &[Disk]) -> Shot {
        let shots = self.disks.iter().zip(disks).map(|(followed, disk)| {
            let mut shot = DiskShot { unreadable: followed.bad.clone(), ..followed.base.clone() };
            let size = shot.bytes.len() as u64;
            let bytes = |page: &u64| (page * PAGE).min(size) as usize..((page + 1) * PAGE).min(size) as usize;
            for page in disk.written.union(&followed.passed) {
                shot.bytes[bytes(page)].copy_from_slice(&disk.image()[bytes(page)]);
            }
            followed.excluded.iter().for_each(|r| shot.bytes[r.start as usize..r.end as usize].fill(0));
            followed.bad.iter().for_each(|page| shot.bytes[bytes(page)].fill(0));
            shot
        });
        Shot(shots.collect())
    }

    /// What was read is in the timeline: its marks are cleared.
    pub(crate) fn kept(&mut self, from: Boundary, shot: &Shot, disks: &mut [Disk]) {
        for ((followed, shot), disk) in self.disks.iter_mut().zip(&shot.0).zip(disks) {
            followed.base = shot.clone();
            followed.passed.clear();
            followed.taken.clear();
            disk.written.clear();
        }
        self.go_on_from(from);
    }

    /// What was read is not in the timeline, or nobody knows: its marks are put back. `next`: the boundary that it may have become.
    pub(crate) fn put_back(&mut self, next: Option<InMaking>, disks: &mut [Disk]) {
        for (followed, disk) in self.disks.iter_mut().zip(disks) {
            disk.marks.append(&mut followed.taken);
        }
        if let Some((_, reached)) = &mut self.reached {
            *reached = next;
        }
    }

    /// As [`Followed::put_back`], and forgets to do it.
    pub(crate) fn forget_to_put_back(&mut self) {
        self.disks.iter_mut().for_each(|disk| disk.taken.clear());
    }
}

fn ranges(pages: &BTreeSet<u64>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for page in pages {
        match ranges.last_mut().filter(|last| last.end == *page) {
            Some(last) => last.end += 1,
            None => ranges.push(*page..page + 1),
        }
    }
    ranges
}
