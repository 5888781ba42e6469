//! What lies under what: from a superblock down through device-mapper, md, partitions, and loop devices with the file
//! systems that hold their files. Pure, over [`Facts`].
//!
//! Never knows: which disks are asked for.

use std::collections::BTreeSet;

use super::mounts::{Backing, Facts};
use crate::number::DeviceNumber;

/// All that lies under one superblock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Under {
    /// Block devices: its own, those below, and the disks of all that are partitions.
    pub(super) blocks: BTreeSet<DeviceNumber>,
    /// How many file systems are stacked below it, counted along the longest way.
    pub(super) depth: usize,
    /// A loop device below it has a file of which nobody knows the file system.
    pub(super) bottomless: bool,
}

/// Follows a superblock down.
pub(super) fn under(facts: &Facts, superblock: DeviceNumber) -> Under {
    let mut under = Under::default();
    under.depth = descend(facts, superblock, &mut Vec::new(), &mut under);
    under
}

/// The block devices that a superblock lies on directly: none for one that is not on disks.
pub(super) fn members(facts: &Facts, superblock: DeviceNumber) -> &[DeviceNumber] {
    match facts.pools.get(&superblock) {
        Some(members) => members,
        None => facts.blocks.get_key_value(&superblock).map_or(&[], |(device, _)| std::slice::from_ref(device)),
    }
}

/// `above`: the superblocks on the way here. Facts that were gathered while things moved might go round in circles.
fn descend(facts: &Facts, superblock: DeviceNumber, above: &mut Vec<DeviceNumber>, under: &mut Under) -> usize {
    if above.contains(&superblock) {
        return 0;
    }
    above.push(superblock);
    let (mut depth, mut seen) = (0, BTreeSet::new());
    let mut open = members(facts, superblock).to_vec();
    while let Some(device) = open.pop() {
        if !seen.insert(device) {
            continue;
        }
        let Some(block) = facts.blocks.get(&device) else { continue };
        open.push(block.disk);
        open.extend_from_slice(&block.slaves);
        match block.backing {
            Backing::None => {}
            Backing::Unknown => under.bottomless = true,
            Backing::FileOn(host) => depth = depth.max(1 + descend(facts, host, above, under)),
        }
    }
    under.blocks.append(&mut seen);
    above.pop();
    depth
}
