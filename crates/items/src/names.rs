//! The listing of the directory used last, so that looking up its names one by one does not read it each time.
//!
//! Never knows: how a directory is stored. Bounded: a few directories.

use crate::tree::{Entry, NodeId, TreeError};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, PoisonError};

const KEPT: usize = 8;

type Names = Arc<HashMap<OsString, NodeId>>;

/// Names of the directories asked last, for images that do not change.
#[derive(Default)]
pub(crate) struct NameCache(Mutex<Vec<(NodeId, Names)>>);

impl NameCache {
    /// Finds `name` in `directory`, listing it with `list` when it is not remembered.
    pub(crate) fn lookup(
        &self,
        directory: NodeId,
        name: &OsStr,
        list: impl FnOnce() -> Result<Vec<Entry>, TreeError>,
    ) -> Result<NodeId, TreeError> {
        let names = match self.held(directory) {
            Some(names) => names,
            None => self.keep(directory, list()?),
        };
        names.get(name).copied().ok_or(TreeError::NotFound)
    }

    fn held(&self, directory: NodeId) -> Option<Names> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(at, _)| *at == directory).map(|(_, names)| names.clone())
    }

    fn keep(&self, directory: NodeId, entries: Vec<Entry>) -> Names {
        let names: Names = Arc::new(entries.into_iter().map(|e| (e.name, e.node)).collect());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == KEPT {
            held.remove(0);
        }
        held.push((directory, names.clone()));
        names
    }
}
