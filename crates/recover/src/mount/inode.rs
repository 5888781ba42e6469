//! Inode numbers: one space for the nodes of many file systems and our own.
//!
//! A number holds which tree (16 bits) and which node of it (48 bits). Node ids that need more bits get a number of
//! their own, kept as long as the mount lives. So numbers are the same at every look, hard links keep theirs, and
//! nothing has to be forgotten.
//!
//! Never knows: what a node is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use backstay_items::tree::NodeId;

/// Which tree: 0 is our own, the others are file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TreeNumber(pub(super) u16);

/// A node of a tree.
pub(super) type Place = (TreeNumber, NodeId);

/// Numbers that were given one by one are under this tree's number.
const GIVEN: u16 = u16::MAX;
/// How many file systems can be shown at once.
pub(super) const MAX_TREES: usize = GIVEN as usize - 1;
const NODE_BITS: u32 = 48;
const NODE_MASK: u64 = (1 << NODE_BITS) - 1;

#[derive(Default)]
struct Given {
    numbers: HashMap<Place, u64>,
    places: Vec<Place>,
}

/// The numbering of one mount.
#[derive(Default)]
pub(super) struct Inodes(Mutex<Given>);

impl Inodes {
    /// The number of a node; the same at every call.
    pub(super) fn number(&self, place: Place) -> u64 {
        let (TreeNumber(tree), NodeId(node)) = place;
        if node <= NODE_MASK {
            return u64::from(tree) << NODE_BITS | node;
        }
        let given = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = *given.numbers.entry(place).or_insert_with(|| {
            given.places.push(place);
            given.places.len() as u64 - 1
        });
        u64::from(GIVEN) << NODE_BITS | index
    }

    /// The node with that number; `None` if there can be none.
    pub(super) fn place(&self, number: u64) -> Option<Place> {
        let (tree, node) = ((number >> NODE_BITS) as u16, number & NODE_MASK);
        if tree != GIVEN {
            return Some((TreeNumber(tree), NodeId(node)));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).places.get(node as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_lead_back() {
        let inodes = Inodes::default();
        let ids = [0, 1, 2, NODE_MASK, NODE_MASK + 1, u64::MAX, u64::MAX - 1];
        let places: Vec<Place> =
            [0, 1, 7, GIVEN - 1].iter().flat_map(|&tree| ids.map(|id| (TreeNumber(tree), NodeId(id)))).collect();
        let numbers: Vec<u64> = places.iter().map(|&p| inodes.number(p)).collect();
        for (place, number) in places.iter().zip(&numbers) {
            assert_eq!(inodes.place(*number), Some(*place));
            assert_eq!(inodes.number(*place), *number);
        }
        let mut unique = numbers.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), numbers.len());
        assert_eq!(inodes.place(u64::MAX), None);
    }
}
