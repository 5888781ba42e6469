//! Finding what patterns name in one file system.
//!
//! Never knows: where the file system lies on a disk.

use super::Tally;
use super::pattern::Pattern;
use crate::tree::{FileTree, NodeId, NodeKind, TreeError};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Folders deeper than this are an image that lies.
const DEEPEST: usize = 1024;

/// What was found in a file system.
#[derive(Default)]
pub(super) struct Found {
    /// From the start of its volume.
    pub(super) ranges: Vec<Range<u64>>,
    /// By pattern.
    pub(super) tallies: Vec<Tally>,
    /// The first thing that could not be read. What it would have led to is not in the answer.
    pub(super) trouble: Option<TreeError>,
}

/// One pass over a file system, for all patterns at once. Each name is seen once, for folders have one name only.
pub(super) struct Walk<'a> {
    tree: &'a dyn FileTree,
    patterns: Vec<&'a Pattern>,
    stop: &'a AtomicBool,
    /// Whether small and capital letters are the same.
    fold: bool,
    seen: HashSet<NodeId>,
    /// Files with several names: how many of them were found.
    names: HashMap<NodeId, u32>,
    found: Found,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a dyn FileTree, patterns: Vec<&'a Pattern>, stop: &'a AtomicBool) -> Self {
        let fold = matches!(tree.kind(), "ntfs" | "vfat");
        let found = Found { tallies: vec![Tally::default(); patterns.len()], ..Found::default() };
        Walk { tree, patterns, stop, fold, seen: HashSet::new(), names: HashMap::new(), found }
    }

    pub(super) fn run(mut self) -> Found {
        let mut folders = vec![(self.tree.root(), PathBuf::new(), 0, None)];
        while let Some((folder, path, depth, taken)) = folders.pop() {
            if depth > DEEPEST || self.stop.load(Ordering::Relaxed) || !self.seen.insert(folder) {
                continue;
            }
            let entries = match self.tree.entries(folder) {
                Ok(entries) => entries,
                Err(error) => {
                    self.trouble(error);
                    continue;
                }
            };
            for entry in entries {
                let path = path.join(&entry.name);
                let taken = taken.or_else(|| self.named(&path));
                match (entry.kind, taken) {
                    (NodeKind::Directory, taken) if taken.is_some() || self.leads_below(&path) => {
                        folders.push((entry.node, path, depth + 1, taken));
                    }
                    (NodeKind::File, Some(pattern)) => self.take(entry.node, pattern),
                    _ => {}
                }
            }
        }
        self.found
    }

    /// The first pattern that names a path.
    fn named(&self, path: &Path) -> Option<usize> {
        self.patterns.iter().position(|p| p.names(path, self.fold))
    }

    fn leads_below(&self, path: &Path) -> bool {
        self.patterns.iter().any(|p| p.leads_below(path, self.fold))
    }

    /// Takes a name of a file, and with its last name the file.
    fn take(&mut self, file: NodeId, pattern: usize) {
        let outcome = self.tree.metadata(file).and_then(|about| {
            let names = self.names.entry(file).or_default();
            *names += 1;
            match *names < about.links {
                true => Ok(None),
                false => self.tree.own_content(file).map(Some),
            }
        });
        match outcome {
            Ok(None) => {}
            Ok(Some(ranges)) => {
                self.names.remove(&file);
                let tally = &mut self.found.tallies[pattern];
                tally.files += 1;
                tally.bytes += ranges.iter().map(|r| r.end - r.start).sum::<u64>();
                self.found.ranges.extend(ranges);
            }
            Err(error) => self.trouble(error),
        }
    }

    fn trouble(&mut self, error: TreeError) {
        self.found.trouble.get_or_insert(error);
    }
}
