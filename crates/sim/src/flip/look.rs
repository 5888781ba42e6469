//! Looking at a harmed store as a user would: what is listed, what reads as it was, what is an error, and what a check says.
//!
//! Never knows: what was done to the store.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;

use backstay_env::objects::ObjectError;
use backstay_env::sim::objects::SimObjects;
use backstay_env::volume::Volume as _;
use backstay_vault::check::Findings;
use backstay_vault::disk::PointDisk;
use backstay_vault::rows::{Machine, Point};
use backstay_vault::{Opened, Vault, VaultError};

use super::Planted;
use super::store::{Truth, seams};
use crate::Violation;
use crate::disk::{DiskShot, PAGE, Shot};
use crate::ripe::{PASSPHRASE, TUNING, VAULT};
use crate::witness::same;

/// A page of a disk.
pub(super) type Page = (u32, u64);

/// What was seen of a point that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It cannot be opened.
    Unopened,
    /// Read as it was, but for these pages: errors, where the source gave none.
    Read(BTreeSet<Page>),
}

impl Sight {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Sight::Read(named) if named.is_empty())
    }

    /// Whether nothing is lost that could be had before.
    pub(super) fn is_no_worse_than(&self, before: &Sight) -> bool {
        match (self, before) {
            (_, Sight::Unopened) => true,
            (Sight::Unopened, Sight::Read(_)) => false,
            (Sight::Read(now), Sight::Read(before)) => now.is_subset(before),
        }
    }
}

/// What was seen of a store.
#[derive(Default)]
pub(super) struct Seen {
    /// By machine and number.
    pub(super) points: BTreeMap<(String, u64), Sight>,
    /// Errors other than those of single pages, in words.
    pub(super) told: Vec<String>,
    /// The vault could be opened, at least as it was before the damage.
    pub(super) opened: bool,
    /// What a check found; `None`: there was nothing to check, and that was told.
    pub(super) findings: Option<Findings>,
}

/// An error and what caused it, in words.
pub(super) fn words(error: &dyn Error) -> String {
    let mut all = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        all.push_str(": ");
        all.push_str(&error.to_string());
        cause = error.source();
    }
    all
}

/// Looks at a home; `check`: and lets all data be checked. `names`: whether an error says what is the matter.
pub(super) struct Looking<'a> {
    pub(super) truth: &'a Truth,
    pub(super) names: &'a dyn Fn(&str) -> bool,
    pub(super) planted: Option<Planted>,
}

