//! Looking at a store as a user would, from a vault opened anew on a copy of the home, and holding it against the model.
//!
//! Never knows: how the store came to be as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use backstay_env::sim::objects::{Faults, SimObjects};
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_env::time::Clock;
use backstay_env::volume::{Content, Volume as _};
use backstay_format::units::{PAGE_SIZE, PointNo, Timestamp};
use backstay_vault::check::Findings;
use backstay_vault::disk::PointDisk;
use backstay_vault::rows::{Machine as Found, Point};
use backstay_vault::{Opened, Seams, Vault, VaultError};

use crate::Violation;
use crate::climate::Harm;
use crate::disk::{DiskShot, PAGE, Shot};
use crate::model::Machine;
use crate::ripe::{PASSPHRASE, VAULT};
use crate::tally::Tally;
use crate::witness::same;

/// How much to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The listing, and a few points.
    Some,
    /// Every point, and a check of all data.
    All,
}

/// Points compared when only some are.
const SOME: u64 = 2;

/// A copy of a home that nothing happens to.
pub(crate) fn quiet_copy(home: &SimObjects) -> SimObjects {
    let copy = home.fork();
    copy.set_faults(Faults::default());
    copy
}

/// What is seen of a home.
pub(crate) struct Look<'a> {
    pub(crate) home: SimObjects,
    pub(crate) harm: Harm,
    pub(crate) depth: Depth,
    pub(crate) dice: &'a mut Dice,
    pub(crate) tally: &'a mut Tally,
    /// A commit was acknowledged when nothing else was under way: what is there now stays.
    pub(crate) settled: bool,
}

/// A clock that the oracle sets.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A page that was named: machine, disk, point, page.
type Named = (String, u32, u64, u64);

fn bad(what: impl Into<String>) -> Violation {
    Violation(what.into())
}

