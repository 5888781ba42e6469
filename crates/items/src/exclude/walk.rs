//! Finding what patterns name in one file system.
//!
//! Never knows: where the file system lies on a disk.

use super::pattern::Pattern;
use super::{Stop, Tally};
use crate::tree::{FileTree, NodeId, NodeKind, TreeError};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Folders deeper than this are an image that lies.
const DEEPEST: usize = 1024;

/// Bytes of the paths of folders that wait to be looked at.
const WAITING: usize = 64 << 20;
/// Ranges that are found at most.
const RANGES: usize = 4 << 20;

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
    stop: Stop<'a>,
    /// Whether small and capital letters are the same.
    fold: bool,
    seen: HashSet<NodeId>,
    /// Files with several names: how many of them were found.
    names: HashMap<NodeId, u32>,
    /// Bytes of the paths of folders that wait.
    waiting: usize,
    found: Found,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a dyn FileTree, patterns: Vec<&'a Pattern>, stop: Stop<'a>) -> Self {
        let fold = matches!(tree.kind(), "ntfs" | "vfat");
        let found = Found { tallies: vec![Tally::default(); patterns.len()], ..Found::default() };
        Walk { tree, patterns, stop, fold, seen: HashSet::new(), names: HashMap::new(), waiting: 0, found }
    }

    pub(super) fn run(mut self) -> Found {
        let mut folders = vec![(self.tree.root(), PathBuf::new(), 0, None)];
        while let Some((folder, path, depth, taken)) = folders.pop() {
            self.waiting -= path.as_os_str().len();
            if depth > DEEPEST || !self.seen.insert(folder) {
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
                if (self.stop)() {
                    return self.found;
                }
                let path = path.join(&entry.name);
                let taken = taken.or_else(|| self.named(&path));
                match (entry.kind, taken) {
                    (NodeKind::Directory, taken) if taken.is_some() || self.leads_below(&path) => {
                        folders.extend(self.room_for(path).map(|path| (entry.node, path, depth + 1, taken)));
                    }
                    (NodeKind::File, Some(pattern)) => self.take(entry.node, pattern),
                    _ => {}
                }
            }
        }
        self.found
    }

    /// The path of one more folder, if it may wait; one that may not is not looked into.
    fn room_for(&mut self, path: PathBuf) -> Option<PathBuf> {
        let len = path.as_os_str().len();
        if self.waiting + len > WAITING {
            self.trouble(TreeError::Unsupported("so many folders".to_owned()));
            return None;
        }
        self.waiting += len;
        Some(path)
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
            Ok(Some(ranges)) if self.found.ranges.len() + ranges.len() > RANGES => {
                self.trouble(TreeError::Unsupported("so many pieces of files".to_owned()));
            }
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
