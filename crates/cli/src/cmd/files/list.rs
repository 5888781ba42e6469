//! `backstay files ls` and `find`.
//!
//! Never knows: how files are copied.

use backstay_format::units::Timestamp;
use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind};
use backstay_recover::find;
use serde_json::json;

use crate::args::Common;
use crate::failure::Failure;
use crate::moment;
use crate::output::{self, note, say, size};

use super::{tree_failure, walk};

pub(super) fn ls(common: &Common, tree: &dyn FileTree, path: &str) -> Result<(), Failure> {
    let node = walk(tree, path)?;
    let about = tree.metadata(node).map_err(|e| tree_failure(path, &e))?;
    let mut listed = Vec::new();
    if about.kind == NodeKind::Directory {
        let mut entries = tree.entries(node).map_err(|e| tree_failure(path, &e))?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            let about = tree.metadata(entry.node).map_err(|e| tree_failure(path, &e))?;
            listed.push(self::listed(tree, entry.name.to_string_lossy().into_owned(), (entry.node, &about)));
        }
    } else {
        listed.push(self::listed(tree, path.to_owned(), (node, &about)));
    }
    tell_listed(common, &listed)
}

/// A name in a folder.
pub(in crate::cmd) struct Listed {
    pub(in crate::cmd) name: String,
    pub(in crate::cmd) kind: String,
    pub(in crate::cmd) bytes: u64,
    pub(in crate::cmd) permissions: u32,
    pub(in crate::cmd) owner: (u32, u32),
    pub(in crate::cmd) modified: Timestamp,
    /// Where a symbolic link leads, if that can be read.
    pub(in crate::cmd) target: Option<String>,
}

fn listed(tree: &dyn FileTree, name: String, (node, about): (NodeId, &Metadata)) -> Listed {
    let target = (about.kind == NodeKind::Symlink).then(|| tree.link_target(node).ok()).flatten();
    Listed {
        name,
        kind: about.kind.name().to_owned(),
        bytes: about.size,
        permissions: about.permissions.into(),
        owner: (about.uid, about.gid),
        modified: stamp(about),
        target: target.map(|target| target.to_string_lossy().into_owned()),
    }
}

/// Tells what is in a folder.
pub(in crate::cmd) fn tell_listed(common: &Common, listed: &[Listed]) -> Result<(), Failure> {
    if common.json {
        let value = |one: &Listed| {
            json!({
                "name": one.name, "kind": one.kind, "bytes": one.bytes, "permissions": one.permissions,
                "uid": one.owner.0, "gid": one.owner.1, "modified": moment::rfc3339(one.modified),
            })
        };
        return output::json(&listed.iter().map(value).collect::<Vec<_>>());
    }
    let row = |one: &Listed| {
        let arrow = match (&one.target, one.kind.as_str()) {
            (Some(target), _) => format!(" -> {target}"),
            (None, "directory") => "/".to_owned(),
            (None, _) => String::new(),
        };
        vec![
            format!("{:04o}", one.permissions),
            format!("{}:{}", one.owner.0, one.owner.1),
            size(one.bytes),
            moment::show(one.modified),
            format!("{}{arrow}", one.name),
        ]
    };
    let rows = listed.iter().map(row).collect();
    output::table(&["MODE", "OWNER", "SIZE", "MODIFIED", "NAME"], rows, "nothing in it")
}

fn stamp(about: &Metadata) -> Timestamp {
    let nanos = about.modified.seconds.saturating_mul(1_000_000_000);
    Timestamp(nanos.saturating_add(about.modified.nanos.into()))
}

pub(super) fn find(common: &Common, tree: &dyn FileTree, pattern: &str) -> Result<(), Failure> {
    let found = find::find(tree, (tree.root(), ""), pattern, &mut |_| true);
    tell_found(common, pattern, found.paths, &found.unreadable)
}

/// Tells what was found, and what could not be looked into.
pub(in crate::cmd) fn tell_found(
    common: &Common,
    pattern: &str,
    mut found: Vec<String>,
    trouble: &[String],
) -> Result<(), Failure> {
    found.sort();
    if common.json {
        output::json(&found)?;
    } else {
        found.iter().try_for_each(|f| say!("{f}"))?;
        if found.is_empty() && trouble.is_empty() {
            note!("no name is like {pattern}");
        }
    }
    if trouble.is_empty() {
        return Ok(());
    }
    trouble.iter().for_each(|t| note!("{t}"));
    Err(Failure::damaged("some folders could not be read; the list is not complete"))
}