impl Look<'_> {
    /// Holds all that is seen against the model.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn examine(&mut self, machines: &mut [Machine]) -> Result<(), Violation> {
        let clock = Arc::new(Hands::default());
        let Some(vault) = self.open(&clock)? else { return Ok(()) };
        let found = match vault.machines() {
            // A part that a state names is lost: that is told.
            Err(_) if self.harm.ledger => return Ok(()),
            other => other.map_err(|e| bad(format!("machines cannot be listed: {e}")))?,
        };
        if let Some(stranger) = found.iter().find(|f| !machines.iter().any(|m| m.name == f.row.name)) {
            return Err(bad(format!("nobody made machine {}", stranger.row.name)));
        }
        let mut named = Vec::new();
        let mut unopened = false;
        for machine in machines.iter_mut().filter(|machine| !machine.is_lawless) {
            let it = found.iter().find(|f| f.row.name == machine.name);
            let points = match it.map_or(Ok(Vec::new()), |f| vault.points(f.id)) {
                Err(_) if self.harm.ledger => continue,
                other => other.map_err(|e| bad(format!("points of {} cannot be listed: {e}", machine.name)))?,
            };
            self.list(&vault, it, &points, machine)?;
            let Some(it) = it else { continue };
            if let Some(oldest) = points.first().filter(|_| !self.harm.ledger) {
                self.pauses((&vault, it), oldest.number.0, &clock, machine)?;
            }
            for point in self.choose(points) {
                let Some(known) = machine.points.get(&point.number.0) else { continue };
                match self.compare(&vault, it, &point, &known.shot)? {
                    Some(pages) => named.extend(pages),
                    None => unopened = true,
                }
            }
        }
        self.tally.pages_named += named.len() as u64;
        if self.depth == Depth::All {
            self.check(&vault, &named, unopened)?;
        }
        Ok(())
    }

    /// Holds gaps and suspensions against the model.
    fn pauses(
        &mut self,
        (vault, it): (&Vault, &Found),
        oldest: u64,
        clock: &Hands,
        machine: &Machine,
    ) -> Result<(), Violation> {
        let failed = |e: VaultError| format!("what is told of gaps cannot be read: {e}");
        let told = vault.gaps(it).map_err(failed).and_then(|gaps| {
            machine.pauses.hold_against(oldest, &gaps.closed, |time| {
                clock.0.store(time.0, Ordering::Relaxed);
                vault.suspension(&it.row.name).map_err(failed)
            })
        });
        self.tally.gaps_told += told.map_err(|why| bad(format!("machine {}: {why}", it.row.name)))?;
        Ok(())
    }

    fn open(&mut self, clock: &Arc<Hands>) -> Result<Option<Vault>, Violation> {
        let seams = Seams {
            home: Arc::new(self.home.clone()),
            index_home: Arc::new(SimObjects::seeded(0)),
            clock: clock.clone(),
            random: Arc::new(SimRandom::seeded(0)),
        };
        match Vault::open_before_damage(seams, VAULT, PASSPHRASE) {
            Ok(Opened { vault, damage: None }) => Ok(Some(vault)),
            Ok(Opened { vault, damage: Some(_) }) if self.harm.ledger => Ok(Some(vault)),
            Ok(Opened { damage: Some(error), .. }) => Err(bad(format!("the ledger is said to be damaged: {error}"))),
            Err(error) if self.harm.ledger && error.is_damage() => Ok(None),
            // A part that a state names is lost: that is told, too, if in other words.
            Err(VaultError::Home(_)) if self.harm.ledger => Ok(None),
            Err(error) => Err(bad(format!("the vault cannot be opened: {error:?}"))),
        }
    }

    /// Holds a machine's listing against the model.
    fn list(
        &mut self,
        vault: &Vault,
        it: Option<&Found>,
        points: &[Point],
        machine: &mut Machine,
    ) -> Result<(), Violation> {
        let listed: BTreeSet<u64> = points.iter().map(|p| p.number.0).collect();
        if self.harm.ledger {
            // Newer entries may be lost: what is listed must be what was captured at some time.
            machine.points.retain(|number, _| listed.contains(number));
            return Ok(());
        }
        let by_number: BTreeMap<u64, &Point> = points.iter().map(|p| (p.number.0, p)).collect();
        let (strict, tally) = (self.harm.is_none(), &mut Tally::default());
        machine.hold_against(&listed, |number, shot| {
            let (it, point) = (it?, by_number.get(&number)?);
            match compare(vault, it, point, shot, strict, tally) {
                Ok(named) => Some(named.map_or(0, |named| named.len())),
                Err(Failure::Unopened(_)) => Some(0),
                Err(Failure::Wrong(_)) => None,
            }
        })?;
        if self.settled {
            machine.settle_doubts(&listed);
        }
        Ok(())
    }

    fn choose(&mut self, points: Vec<Point>) -> Vec<Point> {
        if self.depth == Depth::All || points.is_empty() {
            return points;
        }
        let newest = points.len() - 1;
        let mut chosen: BTreeSet<usize> = (0..SOME).map(|_| self.dice.below(points.len() as u64) as usize).collect();
        chosen.insert(newest);
        chosen.into_iter().map(|index| points[index].clone()).collect()
    }

    /// `None`: what leads to the point is damaged.
    fn compare(
        &mut self,
        vault: &Vault,
        it: &Found,
        point: &Point,
        shot: &Shot,
    ) -> Result<Option<Vec<Named>>, Violation> {
        match compare(vault, it, point, shot, self.harm.is_none(), self.tally) {
            Ok(named) => {
                if self.harm.is_none() {
                    changes(vault, it, point, shot, self.dice)?;
                }
                Ok(named)
            }
            Err(Failure::Unopened(_)) if !self.harm.is_none() => Ok(None),
            Err(Failure::Unopened(why) | Failure::Wrong(why)) => {
                Err(bad(format!("machine {}, point {}: {why}", it.row.name, point.number.0)))
            }
        }
    }

    /// What was not harmed is clean; what was named is found by a check too.
    fn check(&mut self, vault: &Vault, named: &[Named], unopened: bool) -> Result<(), Violation> {
        if self.harm.ledger {
            return Ok(());
        }
        let findings = vault.check(true, &mut |_, _| {}).map_err(|e| bad(format!("check failed: {e:?}")))?;
        if !self.harm.copies && !findings.is_clean() {
            return Err(bad(format!("check found, without any damage: {:?} {:?}", findings.defects, findings.losses)));
        }
        if self.harm.is_none() && !findings.losses.is_empty() {
            return Err(bad(format!("check says that data is lost: {:?}", findings.losses)));
        }
        if (unopened || !named.is_empty()) && findings.is_clean() {
            return Err(bad("points cannot be read, and check finds nothing".to_owned()));
        }
        // Where a map cannot be read but its summary can, what it refers to is not known to a check.
        if findings.defects.iter().any(|defect| defect.contains("map")) {
            return Ok(());
        }
        match named.iter().find(|page| !is_covered(&findings, page)) {
            Some(page) => Err(bad(format!("{page:?} cannot be read, and check does not name it"))),
            None => Ok(()),
        }
    }
}

fn is_covered(findings: &Findings, (machine, disk, point, page): &Named) -> bool {
    let at = page * PAGE;
    findings.losses.iter().any(|loss| {
        let when = loss.from.0 <= *point && loss.until.is_none_or(|until| *point <= until.0);
        loss.machine == *machine && loss.disk.0 == *disk && loss.bytes.contains(&at) && when
    })
}

