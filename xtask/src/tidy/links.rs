//! Links in Markdown pages: files they name are there, and so are headings.
//!
//! Never knows: the web; links that leave the project are not followed.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Checks all pages together, since they point at each other. `exists` says whether a file or folder of the project,
/// by its path from the root, is there.
pub(super) fn check(pages: &BTreeMap<String, String>, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in pages {
        for (number, line) in prose(text) {
            for target in targets(line) {
                if let Some(sentence) = wrong(pages, path, target, &exists) {
                    findings.push(Finding::at(path, number, sentence));
                }
            }
        }
    }
    findings
}

fn wrong(
    pages: &BTreeMap<String, String>,
    from: &str,
    target: &str,
    exists: &impl Fn(&Path) -> bool,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let to = match file {
        "" => PathBuf::from(from),
        _ => normal(&Path::new(from).parent().unwrap_or(Path::new("")).join(file)),
    };
    if !exists(&to) {
        return Some(format!("link to `{target}`: no such file"));
    }
    let page = pages.get(to.to_str()?)?;
    let found = heading.is_empty() || headings(page).any(|slug| slug == heading);
    (!found).then(|| format!("link to `{target}`: no such heading"))
}

fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((at + 1, line))
    })
}

/// The targets of `[text](target)`, code spans left out.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (place, piece) in line.split('`').enumerate() {
        // A link's text may be a code span: then the piece after it begins with `](`.
        if place % 2 == 0 {
            found.extend(piece.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)));
        }
    }
    found
}

/// Headings as the usual viewers name them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    prose(page).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        let other = ("docs/b.md".to_owned(), "# One, two\n".to_owned());
        let pages = BTreeMap::from([("docs/a.md".to_owned(), text.to_owned()), other]);
        let known = |path: &Path| path == "LICENSE-MIT" || pages.contains_key(path.to_str().unwrap_or_default());
        check(&pages, known).len()
    }

    #[test]
    fn links() {
        assert_eq!(findings("[b](b.md), [`b`](b.md#one-two), [l](../LICENSE-MIT), [w](https://a.example/)"), 0);
        assert_eq!(findings("[c](c.md)"), 1);
        assert_eq!(findings("[`b`](b.md#three)"), 1);
        assert_eq!(findings("```\n[c](c.md)\n```\n`[c](c.md)`"), 0);
        assert_eq!(findings("# Here\n[h](#here) [t](#there)"), 1);
    }
}