impl Looking<'_> {
    /// # Errors
    /// The first wrong byte, a point nobody made, or an error that does not say what is the matter.
    pub(super) fn look(&self, home: &SimObjects, check: bool) -> Result<Seen, Violation> {
        let mut seen = Seen::default();
        let vault = match Vault::open_before_damage(seams(home, 1), VAULT, PASSPHRASE) {
            Ok(Opened { vault, damage }) => {
                damage.map_or(Ok(()), |e| self.tell(&e, &mut seen))?;
                seen.opened = true;
                vault.with_tuning(TUNING)
            }
            Err(error) => {
                self.tell(&error, &mut seen)?;
                return Ok(seen);
            }
        };
        match vault.machines() {
            Ok(machines) => machines.iter().try_for_each(|m| self.machine(&vault, m, &mut seen))?,
            Err(error) => self.tell(&error, &mut seen)?,
        }
        if check {
            match vault.check(true, &mut |_, _| {}) {
                Ok(findings) => seen.findings = Some(findings),
                Err(error) => self.tell(&error, &mut seen)?,
            }
        }
        Ok(seen)
    }

    /// Takes note of an error, which must say what is damaged or lost.
    pub(super) fn tell(&self, error: &VaultError, seen: &mut Seen) -> Result<(), Violation> {
        let text = words(error);
        let lost = matches!(error, VaultError::Home(ObjectError::NotFound(_) | ObjectError::Short(_)));
        let absent = matches!(error, VaultError::NoStore | VaultError::NoVault(_));
        if !(error.is_damage() || lost || absent) {
            return Err(Violation(format!("no damage is told, but: {text}")));
        }
        if !(self.names)(&text) {
            return Err(Violation(format!("this does not say what is damaged: {text}")));
        }
        seen.told.push(text);
        Ok(())
    }

    fn machine(&self, vault: &Vault, machine: &Machine, seen: &mut Seen) -> Result<(), Violation> {
        let name = &machine.row.name;
        let known = self.truth.get(name).ok_or_else(|| Violation(format!("nobody made machine {name}")))?;
        let points = match vault.points(machine.id) {
            Ok(points) => points,
            Err(error) => return self.tell(&error, seen),
        };
        for point in points {
            let number = point.number.0;
            let place = format!("machine {name}, point {number}");
            let shot = known.get(&number).ok_or_else(|| Violation(format!("{place}: nobody captured it")))?;
            let sight = self.point(vault, machine, &point, shot, seen);
            let sight = sight.map_err(|Violation(why)| Violation(format!("{place}: {why}")))?;
            if seen.points.insert((name.clone(), number), sight).is_some() {
                return Err(Violation(format!("{place}: is listed twice")));
            }
        }
        Ok(())
    }

    fn point(
        &self,
        vault: &Vault,
        machine: &Machine,
        point: &Point,
        shot: &Shot,
        seen: &mut Seen,
    ) -> Result<Sight, Violation> {
        let disks = match vault.disks(machine, point) {
            Ok(disks) => disks,
            Err(error) => {
                self.tell(&error, seen)?;
                return Ok(Sight::Unopened);
            }
        };
        let names: Vec<&str> = disks.iter().map(|d| d.info().name.as_str()).collect();
        if names != shot.0.iter().map(|s| s.name.as_str()).collect::<Vec<_>>() {
            return Err(Violation(format!("its disks are {names:?}")));
        }
        let mut named = BTreeSet::new();
        for (disk, shot) in disks.iter().zip(&shot.0) {
            let (bytes, errors) = self.read(disk, shot)?;
            let wrong = |why| Violation(format!("disk {}: {why}", shot.name));
            same(&bytes, &errors, shot, false).map_err(wrong)?;
            named.extend(errors.difference(&shot.unreadable).map(|page| (disk.info().disk.0, *page)));
        }
        Ok(Sight::Read(named))
    }

    /// A disk's bytes, and the pages that cannot be read.
    fn read(&self, disk: &PointDisk, shot: &DiskShot) -> Result<(Vec<u8>, BTreeSet<u64>), Violation> {
        let mut bytes = vec![0; disk.size() as usize];
        let mut errors = BTreeSet::new();
        if disk.read_at(0, &mut bytes).is_ok() {
            return Ok((bytes, errors));
        }
        for (page, number) in bytes.chunks_mut(PAGE as usize).zip(0..) {
            let Err(error) = disk.read_at(number * PAGE, page) else { continue };
            if shot.unreadable.contains(&number) {
                errors.insert(number);
                continue;
            }
            if self.planted == Some(Planted::VerifiesNothing) {
                continue;
            }
            self.vouch(&error).map_err(|why| Violation(format!("page {number} of {}: {why}", shot.name)))?;
            errors.insert(number);
        }
        Ok((bytes, errors))
    }

    /// A page that cannot be vouched for is reported as damage, by name.
    fn vouch(&self, error: &io::Error) -> Result<(), String> {
        let cause = error.get_ref().map_or(String::new(), |cause| words(cause));
        if error.kind() != io::ErrorKind::InvalidData {
            return Err(format!("no damage is told, but: {error}: {cause}"));
        }
        if (self.names)(&cause) { Ok(()) } else { Err(format!("this does not say what is damaged: {cause}")) }
    }
}
