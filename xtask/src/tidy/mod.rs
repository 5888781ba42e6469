//! `cargo xtask tidy`: the habits of the project that a program can check. Formatting and clippy are steps of `test`.
//!
//! Never knows: what is right; each rule says that.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::{bpf, run};

mod arrows;
mod licences;
mod links;
mod sources;

/// Something that must be put right.
struct Finding {
    place: String,
    sentence: String,
}

impl Finding {
    fn new(place: impl Into<String>, sentence: impl Into<String>) -> Finding {
        Finding { place: place.into(), sentence: sentence.into() }
    }

    fn at(path: &str, line: usize, sentence: impl Into<String>) -> Finding {
        Finding::new(format!("{path}:{line}"), sentence)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.sentence)
    }
}

/// Runs every check and prints all that is found.
/// # Errors
/// Something was found, or a file cannot be read.
pub(crate) fn main() -> Result<()> {
    let mut findings = arrows::check(&metadata(&["--no-deps"])?);
    findings.extend(licences::check(&metadata(&[])?));
    let files = files()?;
    let pages = files.iter().filter(|(path, _)| path.ends_with(".md")).cloned().collect::<BTreeMap<_, _>>();
    findings.extend(links::check(&pages, |path| run::root().join(path).exists()));
    for (path, text) in &files {
        findings.extend(if path.ends_with(".rs") { sources::check(path, text) } else { sources::plain(path, text) });
    }
    findings.extend(sources::stale(&files));
    findings.extend(bpf::findings()?.into_iter().map(|(place, sentence)| Finding::new(place, sentence)));
    for finding in &findings {
        println!("{finding}");
    }
    cargo_deny()?;
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing to put right", files.len());
            Ok(())
        }
        count => Err(Fail::new(format!("tidy: {count} findings"))),
    }
}

fn metadata(arguments: &[&str]) -> Result<serde_json::Value> {
    let said = run::output(run::cargo().args(["metadata", "--format-version", "1", "--locked"]).args(arguments))?;
    serde_json::from_slice(&said).during("cargo metadata")
}

/// Every text file people wrote, by its path from the root: what git tracks or would track.
fn files() -> Result<Vec<(String, String)>> {
    let mut git = Command::new("git");
    git.current_dir(run::root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]);
    let mut files = Vec::new();
    for path in run::text(&mut git)?.split('\0').filter(|path| written_by_people(path)) {
        let full = run::root().join(path);
        if full.is_file() {
            files.push((path.to_owned(), fs::read_to_string(&full).during(path)?));
        }
    }
    Ok(files)
}

fn written_by_people(path: &str) -> bool {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kinds = [".rs", ".md", ".toml", ".sh", ".py", ".yml", ".yaml"];
    kinds.iter().any(|kind| name.ends_with(kind)) || path.starts_with(".ci/")
}

/// Where cargo-deny is installed it looks too: it also knows sources and duplicates. Advisories need the network and
/// are left to a run by hand.
fn cargo_deny() -> Result<()> {
    if run::find_program("cargo-deny").is_none() {
        println!("tidy: cargo-deny is not installed; licences were checked through cargo metadata");
        return Ok(());
    }
    run::run(run::cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}
