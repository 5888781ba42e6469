//! Figures of the programs in `bench/`, which print lines of `name value`; their memory is taken from outside.
//!
//! Never knows: what the programs do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{stored, timed_output};
use super::targets::{Figure, Limit};
use crate::fail::{During, Fail, Result};
use crate::run;

/// What a program printed, and what was measured around it.
pub(super) struct Printed(BTreeMap<String, f64>);

impl Printed {
    /// The value of this name.
    /// # Errors
    /// There is none.
    pub(super) fn get(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().ok_or_else(|| Fail::new(format!("the program printed no `{name}`")))
    }

    fn figure(&self, figure: &str, name: &str, unit: &'static str, limit: Limit) -> Result<Figure> {
        let value = self.get(name)?;
        Ok(Figure { figure: figure.into(), found: format!("{value:.2} {unit}"), value, unit, limit })
    }

    /// Everything, as a Markdown list.
    pub(super) fn listed(&self) -> String {
        self.0.iter().map(|(name, value)| format!("- {}: {value}\n", name.replace('_', " "))).collect()
    }
}

/// The dedup index. Ingest of 1 GiB/s brings 16,384 chunks of 64 KiB each second.
/// # Errors
/// The program does not build, fails, or lacks a figure.
pub(super) fn index(quick: bool, stores: &Path) -> Result<(Printed, Vec<Figure>)> {
    let chunks = if quick { "1000000" } else { "100000000" };
    let printed = program("index", chunks, stores)?;
    let figures = vec![
        printed.figure("index, memory", "peak_mib", "MiB", Limit::AtMost(1024.0))?,
        printed.figure("index, random lookups", "lookups_per_second", "/s", Limit::AtLeast(200_000.0))?,
        printed.figure("index, inserts", "inserts_per_second", "/s", Limit::AtLeast(16_384.0))?,
    ];
    Ok((printed, figures))
}

/// A timeline with many points.
/// # Errors
/// As [`index`].
pub(super) fn timeline(quick: bool, stores: &Path) -> Result<(Printed, Vec<Figure>)> {
    let points = if quick { "5000" } else { "100000" };
    let printed = program("timeline", points, stores)?;
    let ratio = printed.get("commit_ms_full")? / printed.get("commit_ms_empty")?;
    let found = format!("{} ms, empty {} ms", printed.get("commit_ms_full")?, printed.get("commit_ms_empty")?);
    let commit = Figure {
        figure: "timeline, committing a point".into(),
        found,
        value: ratio,
        unit: "of the time on an empty one",
        limit: Limit::AtMost(1.25),
    };
    let figures = vec![
        printed.figure("timeline, opening any point", "open_ms_worst", "ms", Limit::AtMost(50.0))?,
        commit,
        printed.figure("timeline, 100 changed pages", "mib_per_point", "MiB", Limit::AtMost(1.0))?,
    ];
    Ok((printed, figures))
}

/// Builds, optimized, all that is measured and all that measures: together, so that nothing is built anew with the features of something
/// else. The folder they are in.
/// # Errors
/// They do not build.
pub(super) fn built() -> Result<PathBuf> {
    let packages = ["backstay-cli", "backstay-bench", "backstay-capture"];
    let mut cargo = run::cargo();
    cargo.args(["build", "--release", "--bins", "--example", "tracker_load"]);
    run::run(cargo.args(packages.iter().flat_map(|package| ["--package", package])))?;
    Ok(run::cargo_target().join("release"))
}

fn program(name: &str, argument: &str, stores: &Path) -> Result<Printed> {
    let built = built()?;
    let folder = stores.join(format!("backstay-bench-{name}"));
    remove(&folder)?;
    let mut command = Command::new(built.join(name));
    command.arg(argument).arg(&folder);
    println!("running {}", run::shown(&command));
    let (sample, said) = timed_output(&command)?;
    let mut values = parse(&said)?;
    values.insert("peak_mib".into(), sample.peak as f64 / f64::from(1 << 20));
    values.insert("folder_mib".into(), stored(&folder)? as f64 / f64::from(1 << 20));
    remove(&folder)?;
    Ok(Printed(values))
}

/// As much as a program printed.
/// # Errors
/// It printed something else.
pub(super) fn parsed(said: &[u8]) -> Result<Printed> {
    parse(said).map(Printed)
}

fn parse(said: &[u8]) -> Result<BTreeMap<String, f64>> {
    let mut values = BTreeMap::new();
    for line in String::from_utf8_lossy(said).lines() {
        let value = line.split_once(' ').and_then(|(name, value)| Some((name, value.parse().ok()?)));
        let (name, value) = value.ok_or_else(|| Fail::new(format!("`{line}` is no figure")))?;
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { fs::remove_dir_all(folder).during(folder.display()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let values = parse(b"a_b 1.5\nc 2\n").unwrap_or_default();
        assert_eq!(values, BTreeMap::from([("a_b".into(), 1.5), ("c".into(), 2.0)]));
        assert!(parse(b"not a figure\n").is_err());
    }
}
