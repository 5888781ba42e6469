//! A subvolume's tree as a mount would leave it: the items on disk, and over them what a log changed.
//!
//! Never knows: how the changes came about.

use super::disk::Disk;
use super::key::Key;
use super::node::Pointer;
use super::search::{Flow, Visit};
use crate::tree::TreeError;
use std::collections::BTreeMap;

/// Items that differ from those on disk; `None`: no longer there.
pub(super) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// A tree with changes over it.
#[derive(Clone, Copy)]
pub(super) struct View<'d> {
    pub(super) disk: &'d Disk<'d>,
    pub(super) root: Pointer,
    pub(super) changes: &'d Changes,
}

impl View<'_> {
    /// As [`Disk::scan`].
    pub(super) fn scan(&self, from: Key, to: Key, visit: Visit<'_>) -> Result<Flow, TreeError> {
        if from > to {
            return Ok(Flow::Go);
        }
        let mut changed = self.changes.range(from..=to).peekable();
        let flow = self.disk.scan(&self.root, from, to, &mut |key, item| {
            while let Some((at, new)) = changed.next_if(|(at, _)| **at < key) {
                if show(*at, new.as_deref(), visit)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            match changed.next_if(|(at, _)| **at == key) {
                Some((_, new)) => show(key, new.as_deref(), visit),
                None => visit(key, item),
            }
        })?;
        if flow == Flow::Stop {
            return Ok(Flow::Stop);
        }
        for (at, new) in changed {
            if show(*at, new.as_deref(), visit)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    /// As [`Disk::get`].
    pub(super) fn get(&self, key: Key) -> Result<Option<Vec<u8>>, TreeError> {
        match self.changes.get(&key) {
            Some(new) => Ok(new.clone()),
            None => self.disk.get(&self.root, key),
        }
    }

    /// As [`Disk::floor`], but not below `lowest`.
    pub(super) fn floor(&self, lowest: Key, key: Key) -> Result<Option<Key>, TreeError> {
        let mut added = self.changes.range(lowest.min(key)..=key).rev();
        let added = added.find_map(|(at, new)| new.as_ref().map(|_| *at));
        let mut below = Some(key);
        // Keys that are changed or gone are passed over: as many times as there are changes, at most.
        while let Some(start) = below {
            let kept = self.disk.floor(&self.root, start)?;
            let Some(kept) = kept.filter(|at| *at >= lowest) else {
                break;
            };
            if !self.changes.contains_key(&kept) {
                return Ok(added.max(Some(kept)));
            }
            below = predecessor(kept);
        }
        Ok(added)
    }
}

fn show(at: Key, new: Option<&[u8]>, visit: Visit<'_>) -> Result<Flow, TreeError> {
    match new {
        Some(item) => visit(at, item),
        None => Ok(Flow::Go),
    }
}

/// The largest key below; `None` below all.
fn predecessor(key: Key) -> Option<Key> {
    match (key.offset.checked_sub(1), key.kind.checked_sub(1)) {
        (Some(offset), _) => Some(Key { offset, ..key }),
        (None, Some(kind)) => Some(Key::new(key.object, kind, u64::MAX)),
        (None, None) => Some(Key::new(key.object.checked_sub(1)?, u8::MAX, u64::MAX)),
    }
}
