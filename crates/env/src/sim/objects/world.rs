//! The state of a simulated home, and how faults change it.
//!
//! Never knows: threads, or who calls.
//! Invariant: outside a power loss `seen` is what every caller gets; at a power loss only the difference between
//! `seen` and `durable` is in play, and what the table of faults allows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::faults::{Fault, Faults, Injected};
use super::turns::Turns;
use super::{Change, When};
use crate::objects::Key;
use crate::sim::random::Dice;

/// What disks write as one.
const BLOCK: u64 = 4096;

/// The bytes of an object. Shared by those who opened it, so that rot reaches them too.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Mutex<Arc<Vec<u8>>>,
    damaged: Mutex<BTreeSet<u64>>, // blocks
}

impl Body {
    fn new(bytes: Vec<u8>) -> Arc<Body> {
        Arc::new(Body { bytes: Mutex::new(Arc::new(bytes)), damaged: Mutex::default() })
    }

    pub(super) fn bytes(&self) -> Arc<Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, how: impl FnOnce(&mut Vec<u8>)) {
        how(Arc::make_mut(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Whether `block` may be damaged when at most `most` may; if so, it counts.
    fn spend(&self, block: u64, most: u32) -> bool {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let may = damaged.contains(&block) || damaged.len() < most as usize;
        if may {
            damaged.insert(block);
        }
        may
    }

    fn copy(&self) -> Arc<Body> {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Arc::new(Body { bytes: Mutex::new(self.bytes()), damaged: Mutex::new(damaged) })
    }
}

/// What is under a name.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) seen: Option<Arc<Body>>,
    durable: Option<Arc<Body>>,
    /// Someone was told `Ok` for what is not durable.
    lied: bool,
}

impl Slot {
    fn is_settled(&self) -> bool {
        match (&self.seen, &self.durable) {
            (Some(seen), Some(durable)) => Arc::ptr_eq(seen, durable),
            (seen, durable) => seen.is_none() && durable.is_none(),
        }
    }

    fn copy(&self) -> Slot {
        let seen = self.seen.as_ref().map(|body| body.copy());
        let durable = match self.is_settled() {
            true => seen.clone(),
            false => self.durable.as_ref().map(|body| body.copy()),
        };
        Slot { seen, durable, lied: self.lied }
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) faults: Faults,
    pub(super) dice: Dice,
    pub(super) slots: BTreeMap<Key, Slot>,
    pub(super) operations: u64,
    pub(super) changes: u64,
    pub(super) log: Vec<Injected>,
    pub(super) turns: Turns,
    /// How often the power came back; those who lived before are dead.
    pub(super) starts: u64,
    pub(super) is_off: bool,
    pub(super) processes: u64,
    pub(super) dead: BTreeSet<u64>,
    pub(super) crash: Option<When>,
    pub(super) kills: BTreeMap<u64, When>,
    pub(super) no_space: Range<u64>,
    pub(super) is_remote: bool,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> World {
        World {
            faults,
            dice: Dice::seeded(seed),
            slots: BTreeMap::new(),
            operations: 0,
            changes: 0,
            log: Vec::new(),
            turns: Turns::default(),
            starts: 0,
            is_off: false,
            processes: 0,
            dead: BTreeSet::new(),
            crash: None,
            kills: BTreeMap::new(),
            no_space: 0..0,
            is_remote: false,
        }
    }

    /// A world with the same objects and the same future, and no log, plans or processes.
    pub(super) fn copy(&self) -> World {
        let slots = self.slots.iter().map(|(key, slot)| (key.clone(), slot.copy())).collect();
        let mut world = World::new(0, self.faults.clone());
        (world.dice, world.slots, world.is_remote) = (self.dice.clone(), slots, self.is_remote);
        world
    }

    pub(super) fn note(&mut self, fault: Fault) {
        self.log.push(Injected { operation: self.operations, fault });
    }

    pub(super) fn is_due(&self, when: When) -> bool {
        match when {
            When::Operation(n) => self.operations >= n,
            When::Change(n) => self.changes >= n,
        }
    }

    /// Makes a change visible, but not durable.
    pub(super) fn show(&mut self, key: &Key, change: &Change<'_>) {
        let slot = self.slots.entry(key.clone()).or_default();
        slot.seen = match change {
            Change::Put { parts, .. } => Some(Body::new(parts.concat())),
            Change::Delete | Change::Unlink => None,
        };
        slot.lied = false;
        self.sweep(key);
    }

    /// Makes durable what is seen in the folder of `key`, as a flush of a folder does; or only says so of `key`.
    pub(super) fn settle(&mut self, key: &Key) {
        let zone = self.faults.zone(key);
        let is_put = self.slots.get(key).is_some_and(|slot| slot.seen.is_some());
        let lies = self.dice.chance(if is_put { zone.lost_ppm } else { zone.undeleted_ppm });
        if let Some(slot) = self.slots.get_mut(key).filter(|slot| !slot.is_settled()) {
            slot.lied = lies;
        }
        self.settle_folder(folder_of(key));
    }

    /// Makes durable what is seen in a folder, but for what a disk lied about.
    pub(super) fn settle_folder(&mut self, folder: &str) {
        let inside = |key: &Key| folder_of(key) == folder;
        let unsettled = self.slots.iter_mut().filter(|(key, slot)| inside(key) && !slot.is_settled() && !slot.lied);
        unsettled.for_each(|(_, slot)| slot.durable = slot.seen.clone());
        self.slots.retain(|_, slot| slot.seen.is_some() || slot.durable.is_some());
    }

    fn sweep(&mut self, key: &Key) {
        if self.slots.get(key).is_some_and(|slot| slot.seen.is_none() && slot.durable.is_none()) {
            self.slots.remove(key);
        }
    }

    /// The power fails: what was not durable is there or not; what was said to be and is not, is gone.
    pub(super) fn lose_power(&mut self) {
        self.note(Fault::PowerLoss);
        let mut slots = std::mem::take(&mut self.slots);
        for (key, slot) in slots.iter_mut().filter(|(_, slot)| !slot.is_settled()) {
            slot.durable = self.after_power_loss(key, slot);
            (slot.seen, slot.lied) = (slot.durable.clone(), false);
        }
        slots.retain(|_, slot| slot.seen.is_some());
        self.slots = slots;
        (self.is_off, self.crash) = (true, None);
        self.kills.clear();
    }

    fn after_power_loss(&mut self, key: &Key, slot: &Slot) -> Option<Arc<Body>> {
        let torn_ppm = self.faults.zone(key).torn_ppm;
        let survived = !slot.lied && self.dice.chance(500_000);
        if let Some(body) = slot.seen.as_ref().filter(|_| self.dice.chance(torn_ppm)) {
            self.note(Fault::Torn { key: key.clone() });
            return Some(Body::new(torn(&body.bytes(), &mut self.dice)));
        }
        let key = key.clone();
        self.note(match (slot.lied, &slot.seen) {
            (false, _) => Fault::Unfinished { key, survived },
            (true, Some(_)) => Fault::Lost { key },
            (true, None) => Fault::Undeleted { key },
        });
        match survived {
            true => slot.seen.clone(),
            false => slot.durable.clone(),
        }
    }

    /// Lets disks decay: to be called once for each operation, with what is being written if it is a change.
    pub(super) fn decay(&mut self, written: Option<&[&[u8]]>) {
        let harmful = |zone: &super::Zone| zone.damages > 0;
        if !self.faults.zones.iter().any(|(_, zone)| harmful(zone)) || self.slots.is_empty() {
            return;
        }
        let chosen = self.dice.below(self.slots.len() as u64) as usize;
        let (flip, misdirect) = (self.dice.roll(), self.dice.roll());
        let Some((key, slot)) = self.slots.iter().nth(chosen) else {
            return;
        };
        let (key, zone) = (key.clone(), self.faults.zone(key));
        let Some(body) = slot.seen.clone().filter(|body| !body.bytes().is_empty()) else {
            return;
        };
        if self.dice.chance(zone.flipped_ppm) {
            self.flip(&key, &body, zone.damages, flip);
        }
        if let Some(parts) = written.filter(|_| self.dice.chance(zone.misdirected_ppm)) {
            self.misdirect(&key, &body, zone.damages, misdirect, parts);
        }
    }

    fn flip(&mut self, key: &Key, body: &Body, most: u32, place: u64) {
        let offset = (place >> 3) % body.bytes().len() as u64;
        let bit = (place % 8) as u8;
        if body.spend(offset / BLOCK, most) {
            body.change(|bytes| bytes[offset as usize] ^= 1 << bit);
            self.note(Fault::Flipped { key: key.clone(), offset, bit });
        }
    }

    fn misdirect(&mut self, key: &Key, body: &Body, most: u32, place: u64, parts: &[&[u8]]) {
        let len = body.bytes().len() as u64;
        let block = place % len.div_ceil(BLOCK);
        let range = block * BLOCK..len.min((block + 1) * BLOCK);
        if body.spend(block, most) {
            let stray: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(BLOCK as usize).collect();
            body.change(|bytes| {
                let hit = &mut bytes[range.start as usize..range.end as usize];
                hit.fill(0);
                let n = hit.len().min(stray.len());
                hit[..n].copy_from_slice(&stray[..n]);
            });
            self.note(Fault::Misdirected { key: key.clone(), range });
        }
    }

    /// Bytes that all objects take.
    pub(super) fn used(&self) -> u64 {
        self.slots.values().filter_map(|slot| slot.seen.as_ref()).map(|body| body.bytes().len() as u64).sum()
    }

    /// Whether a put of `parts` at `key` finds no space.
    pub(super) fn is_full(&mut self, key: &Key, parts: &[&[u8]]) -> bool {
        let unlucky = self.dice.chance(self.faults.no_space_ppm);
        let added: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let full = self.faults.space.is_some_and(|space| self.used().saturating_add(added) > space);
        let is_full = unlucky || full || self.no_space.contains(&self.changes);
        if is_full {
            self.note(Fault::NoSpace { key: key.clone() });
        }
        is_full
    }

    /// Changes the bytes of an object under everybody's feet.
    pub(super) fn tamper(&mut self, key: &Key, how: impl FnOnce(&mut Vec<u8>)) -> bool {
        let body = self.slots.get(key).and_then(|slot| slot.seen.clone());
        let Some(body) = body else { return false };
        body.change(how);
        self.note(Fault::Tampered { key: key.clone() });
        true
    }

    /// # Panics
    /// When a caller uses one name as an object and as the beginning of another's name: a folder could not keep both.
    pub(super) fn refuse_nesting(&self, key: &Key) {
        let is_there = |slot: &Slot| slot.seen.is_some();
        let below = format!("{key}/");
        let mut after = self.slots.iter().filter(|(other, _)| other.as_str().starts_with(&below));
        assert!(!after.any(|(_, slot)| is_there(slot)), "{key} is put as an object, and is a folder");
        for (end, _) in key.as_str().match_indices('/') {
            let above = Key::new(&key.as_str()[..end]).and_then(|above| self.slots.get(&above));
            assert!(!above.is_some_and(is_there), "{key} is put below what is an object");
        }
    }
}

/// The name up to the last `/`.
fn folder_of(key: &Key) -> &str {
    key.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What a disk that lied leaves of `bytes`: some blocks zeros, or the end missing.
fn torn(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut torn = bytes.to_vec();
    if dice.chance(500_000) {
        torn.truncate(dice.below(bytes.len() as u64 + 1) as usize);
        return torn;
    }
    for block in torn.chunks_mut(BLOCK as usize).filter(|_| dice.chance(500_000)) {
        block.fill(0);
    }
    torn
}
