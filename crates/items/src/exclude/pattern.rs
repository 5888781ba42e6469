//! Paths and patterns as people write them: `/var/cache`, `/home/*/Downloads`, `*.iso`, `/var/log/**`.
//!
//! Never knows: which file system they are held against.

use globset::GlobBuilder;
use regex::bytes::{Regex, RegexBuilder};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Characters by which a part of a path stands for more than itself, or for another character.
const SPECIAL: &[char] = &['*', '?', '[', ']', '{', '}', '\\'];

/// Bytes that a pattern may take once it is made ready. An agent's patterns are looked for by its server, and whoever wrote them may mean
/// it harm.
const PROGRAM: usize = 512 << 10;
/// Bytes in which a pattern remembers where it has been; where they are too few it goes on, more slowly.
const STATES: usize = 64 << 10;

/// Names files and folders; a folder with all that is below it.
///
/// With a slash it is a path from the top of a file system; without one it is a name, wherever it is. `*` and `?` stand for
/// anything but a slash, `**` for any folders; `[a-z]` and `{a,b}` are known; a backslash takes away a character's meaning.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The parts of the path before the first that is no plain name.
    start: Vec<OsString>,
    is_name: bool,
    exact: Regex,
    /// For file systems whose names do not tell small and capital letters apart.
    folded: Regex,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl Pattern {
    /// From what was written.
    ///
    /// # Errors
    /// Says what is wrong with it: nothing named, all of a file system named, a part that is `..`, or brackets that do
    /// not fit.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let wrong = |what: &str| PatternError(what.to_owned());
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.is_empty() {
            return Err(wrong("it names no file or folder"));
        }
        if parts.iter().all(|part| matches!(*part, "*" | "**")) {
            return Err(wrong("it names everything; leave such a disk out of the command instead"));
        }
        if parts.contains(&"..") {
            return Err(wrong("a path from the top of a file system has no .. in it"));
        }
        let is_name = !text.contains('/');
        let plain = parts.iter().take_while(|part| !part.contains(SPECIAL));
        let start = plain.map(OsString::from).collect();
        let path = parts.join("/");
        Ok(Pattern {
            start: if is_name { Vec::new() } else { start },
            is_name,
            exact: matcher(&path, false)?,
            folded: matcher(&path, true)?,
        })
    }

    /// Whether it names what is at `path`, told from the top without a slash before it.
    pub(super) fn names(&self, path: &Path, fold: bool) -> bool {
        let matcher = if fold { &self.folded } else { &self.exact };
        match path.file_name() {
            Some(name) if self.is_name => matcher.is_match(name.as_bytes()),
            _ => matcher.is_match(path.as_os_str().as_bytes()),
        }
    }

    /// Whether it may name something below the folder `path`.
    pub(super) fn leads_below(&self, path: &Path, fold: bool) -> bool {
        let same = |(a, b): (&OsStr, &OsString)| a == b || fold && lower(a) == lower(b);
        path.iter().zip(&self.start).all(same)
    }
}

fn matcher(path: &str, fold: bool) -> Result<Regex, PatternError> {
    let glob = GlobBuilder::new(path).literal_separator(true).backslash_escape(true).case_insensitive(fold).build();
    let glob = glob.map_err(|e| PatternError(e.kind().to_string()))?;
    let regex =
        RegexBuilder::new(glob.regex()).dot_matches_new_line(true).size_limit(PROGRAM).dfa_size_limit(STATES).build();
    regex.map_err(|_| PatternError("it is too long to be looked for".to_owned()))
}

fn lower(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, named: &[&str], not: &[&str]) {
        let pattern = Pattern::parse(pattern).expect("a good pattern");
        for path in named {
            assert!(pattern.names(Path::new(path), false), "{pattern:?} names {path}");
            let above = Path::new(path).parent().expect("a path");
            assert!(pattern.leads_below(above, false), "{pattern:?} leads to {path}");
        }
        for path in not {
            assert!(!pattern.names(Path::new(path), false), "{pattern:?} does not name {path}");
        }
    }

    #[test]
    fn paths_names_and_patterns() {
        check("/var/cache", &["var/cache"], &["var", "cache", "var/cache/x", "srv/var/cache"]);
        check("var//cache/", &["var/cache"], &["cache"]);
        check("*.iso", &["a.iso", "home/me/b.iso"], &["a.iso.txt", "iso"]);
        check("node_modules", &["node_modules", "a/b/node_modules"], &["a/node_modules2"]);
        check("/var/cache/**", &["var/cache/x", "var/cache/x/y"], &["var/cache", "var/log/x"]);
        check("/home/*/Downloads", &["home/me/Downloads"], &["home/Downloads", "home/me/you/Downloads"]);
        check("/{tmp,var/tmp}", &["tmp", "var/tmp"], &["var"]);
        check("/a\\*b", &["a*b"], &["axb"]);
    }

    #[test]
    fn folders_that_lead_nowhere_are_not_walked() {
        let pattern = Pattern::parse("/var/cache/*/big").expect("a good pattern");
        for (path, leads) in
            [("", true), ("var", true), ("var/cache", true), ("var/cache/x", true), ("home", false), ("var/log", false)]
        {
            assert_eq!(pattern.leads_below(Path::new(path), false), leads, "{path}");
        }
        assert!(pattern.leads_below(Path::new("VAR/Cache"), true));
    }

    #[test]
    fn letters_are_folded_where_the_file_system_does() {
        let pattern = Pattern::parse("/Windows/*.TMP").expect("a good pattern");
        assert!(pattern.names(Path::new("WINDOWS/x.tmp"), true));
        assert!(!pattern.names(Path::new("WINDOWS/x.tmp"), false));
    }

    #[test]
    fn a_pattern_takes_little_memory() {
        let long = |part: &str| Pattern::parse(&part.repeat(1024 / part.len()));
        for part in ["abcdefg/", "?", "*a", "**/a/", "[!a-z]", "{a,b}"] {
            let pattern = long(part).expect("a good pattern");
            assert!(!pattern.names(Path::new(&"ab/".repeat(1000)), false), "{part}");
        }
        // The longest path that a program can say.
        Pattern::parse(&"/xxxxxxx".repeat(512)).expect("a good pattern");
        let long = Pattern::parse(&"?".repeat(1 << 16)).err();
        assert_eq!(long, Some(PatternError("it is too long to be looked for".to_owned())));
    }

    #[test]
    fn what_names_nothing_or_everything_is_refused() {
        for bad in ["", "/", ".", "**", "/*", "*", "/**/*", "/a/../b", "a[", "{a"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }
}
