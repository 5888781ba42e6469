//! `cargo xtask dist`: Debian packages and a static tarball, and their trial in a clean Debian.
//!
//! Never knows: what the program does.

mod deb;
mod packages;
mod program;
mod tarball;
mod trial;
mod units;
mod upgrade;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::{console, run, setup};

pub(crate) const USAGE: &str =
    "dist [--dev]        .deb packages and a static tarball, in target/dist; --dev: quickly, and no tarball
  dist test [--dev]   the same, installed, upgraded, removed and purged in a clean Debian; judged by lintian";

/// What a release is made of.
struct Release<'a> {
    /// The program, without what debuggers need.
    program: &'a Path,
    version: &'a str,
    /// Seconds since 1970: when everything in it was made, as far as its files say.
    epoch: u64,
    /// Where its files are put, and what is needed on the way.
    folder: &'a Path,
}

/// Makes packages, and tries them if that is asked for.
/// # Errors
/// Something cannot be built, or the trial failed.
pub(crate) fn main(rest: &[String]) -> Result<()> {
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let (tried, dev) = match words[..] {
        [] => (false, false),
        ["--dev"] => (false, true),
        ["test"] => (true, false),
        ["test", "--dev"] => (true, true),
        _ => return Err(Fail::new(USAGE)),
    };
    setup::install(if tried { setup::Set::Dist } else { setup::Set::Test })?;
    let folder = run::keep("dist");
    fs::create_dir_all(&folder).during(folder.display())?;
    let (version, epoch) = (version()?, epoch()?);
    console::build()?;
    let built = program::build(if dev { program::Kind::Dev } else { program::Kind::Release })?;
    let program = program::stripped(&built, &folder.join("backstay"))?;
    let release = Release { program: &program, version: &version, epoch, folder: &folder };
    let debs = packages::make(&release)?;
    debs.iter().for_each(|deb| println!("dist: {}", deb.display()));
    let mut tar = None;
    if !dev {
        let built = program::build(program::Kind::Static)?;
        let program = program::stripped(&built, &folder.join("backstay-static"))?;
        let made = tarball::make(&Release { program: &program, ..release })?;
        println!("dist: {}", made.display());
        tar = Some(made);
    }
    units::judge()?;
    if tried {
        trial::debs(&release, &debs)?;
        tar.as_deref().map_or(Ok(()), trial::tarball)?;
    }
    Ok(())
}

/// What `cargo xtask test` does of it: packages of the program that was tested, made twice, and the units judged.
/// # Errors
/// Two packages of the same differ, or a unit may do too much.
pub(crate) fn smoke() -> Result<()> {
    units::judge()?;
    let (version, epoch) = (version()?, epoch()?);
    let built = program::build(program::Kind::Dev)?;
    let home = tempfile::tempdir().during("a temporary folder")?;
    let program = program::stripped(&built, &home.path().join("backstay"))?;
    let make = |name: &str| -> Result<Vec<PathBuf>> {
        let folder = &home.path().join(name);
        fs::create_dir(folder).during(folder.display())?;
        packages::make(&Release { program: &program, version: &version, epoch, folder })
    };
    let (first, second) = (make("first")?, make("second")?);
    for (one, other) in first.iter().zip(&second) {
        let read = |path: &Path| fs::read(path).during(path.display());
        if read(one)? != read(other)? {
            return Err(Fail::new(format!("{} is not the same when it is made again", one.display())));
        }
    }
    println!("dist: {} packages are the same, byte for byte, when they are made again", first.len());
    Ok(())
}

/// Packages of the program that tests have, of this version in `this` of a folder, and of a newer one in `next`.
/// # Errors
/// They cannot be made.
pub(crate) fn for_guests(folder: &Path) -> Result<()> {
    let (version, epoch) = (version()?, epoch()?);
    let built = program::build(program::Kind::Dev)?;
    let home = tempfile::tempdir().during("a temporary folder")?;
    let program = program::stripped(&built, &home.path().join("backstay"))?;
    for (name, version) in [("this", version.clone()), ("next", next(&version))] {
        let folder = &folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(folder).during(folder.display())?;
        }
        fs::create_dir_all(folder).during(folder.display())?;
        packages::make(&Release { program: &program, version: &version, epoch, folder })?;
        let tree = &folder.join("tree");
        fs::remove_dir_all(tree).during(tree.display())?;
    }
    Ok(())
}

/// A newer version than this one.
fn next(version: &str) -> String {
    format!("{version}+next")
}

/// The workspace's version.
fn version() -> Result<String> {
    let path = run::root().join("Cargo.toml");
    let text = fs::read_to_string(&path).during(path.display())?;
    let line = text.lines().find_map(|line| line.strip_prefix("version = "));
    line.map(|version| version.trim_matches('"').to_owned()).ok_or_else(|| Fail::new("Cargo.toml says no version"))
}

/// `SOURCE_DATE_EPOCH`, or the time of the newest commit.
fn epoch() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => run::text(Command::new("git").current_dir(run::root()).args(["log", "-1", "--format=%ct"]))?,
    };
    text.trim().parse().during("SOURCE_DATE_EPOCH")
}
