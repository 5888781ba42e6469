//! A point after a small change: beside comparing the whole disk, beside the peers, and on a disk of a TiB.
//!
//! Never knows: steady loads.

use std::path::PathBuf;

use super::disk::{Disk, scatter};
use super::follow::{Following, Point, Store};
use super::load::{Fio, reads_pages};
use super::spread::Spread;
use super::{Found, MIB, Setting, peers};
use crate::bench::data;
use crate::bench::memory::{self, Resident};
use crate::bench::random::Random;
use crate::bench::targets::{Figure, Limit};
use crate::fail::{Fail, Result};

/// How often a change is made again because a point came amid it.
const ATTEMPTS: usize = 10;

struct Side {
    disk: Disk,
    file: PathBuf,
    store: Store,
}

impl Side {
    fn of(setting: &Setting, name: &str, disk: Disk) -> Result<Side> {
        let file = disk.fill(setting.lengths.file)?;
        let store = Store::create(&setting.program, &setting.dir.join(name))?;
        Ok(Side { disk, file, store })
    }

    /// Changes pages right after a point; the next one, which has them all.
    fn point(&self, setting: &Setting, following: &mut Following<'_>, random: &mut Random) -> Result<Point> {
        let pages = setting.lengths.pages;
        for _ in 0..ATTEMPTS {
            following.so_far();
            following.next(&setting.interrupt)?;
            scatter(&self.file, pages, random)?;
            let point = following.next(&setting.interrupt)?;
            if point.changed >= pages {
                return Ok(point);
            }
        }
        Err(Fail::new("points came amid every change"))
    }
}

/// Milliseconds of points on both disks, and the memory of who follows the large one.
struct Timed {
    small: Spread,
    large: Spread,
    memory: Memory,
}

struct Memory {
    following: Resident,
    most: u64,
}

pub(super) fn points(setting: &Setting) -> Result<Found> {
    let image = data::make(if setting.quick { data::QUICK } else { data::FULL })?.before;
    let small = Side::of(setting, "small", Disk::copy(&setting.dir, "disk", &image)?)?;
    let large = Side::of(setting, "large", Disk::fresh(&setting.dir, "tebibyte", 1 << 40)?)?;
    let Timed { small: here, large: there, memory } = in_turn(setting, &small, &large)?;
    drop(large);
    let alone = reads_alone(setting, &small)?;
    let rescans = rescans(setting, &small)?;
    let peers = peers::backups(setting, &small.disk, &small.file)?;
    let own = here.median() / 1000.0;
    let (name, theirs) = peers.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("nobody", 0.0));
    let times = |figure: &str, found: String, value: f64, least: f64| Figure {
        figure: figure.into(),
        found,
        value,
        unit: "times as fast",
        limit: Limit::AtLeast(least),
    };
    let rescan = rescans.median() / 1000.0;
    let figures = vec![
        times("point after a change, rescan", format!("{own:.3} s, rescan {rescan:.2} s"), rescan / own, 20.0),
        times("point after a change, peers", format!("{own:.3} s, {name} {theirs:.2} s"), theirs / own, 50.0),
        Figure {
            figure: "the same on 1 TiB".into(),
            found: format!("{:.0} ms, {:.0} ms", there.median(), here.median()),
            value: there.median() / here.median(),
            unit: "of the time on the smaller disk",
            limit: Limit::AtMost(1.2),
        },
        Figure {
            figure: "memory while a TiB is followed".into(),
            found: format!("{:.1} MiB, maps {:.1} MiB", mib(memory.following.own), mib(memory.following.maps)),
            value: mib(memory.following.own),
            unit: "MiB without the maps",
            limit: Limit::AtMost(128.0),
        },
    ];
    let all: Vec<String> = peers.iter().map(|(name, seconds)| format!("{name} {seconds:.2} s")).collect();
    let details = vec![
        format!("a point after {} scattered pages, ms: {}", setting.lengths.pages, here.shown(0)),
        format!("the same on 1 TiB, ms: {}", there.shown(0)),
        format!("such pages, newly written, read by fio alone, ms: {}", alone.shown(0)),
        format!("a rescan after the same change, without opening the store, ms: {}", rescans.shown(0)),
        format!("peers after the same change, the image hot in memory, best: {}", all.join(", ")),
        format!("most memory from the start on, first comparison and maps included: {:.1} MiB", mib(memory.most)),
    ];
    Ok(Found { figures, details })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn in_turn(setting: &Setting, small: &Side, large: &Side) -> Result<Timed> {
    let mut here = small.store.follow(small.disk.device(), "3s", &setting.interrupt)?;
    let mut there = large.store.follow(large.disk.device(), "3s", &setting.interrupt)?;
    let mut random = Random::seeded(5);
    let (mut shorter, mut longer) = (Vec::new(), Vec::new());
    for _ in 0..setting.lengths.changes {
        shorter.push(small.point(setting, &mut here, &mut random)?.took);
        longer.push(large.point(setting, &mut there, &mut random)?.took);
    }
    let process = there.id();
    // Looking at memory holds the process up a little, so it is done once times are taken.
    let work = || {
        (0..2).try_for_each(|_| large.point(setting, &mut there, &mut random).map(drop))?;
        Fio { file: &large.file, rate: Some(5000), distinct: false }.run(setting.lengths.growth)
    };
    let (_, following) = memory::watched(process, work)?;
    let memory = Memory { following, most: memory::most(process)? };
    Ok(Timed { small: Spread::of(shorter), large: Spread::of(longer), memory })
}

/// Milliseconds in which the pages of a change are read when nobody follows the disk.
fn reads_alone(setting: &Setting, side: &Side) -> Result<Spread> {
    let mut random = Random::seeded(7);
    let mut took = Vec::new();
    for _ in 0..setting.lengths.changes {
        setting.interrupt.check()?;
        let offsets = scatter(&side.file, setting.lengths.pages, &mut random)?;
        took.push(reads_pages(&side.file, &offsets, &setting.dir)?);
    }
    Ok(Spread::of(took))
}

/// Milliseconds of comparing the whole disk after the same change; the change before the first is what was not followed.
fn rescans(setting: &Setting, side: &Side) -> Result<Spread> {
    let mut random = Random::seeded(6);
    let mut took = Vec::new();
    side.store.rescan(side.disk.device())?;
    for _ in 0..setting.lengths.changes.min(3) {
        setting.interrupt.check()?;
        scatter(&side.file, setting.lengths.pages, &mut random)?;
        took.push(side.store.rescan(side.disk.device())?.took);
    }
    Ok(Spread::of(took))
}
