//! Looking for names in a file system.
//!
//! Never knows: what is done with them.

use std::collections::HashSet;

use backstay_items::tree::{FileTree, NodeId, NodeKind};

use crate::TWICE;

/// Folders deeper than this are an image that lies; so is one folder in two places.
const DEEPEST: usize = 1024;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Paths from the top, in no order.
    pub paths: Vec<String>,
    /// Folders that could not be read, and why.
    pub unreadable: Vec<String>,
    /// The search was ended before its end.
    pub cut: bool,
}

/// Finds names like a pattern, below a folder whose path is `path`. `go_on` is asked at each folder, with what was found so far.
pub fn find(
    tree: &dyn FileTree,
    (node, path): (NodeId, &str),
    pattern: &str,
    go_on: &mut dyn FnMut(&Found) -> bool,
) -> Found {
    let (mut found, mut seen) = (Found::default(), HashSet::new());
    let mut folders = vec![(path.trim_end_matches('/').to_owned(), node, 0)];
    while let Some((path, node, depth)) = folders.pop() {
        if !go_on(&found) {
            found.cut = true;
            break;
        }
        if !seen.insert(node) {
            found.unreadable.push(format!("{path}/: {TWICE}"));
            continue;
        }
        let entries = match tree.entries(node) {
            Ok(entries) => entries,
            Err(error) => {
                found.unreadable.push(format!("{path}/: {error}"));
                continue;
            }
        };
        for entry in entries {
            let name = entry.name.to_string_lossy();
            let full = format!("{path}/{name}");
            if matches(pattern, &name) {
                found.paths.push(full.clone());
            }
            if entry.kind == NodeKind::Directory && depth < DEEPEST {
                folders.push((full, entry.node, depth + 1));
            }
        }
    }
    found
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
    use super::*;
    use crate::mirror::Mirror;

    #[test]
    fn folders_that_hold_themselves_end() {
        let found = find(&Mirror, (NodeId(1), "/"), "a", &mut |_| true);
        assert_eq!((found.paths, found.unreadable.len(), found.cut), (vec!["/a".to_owned()], 2, false));
    }

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
