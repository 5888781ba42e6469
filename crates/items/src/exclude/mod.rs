//! What is left out of a disk by choice: from paths and patterns to the bytes of the disk that hold nothing else.
//!
//! Guarantee: outside the content of regular files that are named nothing is in the answer; nor is what a file that is not
//! named, or a snapshot, uses too. A file with several names is named only if all of them are. Where a file system is
//! doubted the answer is nothing, and why.
//! Never knows: what becomes of the bytes, or who chose.

mod pattern;
mod rule;
mod walk;

use crate::allocation::Ranges;
use crate::detect::{self, Kind};
use crate::disk::Part;
use crate::tree::{FileTree, TreeError};
use backstay_env::volume::{Slice, Volume};
use std::sync::Arc;

pub use pattern::{Pattern, PatternError};
pub use rule::{Resolved, Rule, resolve};
use walk::Walk;

/// A choice, as far as it is about one disk.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    /// The partition that it is about; `None`: all file systems of the disk.
    pub partition: Option<u32>,
    /// What it names there.
    pub pattern: &'a Pattern,
}

/// What a choice came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that it names.
    pub files: u64,
    /// Bytes of the disk that they have to themselves.
    pub bytes: u64,
}

/// What is left out of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excluded {
    /// From the start of the disk.
    pub ranges: Ranges,
    /// What each choice came to, in their order.
    pub tallies: Vec<Tally>,
    /// Where nothing, or not all, was left out, and why.
    pub doubts: Vec<String>,
}

/// Asked now and then whether to end early.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// Resolves choices on a disk whose parts [`crate::disk::allocated`] has found. If it is to `stop` early, the answer is of no use.
pub fn excluded(volume: &Arc<dyn Volume>, parts: &[Part], choices: &[Choice<'_>], stop: Stop<'_>) -> Excluded {
    let mut ranges = Vec::new();
    let mut out = Excluded { tallies: vec![Tally::default(); choices.len()], ..Excluded::default() };
    for part in parts {
        let meant = |c: &Choice<'_>| c.partition.is_none() || c.partition == part.index;
        let about: Vec<usize> = (0..choices.len()).filter(|i| meant(&choices[*i])).collect();
        if about.is_empty() || part.used == 0 {
            continue;
        }
        let name = part.index.map_or_else(|| part.kind.to_owned(), |n| format!("partition {n} ({})", part.kind));
        let tree = match (open(volume, part), &part.doubt) {
            (Ok(None), _) => continue,
            (Ok(Some(tree)), None) => tree,
            (Ok(Some(_)), Some(why)) => {
                out.doubts.push(format!("{name}: {why}"));
                continue;
            }
            (Err(why), _) => {
                out.doubts.push(format!("{name}: {why}"));
                continue;
            }
        };
        let patterns = about.iter().map(|i| choices[*i].pattern).collect();
        let found = Walk::new(&*tree, patterns, stop).run();
        let len = part.place.end - part.place.start;
        let inside = found.ranges.iter().filter(|r| r.end <= len);
        ranges.extend(inside.map(|r| part.place.start + r.start..part.place.start + r.end));
        for (index, tally) in about.iter().zip(found.tallies) {
            out.tallies[*index].files += tally.files;
            out.tallies[*index].bytes += tally.bytes;
        }
        out.doubts.extend(found.trouble.map(|why| format!("{name}: {why}")));
    }
    out.ranges = Ranges::from_unsorted(ranges);
    out
}

/// The files of a part; `None` when it holds none.
fn open(volume: &Arc<dyn Volume>, part: &Part) -> Result<Option<Box<dyn FileTree>>, TreeError> {
    let len = part.place.end - part.place.start;
    let slice: Arc<dyn Volume> = Arc::new(Slice::new(volume.clone(), part.place.start, len).map_err(TreeError::Io)?);
    match detect::detect(&*slice)? {
        kind @ (Kind::Ext(_) | Kind::Xfs | Kind::Btrfs | Kind::Ntfs | Kind::Vfat) => {
            detect::open_as(kind, slice).map(Some)
        }
        _ => Ok(None),
    }
}
