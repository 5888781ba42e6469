//! Where the index lies: a home, a prefix in it, and the names of a run's objects there.
//!
//! The objects of run `<id>` (32 hex digits) are its parts `<prefix>/<id>.<nnnn>`, four or more hex digits, in order, and
//! `<prefix>/<id>`, which holds the last part and the run's root. That one is written last: without it there is no run.
//!
//! Never knows: what is in the objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_format::units::{Digest, StoreId};

/// A run's random name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 16]);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

/// A home, a prefix and the store that the index there must belong to.
pub(super) struct Site {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) prefix: Key,
    pub(super) store: StoreId,
}

/// What a listing shows of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The object that makes the run complete is there.
    pub(super) root: bool,
    /// The parts that are there, in order.
    pub(super) parts: Vec<u32>,
}

impl Site {
    /// The object that holds the last part and the root.
    pub(super) fn root_key(&self, run: RunId) -> Key {
        self.key(format!("{}/{run}", self.prefix))
    }

    /// The object of a part that is not the last one.
    pub(super) fn part_key(&self, run: RunId, part: u32) -> Key {
        self.key(format!("{}/{run}.{part:04x}", self.prefix))
    }

    fn key(&self, name: String) -> Key {
        Key::new(name).expect("a prefix that is a key, and hex digits, are a key")
    }

    /// Everything here that has the name of a run; other objects are left alone.
    pub(super) fn list(&self) -> Result<BTreeMap<RunId, Found>, ObjectError> {
        let mut runs: BTreeMap<RunId, Found> = BTreeMap::new();
        for object in self.objects.list(&self.prefix)? {
            let name = object.key.as_str().get(self.prefix.as_str().len() + 1..);
            match name.and_then(parse) {
                Some((run, None)) => runs.entry(run).or_default().root = true,
                Some((run, Some(part))) => runs.entry(run).or_default().parts.push(part),
                None => {}
            }
        }
        runs.values_mut().for_each(|found| found.parts.sort_unstable());
        Ok(runs)
    }

    /// Deletes what a listing found of a run: first that which makes it one, so that a crash leaves no run.
    pub(super) fn delete(&self, run: RunId, found: &Found) -> Result<(), ObjectError> {
        self.objects.delete(&self.root_key(run))?;
        let mut parts = found.parts.iter();
        parts.try_for_each(|part| self.objects.delete(&self.part_key(run, *part)))
    }

    /// The number that binds a run's blocks to it.
    pub(super) fn seed(&self, run: RunId) -> u64 {
        let digest = Digest::of(&[b"backstay index run 1", &self.store.0, &run.0]);
        u64::from_le_bytes(std::array::from_fn(|at| digest.0[at]))
    }
}

/// The run and the part that a name stands for.
fn parse(name: &str) -> Option<(RunId, Option<u32>)> {
    let (run, part) = match name.split_once('.') {
        Some((run, part)) => (run, Some(part)),
        None => (name, None),
    };
    let plain = |hex: &str| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if run.len() != 32 || !plain(run) {
        return None;
    }
    let run = RunId(u128::from_str_radix(run, 16).ok()?.to_be_bytes());
    let Some(part) = part else {
        return Some((run, None));
    };
    let number = plain(part).then(|| u32::from_str_radix(part, 16).ok())??;
    (format!("{number:04x}") == part).then_some((run, Some(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs() {
        let run = RunId(std::array::from_fn(|at| at as u8));
        let hex = "000102030405060708090a0b0c0d0e0f";
        assert_eq!(run.to_string(), hex);
        assert_eq!(parse(hex), Some((run, None)));
        assert_eq!(parse(&format!("{hex}.001f")), Some((run, Some(31))));
        assert_eq!(parse(&format!("{hex}.12345")), Some((run, Some(0x12345))));
        let others = ["", "a", ".", ".0001", "x00102030405060708090a0b0c0d0e0f"];
        let suffixed = [".1", ".00001", ".", ".000g", ".0001.", ".123456789", "/0001"];
        let suffixed = suffixed.map(|suffix| format!("{hex}{suffix}"));
        for name in others.into_iter().chain(suffixed.iter().map(String::as_str)) {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
