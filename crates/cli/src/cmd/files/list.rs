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
            listed.push((entry.name.to_string_lossy().into_owned(), entry.node, about));
        }
    } else {
        listed.push((path.to_owned(), node, about));
    }
    if common.json {
        let value = |(name, _, m): &(String, NodeId, Metadata)| {
            json!({
                "name": name, "kind": m.kind.name(), "bytes": m.size, "permissions": m.permissions,
                "uid": m.uid, "gid": m.gid, "modified": moment::rfc3339(stamp(m)),
            })
        };
        return output::json(&listed.iter().map(value).collect::<Vec<_>>());
    }
    let row = |(name, node, m): &(String, NodeId, Metadata)| {
        let arrow = match m.kind {
            NodeKind::Symlink => {
                tree.link_target(*node).map(|t| format!(" -> {}", t.to_string_lossy())).unwrap_or_default()
            }
            NodeKind::Directory => "/".to_owned(),
            _ => String::new(),
        };
        vec![
            format!("{:04o}", m.permissions),
            format!("{}:{}", m.uid, m.gid),
            size(m.size),
            moment::show(stamp(m)),
            format!("{name}{arrow}"),
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
pub(crate) fn tell_found(
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
