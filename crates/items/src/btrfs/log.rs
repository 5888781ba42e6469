//! The log: what was fsynced after the last commit, one tree for each subvolume that has any.
//!
//! Its blocks, and the extents it brings, are in no other tree until the next commit.
//! Never knows: how its items change a subvolume.

use super::data::Sums;
use super::disk::Disk;
use super::items::RootItem;
use super::key::{Key, kind, tree};
use super::node::Pointer;
use super::replay;
use super::search::Flow;
use super::subvolumes::Subvolumes;
use crate::bytes::damaged;
use crate::tree::TreeError;
use std::collections::{BTreeMap, HashSet};

/// A log's items.
pub(super) type LogItems = BTreeMap<Key, Vec<u8>>;

/// Sees one item of a log: the subvolume's number, the key, the bytes.
type OnItem<'v> = &'v mut dyn FnMut(u64, Key, &[u8]) -> Result<(), TreeError>;

/// The tree that lists the logs; `None` when there are none.
pub(super) fn root(disk: &Disk) -> Result<Option<Pointer>, TreeError> {
    let s = &disk.superblock;
    let next = s.generation.checked_add(1);
    let next = next.ok_or_else(|| damaged("its generation is the last"))?;
    Ok((s.log_root != 0).then(|| Pointer::root(s.log_root, s.log_root_level, next)))
}

/// The log of each subvolume, by the subvolume's number.
pub(super) fn trees(disk: &Disk, root: &Pointer) -> Result<Vec<(u64, Pointer)>, TreeError> {
    let mut found = Vec::new();
    let (from, to) = Key::all_of(tree::LOG, kind::ROOT_ITEM);
    disk.scan(root, from, to, &mut |key, item| {
        found.push((key.offset, RootItem::decode(item)?.root));
        Ok(Flow::Go)
    })?;
    Ok(found)
}

/// Visits every block of every log, and every item. A block that two logs share is damage: it would let a small
/// image unfold without bound.
pub(super) fn walk(disk: &Disk, on_block: &mut dyn FnMut(u64), on_item: OnItem<'_>) -> Result<(), TreeError> {
    let Some(root) = root(disk)? else {
        return Ok(());
    };
    let mut seen = HashSet::new();
    let mut note = |at: &Pointer| match seen.insert(at.logical) {
        true => {
            on_block(at.logical);
            Ok(())
        }
        false => Err(damaged(format!("two logs share the block at {}", at.logical))),
    };
    disk.blocks(&root, &mut note)?;
    for (subvolume, log) in trees(disk, &root)? {
        disk.blocks(&log, &mut note)?;
        disk.scan(&log, Key::MIN, Key::MAX, &mut |key, item| {
            on_item(subvolume, key, item)?;
            Ok(Flow::Go)
        })?;
    }
    Ok(())
}

/// Replays all logs in memory: into the subvolumes' changes, and their sums into `sums`.
///
/// # Errors
/// `Damaged` or `Unsupported` where a log is broken or says what is not understood; then nothing may be shown.
pub(super) fn replay_all(disk: &Disk, subvolumes: &mut Subvolumes, sums: &mut Sums) -> Result<(), TreeError> {
    let mut logs: BTreeMap<u64, LogItems> = BTreeMap::new();
    walk(disk, &mut |_| {}, &mut |subvolume, key, item| {
        match key.object {
            tree::CSUM_OBJECT => sums.learn(disk, key, item),
            _ => {
                let log = logs.entry(subvolume).or_default();
                log.insert(key, item.to_vec());
            }
        }
        Ok(())
    })?;
    // The log of a subvolume that was deleted since is left aside.
    for subvolume in subvolumes.iter_mut() {
        if let Some(log) = logs.get(&subvolume.id) {
            subvolume.changes = replay::replay(disk, subvolume.root, log)?;
        }
    }
    Ok(())
}
