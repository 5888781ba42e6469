//! The licences of everything that is linked, from `cargo metadata`, against a list.
//!
//! deny.toml says the same to cargo-deny, for those who have it. Never knows: how a library is used.

use serde_json::Value;

use super::Finding;

/// What may be linked: permissive licences, and MPL-2.0 for unmodified libraries.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks every package of `cargo metadata`, whatever platform or test it is for.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(expression) if allowed(expression) => {}
            Some(expression) => findings.push(Finding::new(name, format!("licence `{expression}` is not on the list"))),
            None => findings.push(Finding::new(name, "states no licence")),
        }
    }
    findings
}

/// Whether an SPDX expression (or the older `A/B`) can be met from the list. What is not understood cannot.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, 0).unwrap_or(false) && rest.is_empty()
}

/// Deeper than any real expression; ends the recursion.
const DEEPEST: usize = 16;

fn any_of(words: &mut &[&str], depth: usize) -> Option<bool> {
    let mut met = all_of(words, depth)?;
    while take(words, "OR") {
        met |= all_of(words, depth)?;
    }
    Some(met)
}

fn all_of(words: &mut &[&str], depth: usize) -> Option<bool> {
    let mut met = one(words, depth)?;
    while take(words, "AND") {
        met &= one(words, depth)?;
    }
    Some(met)
}

fn one(words: &mut &[&str], depth: usize) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let met = (depth < DEEPEST).then(|| any_of(words, depth + 1))??;
        return take(words, ")").then_some(met);
    }
    if !take(words, "WITH") {
        return Some(ALLOWED.contains(first));
    }
    let (exception, rest) = words.split_first()?;
    *words = rest;
    Some(ALLOWED.contains(&format!("{first} WITH {exception}").as_str()))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for good in ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND ISC", "GPL-2.0 OR Apache-2.0 WITH LLVM-exception"] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT WITH", "MIT ISC", "Apache-2.0 WITH GCC-exception"] {
            assert!(!allowed(bad), "{bad}");
        }
        assert!(!allowed(&"(".repeat(100_000)));
    }

    #[test]
    fn deny_toml_has_the_same_list() {
        let deny = include_str!("../../../deny.toml");
        for licence in ALLOWED {
            assert!(deny.contains(&format!("\"{licence}\"")), "{licence}");
        }
        let listed = deny.lines().filter(|line| line.starts_with("    \"")).count();
        assert_eq!(listed, ALLOWED.len());
    }
}
