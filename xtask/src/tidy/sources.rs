//! What every source file must be: headed, short, finished, and safe unless listed.
//!
//! Never knows: what the code does.

use super::Finding;

/// Lines a file may have before its in-file tests.
const CEILING: usize = 800;

/// Files that may say `unsafe`, and why there is no other way.
const UNSAFE: &[(&str, &str)] = &[
    ("crates/capture/src/freeze/ioctl.rs", "calls to the kernel that no library wraps"),
    ("crates/capture/src/freeze/watchdog/shared.rs", "a page of memory that two processes share"),
    ("crates/capture/src/residue/mod.rs", "memory that the kernel reads into while file systems are frozen"),
    ("crates/capture/src/deep.rs", "memory that the kernel reads many pages into at once"),
    ("crates/capture/src/ring.rs", "io_uring's queue of such reads"),
    ("crates/capture/src/freeze/locked.rs", "a program's own pages are locked where they lie"),
    ("crates/capture/src/heap.rs", "the C library's call that gives freed memory back"),
    ("crates/capture/src/saved/ioctl.rs", "a call to the kernel that no library wraps"),
    ("crates/capture/src/marks/memory.rs", "maps of the kernel's programs are seen by mapping them"),
];

/// What must be listed above.
const WORD: &str = concat!("un", "safe");

/// Words of unfinished work. Written in halves, so that this file does not contain them.
const MARKERS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/Us", "ers/")];

/// Checks one Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = plain(path, text);
    let mut complain = |line: usize, sentence: String| findings.push(Finding::at(path, line, sentence));
    if !text.starts_with("//!") {
        complain(1, "begins without a `//!` header that says what this is, and what it never knows".into());
    }
    let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let crate_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if crate_root && !header.contains("Never knows") && !header.to_lowercase().contains("must never know") {
        complain(1, "the header of a crate says what it must never know (`Never knows: ...`)".into());
    }
    let lines = before_tests(text);
    if lines > CEILING {
        complain(lines, format!("{lines} lines before its tests, more than {CEILING}: split it by what it knows"));
    }
    if !UNSAFE.iter().any(|&(listed, _)| listed == path) {
        for (number, line) in text.lines().enumerate() {
            if has_word(code(line), WORD) {
                complain(number + 1, format!("`{WORD}` in a file that tidy does not list with a reason"));
            }
        }
    }
    findings
}

/// Checks that hold for every text file, code or not.
pub(super) fn plain(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for marker in MARKERS.iter().filter(|marker| has_word(line, marker)) {
            findings.push(Finding::at(path, number + 1, format!("unfinished: `{marker}`")));
        }
        for start in MACHINE_PATHS.iter().filter(|start| has_path(line, start)) {
            findings.push(Finding::at(path, number + 1, format!("a path of one machine: `{start}...`")));
        }
    }
    findings
}

/// Entries of the list of files with unsafe code that no longer need it.
pub(super) fn stale(files: &[(String, String)]) -> Vec<Finding> {
    let needed = |path: &str| files.iter().any(|(file, text)| file == path && has_word(text, WORD));
    let stale = UNSAFE.iter().filter(|(path, _)| !needed(path));
    stale.map(|(path, _)| Finding::new(*path, format!("is listed for `{WORD}` code but has none"))).collect()
}

fn before_tests(text: &str) -> usize {
    let mut lines = text.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.trim_start().starts_with("mod ")) {
            break;
        }
        count += 1;
    }
    count
}

/// The line without its comment. A `//` inside a string ends it too early, which only makes the check milder.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

fn has_word(line: &str, word: &str) -> bool {
    let name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(name) && !after.is_some_and(|c| name(c) && !word.ends_with('!'))
    })
}

/// Whether an absolute path begins so: not the tail of a longer path.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | ')' | '~' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(path, text).len()
    }

    #[test]
    fn headers() {
        assert_eq!(count("crates/x/src/a.rs", "//! A.\n"), 0);
        assert_eq!(count("crates/x/src/a.rs", "fn a() {}\n"), 1);
        assert_eq!(count("crates/x/src/lib.rs", "//! A.\n"), 1);
        assert_eq!(count("crates/x/src/lib.rs", "//! A.\n//!\n//! Never knows: b.\n"), 0);
    }

    #[test]
    fn markers_are_words() {
        let line = |code: &str| count("a.rs", &format!("//! A.\n{code}\n"));
        assert_eq!(line(concat!("    to", "do!(\"later\")")), 1);
        assert_eq!(line(concat!("// FIX", "ME: later")), 1);
        assert_eq!(line(concat!("let id = \"AXX", "XA\";")), 0);
        assert_eq!(line(concat!("un", "safe { f() }")), 1);
        assert_eq!(line(concat!("#[deny(un", "safe_code)]")), 0);
        assert_eq!(line(concat!("// no un", "safe here")), 0);
    }

    #[test]
    fn paths_of_one_machine() {
        let line = |code: &str| count("a.rs", &format!("//! A.\n{code}\n"));
        assert_eq!(line(concat!("\"/ro", "ot/x\"")), 1);
        assert_eq!(line(concat!("\"at/ro", "ot/x\"")), 0);
    }

    #[test]
    fn tests_do_not_count() {
        let body = "x\n".repeat(CEILING - 1);
        assert_eq!(count("a.rs", &format!("//! A.\n{body}")), 0);
        assert_eq!(count("a.rs", &format!("//! A.\n{body}#[cfg(test)]\nmod tests {{\n{body}")), 0);
        assert_eq!(count("a.rs", &format!("//! A.\n{body}y\n")), 1);
    }
}
