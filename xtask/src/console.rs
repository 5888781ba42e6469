//! `cargo xtask console`: builds the console into `web/dist/console`, where a server that is built afterwards takes it in; and tests it
//! in Chromium at such a server.
//!
//! Never knows: pages, or how the server serves them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::run;

/// What may follow `cargo xtask console`.
pub(crate) const USAGE: &str =
    "console [test]            builds the console; `test` also drives it in Chromium at a real server";

/// The oldest Node.js that Vite runs on.
const NODE: (u32, u32) = (20, 19);

/// Builds, and tests if asked to.
/// # Errors
/// Node.js is missing or too old, what is built has mistakes, or a test fails.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => build(),
        [word] if word == "test" => test(),
        _ => Err(Fail::new(format!("`console {}` is not understood\n{USAGE}", arguments.join(" ")))),
    }
}

/// Builds the console.
/// # Errors
/// As [`main`].
pub(crate) fn build() -> Result<()> {
    fetch()?;
    run::run(npm().args(["run", "build"]))
}

/// Builds the console and a server with it, and drives both.
/// # Errors
/// As [`main`].
pub(crate) fn test() -> Result<()> {
    build()?;
    let program = run::built()?;
    run::run(npm().args(["run", "unit"]))?;
    let mut drive = npm();
    drive.env("BACKSTAY_PROGRAM", program);
    run::run(drive.args(["run", "drive"]))
}

/// What `package-lock.json` says, and nothing else; only if it has changed since.
fn fetch() -> Result<()> {
    check_node()?;
    let (lock, kept) = (web().join("package-lock.json"), web().join("node_modules/.backstay-lock"));
    let wanted = fs::read(&lock).during(lock.display())?;
    if fs::read(&kept).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    run::run(npm().args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]))?;
    fs::write(&kept, wanted).during(kept.display())
}

fn web() -> PathBuf {
    run::root().join("web")
}

/// npm, in the console's folder.
pub(crate) fn npm() -> Command {
    let mut command = Command::new("npm");
    command.current_dir(web());
    command
}

/// Debian 12 has a Node.js that is too old; the message says what to do.
fn check_node() -> Result<()> {
    let wanted = format!("{}.{}", NODE.0, NODE.1);
    let how = format!(
        "the console is built with Node.js {wanted} or newer and its npm; Debian 12 has 18: install it from deb.nodesource.com or nodejs.org"
    );
    if run::find_program("npm").is_none() {
        return Err(Fail::new(format!("there is no npm: {how}")));
    }
    let said = run::text(Command::new("node").arg("--version"))?;
    match version(&said) {
        Some(found) if found >= NODE => Ok(()),
        _ => Err(Fail::new(format!("Node.js here is {}: {how}", said.trim()))),
    }
}

fn version(said: &str) -> Option<(u32, u32)> {
    let mut words = said.trim().strip_prefix('v')?.split('.');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read() {
        assert_eq!(version("v20.20.2\n"), Some((20, 20)));
        assert!(version("v18.20.4").is_some_and(|found| found < NODE));
        assert_eq!(version("20"), None);
    }
}
