//! `backstay files ls` and `find`.
//!
//! Never knows: how files are copied.

use backstay_format::units::Timestamp;
use backstay_items::tree::{FileTree, Metadata, NodeId, NodeKind};
use serde_json::json;

use crate::args::Common;
use crate::failure::{Failure, sentence};
use crate::moment;
use crate::output::{self, note, say, size};

use super::{DEEPEST, tree_failure, walk};

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
    let mut found = Vec::new();
    let mut trouble = Vec::new();
    let mut folders = vec![(String::new(), tree.root(), 0)];
    while let Some((path, node, depth)) = folders.pop() {
        let entries = match tree.entries(node) {
            Ok(entries) => entries,
            Err(error) => {
                trouble.push(format!("{path}/: {}", sentence(&error)));
                continue;
            }
        };
        for entry in entries {
            let name = entry.name.to_string_lossy().into_owned();
            let full = format!("{path}/{name}");
            if matches(pattern, &name) {
                found.push(full.clone());
            }
            if entry.kind == NodeKind::Directory && depth < DEEPEST {
                folders.push((full, entry.node, depth + 1));
            }
        }
    }
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

/// A text that the name contains, or a pattern with `*` and `?` that it matches whole.
fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return name.contains(pattern);
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            (p, n) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("note", "my-notes.txt", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.bak", false),
            ("a?c*", "abcdef", true),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