enum Failure {
    /// The point's map cannot be read.
    Unopened(String),
    /// The oracle is contradicted.
    Wrong(String),
}

/// Reads a point's disks and holds them against a shot. Says which pages were named though the source could read them.
fn compare(
    vault: &Vault,
    it: &Found,
    point: &Point,
    shot: &Shot,
    strict: bool,
    tally: &mut Tally,
) -> Result<Option<Vec<Named>>, Failure> {
    let disks = vault.disks(it, point).map_err(|e| Failure::Unopened(format!("its map cannot be read: {e:?}")))?;
    let names: BTreeSet<&str> = disks.iter().map(|d| d.info().name.as_str()).collect();
    if names.len() != disks.len() || names != shot.0.iter().map(|s| s.name.as_str()).collect() {
        return Err(Failure::Wrong(format!("its disks are {names:?}")));
    }
    tally.points_compared += 1;
    let mut named = Vec::new();
    for disk in &disks {
        let Some(shot) = shot.0.iter().find(|s| s.name == disk.info().name) else { continue };
        let (bytes, errors) = read(disk);
        let what = |why: String| Failure::Wrong(format!("disk {}: {why}", shot.name));
        same(&bytes, &errors, shot, strict).map_err(what)?;
        // Where a map is damaged, nobody knows which of these were written since: it is never fewer than there are.
        let (said, there) = (disk.info().unreadable, shot.unreadable.len() as u64);
        if said < there || (strict && said > there) {
            return Err(what(format!("{said} pages are said to be unreadable, {there} are")));
        }
        holes(disk, shot).map_err(what)?;
        let pages = errors.difference(&shot.unreadable);
        named.extend(pages.map(|page| (it.row.name.clone(), disk.info().disk.0, point.number.0, *page)));
    }
    Ok(Some(named))
}

/// A disk's bytes, and the pages that cannot be read.
fn read(disk: &PointDisk) -> (Vec<u8>, BTreeSet<u64>) {
    let mut bytes = vec![0; disk.size() as usize];
    let mut errors = BTreeSet::new();
    if disk.read_at(0, &mut bytes).is_err() {
        for (number, page) in bytes.chunks_mut(PAGE_SIZE).enumerate() {
            if disk.read_at(number as u64 * PAGE, page).is_err() {
                errors.insert(number as u64);
            }
        }
    }
    (bytes, errors)
}

/// What is said to be a hole is one.
fn holes(disk: &PointDisk, shot: &DiskShot) -> Result<(), String> {
    let Ok(spans) = disk.spans(0, disk.size()) else { return Ok(()) };
    let hole = |s: &&backstay_env::volume::Span| s.content == Content::Hole;
    for span in spans.iter().filter(hole) {
        let bytes = &shot.bytes[span.offset as usize..(span.offset + span.len) as usize];
        if bytes.iter().any(|b| *b != 0) {
            return Err(format!("{} bytes at {} are said to be a hole", span.len, span.offset));
        }
    }
    Ok(())
}

/// What the changes from an older point do not mention did not change.
fn changes(vault: &Vault, it: &Found, point: &Point, shot: &Shot, dice: &mut Dice) -> Result<(), Violation> {
    let failed = |e: VaultError| bad(format!("changes up to point {} of {}: {e:?}", point.number.0, it.row.name));
    let older: Vec<Point> =
        vault.points(it.id).map_err(failed)?.into_iter().filter(|p| p.number < point.number).collect();
    if older.is_empty() || dice.below(3) > 0 {
        return Ok(());
    }
    let from = &older[dice.below(older.len() as u64) as usize];
    let map = vault.changes(it.id, PointNo(from.number.0), point.number).map_err(failed)?;
    for disk in vault.disks(it, from).map_err(failed)? {
        let now = point.row.disks.iter().find(|d| d.disk == disk.info().disk);
        let Some(now) = now.and_then(|now| shot.0.iter().find(|s| s.name == now.name)) else { continue };
        let (before, errors) = read(&disk);
        let pages = before.len().min(now.bytes.len()) / PAGE_SIZE;
        let extents = map.extents(disk.info().disk, 0..pages as u64).map_err(failed)?;
        for page in 0..pages {
            let number = page as u64;
            let mentioned = extents.iter().any(|e| e.page.0 <= number && number < e.end().0);
            let unknown = errors.contains(&number) || now.unreadable.contains(&number);
            let range = page * PAGE_SIZE..(page + 1) * PAGE_SIZE;
            if !mentioned && !unknown && before[range.clone()] != now.bytes[range] {
                let between = format!("points {} and {} of {}", from.number.0, point.number.0, it.row.name);
                return Err(bad(format!(
                    "page {page} of {} changed between {between}, and is not mentioned",
                    now.name
                )));
            }
        }
    }
    Ok(())
}
