//! Finding items in a tree on disk.
//!
//! Every block is checked against the pointer that leads to it (level, first key, key bounds), so no walk can visit
//! a block twice or go deeper than the format's eight levels, whatever the image says.
//! Never knows: what items mean.

use super::disk::Disk;
use super::key::Key;
use super::node::{Body, Pointer};
use crate::tree::TreeError;

/// Whether a visitor wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    Stop,
}

/// Sees one item: its key and its bytes.
pub(super) type Visit<'v> = &'v mut dyn FnMut(Key, &[u8]) -> Result<Flow, TreeError>;

impl Disk<'_> {
    /// Visits the items with keys from `from` up to and with `to`, in order.
    pub(super) fn scan(&self, at: &Pointer, from: Key, to: Key, visit: Visit<'_>) -> Result<Flow, TreeError> {
        let node = self.node(at)?;
        match node.body() {
            Body::Leaf(items) => {
                let start = items.partition_point(|(key, _)| *key < from);
                for (key, range) in items[start..].iter().take_while(|(key, _)| *key <= to) {
                    if visit(*key, node.item(range))? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
            Body::Inner(children) => {
                let after = children.partition_point(|c| c.first <= Some(from));
                let wanted = children[after.saturating_sub(1)..].iter();
                for child in wanted.take_while(|c| c.first <= Some(to)) {
                    if self.scan(child, from, to, visit)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
        }
        Ok(Flow::Go)
    }

    /// The item with this key.
    pub(super) fn get(&self, root: &Pointer, key: Key) -> Result<Option<Vec<u8>>, TreeError> {
        let mut found = None;
        self.scan(root, key, key, &mut |_, item| {
            found = Some(item.to_vec());
            Ok(Flow::Stop)
        })?;
        Ok(found)
    }

    /// The last key in the tree up to and with `key`.
    pub(super) fn floor(&self, root: &Pointer, key: Key) -> Result<Option<Key>, TreeError> {
        let mut at = *root;
        loop {
            let node = self.node(&at)?;
            match node.body() {
                Body::Leaf(items) => {
                    let after = items.partition_point(|(k, _)| *k <= key);
                    return Ok(items[..after].last().map(|(k, _)| *k));
                }
                Body::Inner(children) => {
                    let after = children.partition_point(|c| c.first <= Some(key));
                    match children[..after].last() {
                        Some(child) => at = *child, // One level lower each time.
                        None => return Ok(None),
                    }
                }
            }
        }
    }

    /// Visits the address of every block of a tree, from the root down.
    pub(super) fn blocks(
        &self,
        at: &Pointer,
        visit: &mut dyn FnMut(&Pointer) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        visit(at)?;
        if let Body::Inner(children) = self.node(at)?.body() {
            for child in children {
                self.blocks(child, visit)?;
            }
        }
        Ok(())
    }
}
