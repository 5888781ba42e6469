//! What changed between two states of a file system, by what it says of its files: no content is read.
//!
//! A file counts as changed when its kind, size, times, owner or permissions did, or where its link leads. Whatever writes to a file
//! also changes the time of its last change, which programs cannot set.
//!
//! Never knows: points.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::OsString;

use backstay_items::tree::{Entry, FileTree, Metadata, NodeId, NodeKind, TreeError};

use crate::TWICE;

/// Folders deeper than this are an image that lies; so is one folder in two places.
const DEEPEST: usize = 1024;

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path, from where the comparison began.
    pub path: String,
    /// What it was; `None`: it was not there.
    pub before: Option<Metadata>,
    /// What it is; `None`: it is not there. Of a folder that came or went only itself is named.
    pub after: Option<Metadata>,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What changed, folder by folder.
    pub changes: Vec<Change>,
    /// What could not be read, and why.
    pub unreadable: Vec<String>,
    /// It was ended before its end.
    pub cut: bool,
}

/// A file system, and a node in it.
pub type Side<'t> = (&'t dyn FileTree, NodeId);

/// Compares two folders, or files. `go_on` is asked at each folder, with what was found so far.
///
/// # Errors
/// [`TreeError`] when one of the two cannot be looked at.
pub fn compare(
    before: Side<'_>,
    after: Side<'_>,
    go_on: &mut dyn FnMut(&Comparison) -> bool,
) -> Result<Comparison, TreeError> {
    let mut found = Comparison::default();
    let (was, is) = (before.0.metadata(before.1)?, after.0.metadata(after.1)?);
    let both_folders = was.kind == NodeKind::Directory && is.kind == NodeKind::Directory;
    if is_changed((before.0, before.1, &was), (after.0, after.1, &is))? {
        found.changes.push(Change { path: String::new(), before: Some(was), after: Some(is) });
    }
    let mut folders: Vec<(String, NodeId, NodeId, usize)> = Vec::new();
    folders.extend(both_folders.then(|| (String::new(), before.1, after.1, 0)));
    let (mut seen_before, mut seen_after) = (HashSet::new(), HashSet::new());
    while let Some((path, was, is, depth)) = folders.pop() {
        if !go_on(&found) {
            found.cut = true;
            break;
        }
        if !(seen_before.insert(was) & seen_after.insert(is)) {
            found.unreadable.push(format!("{path}/: {TWICE}"));
            continue;
        }
        let names = names(before.0, was).and_then(|was| Ok((was, names(after.0, is)?)));
        let (was, is) = match names {
            Ok(names) => names,
            Err(error) => {
                found.unreadable.push(format!("{path}/: {error}"));
                continue;
            }
        };
        for (name, was, is) in paired(was, is) {
            let path = format!("{path}/{}", name.to_string_lossy());
            match one(before.0, after.0, (was, is)) {
                Ok((change, into)) => {
                    found.changes.extend(change.map(|(before, after)| Change { path: path.clone(), before, after }));
                    folders.extend(into.filter(|_| depth < DEEPEST).map(|(was, is)| (path, was, is, depth + 1)));
                }
                Err(error) => found.unreadable.push(format!("{path}: {error}")),
            }
        }
    }
    Ok(found)
}

type Changed = Option<(Option<Metadata>, Option<Metadata>)>;

/// What became of one name; and the two folders that it names, if it named one and still does.
fn one(
    before: &dyn FileTree,
    after: &dyn FileTree,
    (was, is): (Option<NodeId>, Option<NodeId>),
) -> Result<(Changed, Option<(NodeId, NodeId)>), TreeError> {
    let was = was.map(|node| Ok((node, before.metadata(node)?))).transpose()?;
    let is = is.map(|node| Ok((node, after.metadata(node)?))).transpose()?;
    let (Some((was, was_about)), Some((is, is_about))) = (&was, &is) else {
        return Ok((Some((was.map(|(_, about)| about), is.map(|(_, about)| about))), None));
    };
    let folders = was_about.kind == NodeKind::Directory && is_about.kind == NodeKind::Directory;
    let into = folders.then_some((*was, *is));
    let changed = is_changed((before, *was, was_about), (after, *is, is_about))?;
    Ok((changed.then(|| (Some(was_about.clone()), Some(is_about.clone()))), into))
}

/// Whether a node is another than it was. What is in a folder is compared by itself.
fn is_changed(
    (before, was, one): (&dyn FileTree, NodeId, &Metadata),
    (after, is, other): (&dyn FileTree, NodeId, &Metadata),
) -> Result<bool, TreeError> {
    let rights = |about: &Metadata| (about.kind, about.permissions, about.uid, about.gid, about.device);
    if rights(one) != rights(other) {
        return Ok(true);
    }
    Ok(match one.kind {
        NodeKind::Directory => false,
        NodeKind::Symlink => before.link_target(was)? != after.link_target(is)?,
        _ => (one.size, one.modified, one.changed) != (other.size, other.modified, other.changed),
    })
}

fn names(tree: &dyn FileTree, folder: NodeId) -> Result<Vec<Entry>, TreeError> {
    let mut entries = tree.entries(folder)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Names of either or both, in order.
fn paired(was: Vec<Entry>, is: Vec<Entry>) -> Vec<(OsString, Option<NodeId>, Option<NodeId>)> {
    let mut pairs = Vec::with_capacity(was.len().max(is.len()));
    let (mut was, mut is) = (was.into_iter().peekable(), is.into_iter().peekable());
    loop {
        let order = match (was.peek(), is.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => was.name.cmp(&is.name),
        };
        let one = if order.is_le() { was.next() } else { None };
        let other = if order.is_ge() { is.next() } else { None };
        let name = one.as_ref().or(other.as_ref()).map(|entry| entry.name.clone()).unwrap_or_default();
        pairs.push((name, one.map(|entry| entry.node), other.map(|entry| entry.node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Mirror;

    #[test]
    fn folders_that_hold_themselves_end() {
        let side: Side<'_> = (&Mirror, NodeId(1));
        let found = compare(side, side, &mut |_| true).unwrap();
        assert_eq!((found.changes, found.unreadable.len(), found.cut), (Vec::new(), 2, false));
    }
}
