//! Checking a vault: what is damaged, and what that costs.
//!
//! Never knows: how to mend it.

mod book;
mod maps;
mod packs;

use std::collections::BTreeMap;

use backstay_env::objects::ObjectError;
use backstay_format::names;
use backstay_format::twin::{self, Kind};
use backstay_format::units::{DiskNo, PointNo};
use backstay_store::ledger::View;

use crate::open::key;
use crate::rows::machines_in;
use crate::{Vault, VaultError};

/// Data of points that cannot be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The machine.
    pub machine: String,
    /// The disk.
    pub disk: DiskNo,
    /// Bytes from the start of the disk.
    pub bytes: std::ops::Range<u64>,
    /// The first point with the damage.
    pub from: PointNo,
    /// The last one; `None`: the newest.
    pub until: Option<PointNo>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Objects, packs and maps with a defect, in words.
    pub defects: Vec<String>,
    /// Ranges of disks that are lost by it.
    pub losses: Vec<Loss>,
    /// Packs looked at.
    pub packs: u64,
    /// Bytes of packs that were read and checked.
    pub bytes: u64,
}

impl Findings {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.defects.is_empty() && self.losses.is_empty()
    }
}

impl Vault {
    /// Checks the ledger, the key table, each pack's tables, and each map; with `read_data` each frame too. Where the ledger is
    /// damaged, what was committed before the damage is checked, and what comes after it is named. `progress`: packs done and
    /// packs in all.
    ///
    /// # Errors
    /// [`VaultError`] when the home cannot be read; damage is no error but a finding.
    pub fn check(&self, read_data: bool, progress: &mut dyn FnMut(u64, u64)) -> Result<Findings, VaultError> {
        let mut findings = Findings::default();
        let view = self.newest_readable()?;
        findings.defects.extend(self.check_books(&view)?);
        findings.defects.extend(self.check_header_and_slots()?);
        match self.check_contents(&view, read_data, &mut findings, progress) {
            Err(error) if is_loss(&error) => {
                findings.defects.push(format!("not everything could be checked: {}", in_full(&error)));
                Ok(findings)
            }
            outcome => outcome.map(|()| findings),
        }
    }

    fn check_contents(
        &self,
        view: &View,
        read_data: bool,
        findings: &mut Findings,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), VaultError> {
        let bad = self.check_packs(view, read_data, findings, progress)?;
        machines_in(view)?.iter().try_for_each(|machine| self.check_machine(view, machine, &bad, findings))
    }

    /// The objects that open everything else: both copies of each are to be whole.
    fn check_header_and_slots(&self) -> Result<Vec<String>, VaultError> {
        let home = &*self.seams.home;
        let slots = home.list(&key(&names::key_slots(&self.name)))?.into_iter().map(|l| (l.key, Kind::KeySlot));
        let header = (key(names::STORE_HEADER), Kind::StoreHeader);
        let mut found = Vec::new();
        for (name, kind) in slots.chain([header]) {
            let object = match home.get(&name) {
                Ok(object) => object,
                Err(ObjectError::NotFound(_)) => continue, // removed while we looked
                Err(error) => return Err(error.into()),
            };
            match twin::decode(&object, kind, Some(self.store)) {
                Ok(twin) if twin.both => {}
                Ok(_) => found.push(format!("{name}: one of its two copies is damaged")),
                Err(error) => found.push(format!("{name}: {error}")),
            }
        }
        Ok(found)
    }
}

/// Damage, or something that the ledger consists of and is not there.
fn is_loss(error: &VaultError) -> bool {
    error.is_damage() || matches!(error, VaultError::Home(ObjectError::NotFound(_) | ObjectError::Short(_)))
}

/// An error and its causes in one sentence.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Losses joined where they touch, by machine: fewer lines for people.
pub fn joined(losses: &[Loss]) -> Vec<Loss> {
    type Group = (String, DiskNo, PointNo, Option<PointNo>);
    let mut groups: BTreeMap<Group, Vec<std::ops::Range<u64>>> = BTreeMap::new();
    for loss in losses {
        let group = (loss.machine.clone(), loss.disk, loss.from, loss.until);
        groups.entry(group).or_default().push(loss.bytes.clone());
    }
    let mut out: Vec<Loss> = Vec::new();
    for ((machine, disk, from, until), mut ranges) in groups {
        ranges.sort_by_key(|r| r.start);
        let first = out.len();
        for bytes in ranges {
            match out[first..].last_mut() {
                Some(last) if last.bytes.end >= bytes.start => last.bytes.end = last.bytes.end.max(bytes.end),
                _ => out.push(Loss { machine: machine.clone(), disk, bytes, from, until }),
            }
        }
    }
    out
}
