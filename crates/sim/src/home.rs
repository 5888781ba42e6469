//! Planted bugs, and homes that have one: what the oracle must catch, or it is worth nothing.
//!
//! Never knows: the oracle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_env::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};
use backstay_env::sim::objects::SimObjects;

/// A bug to plant into the home that vaults are given, or beside it. Only for showing that the oracle can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// One ledger entry in so many is acknowledged and not kept.
    ForgetsEntries(u64),
    /// Of two writers of one ledger entry both are told that they were first.
    TwoWinners,
    /// Deleting an object of packs takes another one along.
    DeletesTooMuch,
    /// Objects of packs are not deleted.
    DeletesNothing,
    /// One object of packs in so many gets another's content.
    MixesUpPacks(u64),
    /// What others made is not settled.
    SettlesNothing,
    /// Whoever follows a machine does not put marks back when a point of them was not made.
    ForgetsMarks,
    /// The server says that a point is safe before its entry is put.
    AcknowledgesEarly,
    /// The server now and then takes an agent for that of another machine.
    MixesMachines,
    /// An agent clears its marks before it was told that the point is safe.
    ClearsMarksEarly,
    /// An agent that was told nothing takes its point for safe.
    BelievesSilence,
}

struct Planted {
    inner: SimObjects,
    bug: Bug,
    count: AtomicU64,
}

/// The home that vaults are given.
pub(crate) fn home(inner: SimObjects, bug: Option<Bug>) -> Arc<dyn Objects> {
    match bug {
        None
        | Some(
            Bug::ForgetsMarks
            | Bug::AcknowledgesEarly
            | Bug::MixesMachines
            | Bug::ClearsMarksEarly
            | Bug::BelievesSilence,
        ) => Arc::new(inner),
        Some(bug) => Arc::new(Planted { inner, bug, count: AtomicU64::new(0) }),
    }
}

impl Planted {
    fn is_turn(&self, every: u64) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }

    fn other_pack(&self, key: &Key) -> Option<Key> {
        let packs = Key::new("vault/main/pack")?;
        let others = self.inner.list(&packs).ok()?;
        others.into_iter().map(|l| l.key).find(|other| other != key)
    }
}

impl Objects for Planted {
    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.inner.put(key, parts)
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        let name = key.as_str();
        let (entry, pack) = (name.contains("ledger/entry/"), name.contains("/pack/"));
        match self.bug {
            Bug::ForgetsEntries(every) if entry && self.is_turn(every) => Ok(()),
            Bug::TwoWinners if entry => self.inner.put(key, parts),
            Bug::MixesUpPacks(every) if pack && self.is_turn(every) => {
                let other = self.other_pack(key).and_then(|other| self.inner.get(&other).ok());
                match other {
                    Some(other) => self.inner.put_new(key, &[&other]),
                    None => self.inner.put_new(key, parts),
                }
            }
            _ => self.inner.put_new(key, parts),
        }
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        self.inner.get(key)
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        self.inner.open(key)
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        let pack = key.as_str().contains("/pack/");
        match self.bug {
            Bug::DeletesNothing if pack => Ok(()),
            Bug::DeletesTooMuch if pack => {
                self.inner.delete(key)?;
                self.other_pack(key).map_or(Ok(()), |other| self.inner.delete(&other))
            }
            _ => self.inner.delete(key),
        }
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), ObjectError> {
        match self.bug {
            Bug::DeletesNothing | Bug::DeletesTooMuch => keys.iter().try_for_each(|key| self.delete(key)),
            _ => self.inner.delete_all(keys),
        }
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        match self.bug {
            Bug::SettlesNothing => Ok(()),
            _ => self.inner.settle(folder),
        }
    }
}
