//! Schemathesis, from PyPI into a folder of its own: pinned versions, permissive licences.
//!
//! Never knows: what it is used for.

use std::fs;
use std::path::PathBuf;

use crate::fail::{During, Fail, Result, absent};
use crate::run;

/// Everything that is installed, each in one version.
const PINNED: &str = include_str!("requirements.txt");

/// Prints name and licence of all that is installed. Old metadata states licences in two other places.
const LICENCES: &str = "
from importlib.metadata import distributions
for found in distributions():
    about = found.metadata
    kinds = [kind.split(' :: ')[-1] for kind in about.get_all('Classifier', []) if kind.startswith('License :: ')]
    print(found.name, about.get('License-Expression') or about.get('License') or ' OR '.join(kinds), sep='\\t')
";

/// Permissive ones, and MPL-2.0 for what is used as it is: none of it is part of Backstay.
const ALLOWED: &[&str] = &[
    "Apache 2.0",
    "Apache-2.0",
    "Apache-2.0 OR BSD-2-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT License",
    "MPL-2.0",
    "PSF-2.0",
];

/// The program, installed on first use and when a version has changed.
/// # Errors
/// PyPI cannot be reached, or a licence is none of those.
pub(super) fn ready() -> Result<PathBuf> {
    let home = run::keep("schemathesis-tool");
    let (kept, program) = (home.join("pinned"), home.join("bin/schemathesis"));
    if program.is_file() && fs::read_to_string(&kept).is_ok_and(|kept| kept == PINNED) {
        return Ok(program);
    }
    println!("schemathesis: installing it from PyPI (once)");
    fs::remove_dir_all(&home).or_else(absent).during(home.display())?;
    run::run(run::program("python3").args(["-m", "venv"]).arg(&home))?;
    let (python, wanted) = (home.join("bin/python"), home.join("wanted"));
    fs::write(&wanted, PINNED).during(wanted.display())?;
    let mut install = run::program(&python.to_string_lossy());
    install.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]);
    run::run(install.args(["--only-binary", ":all:", "--requirement"]).arg(&wanted))?;
    let licences = run::text(run::program(&python.to_string_lossy()).args(["-c", LICENCES]))?;
    check(&licences)?;
    fs::write(&kept, PINNED).during(kept.display())?;
    Ok(program)
}

fn check(licences: &str) -> Result<()> {
    let words = licences.lines().filter_map(|line| line.split_once('\t'));
    let others: Vec<String> =
        words.filter(|(_, of)| !ALLOWED.contains(of)).map(|(name, of)| format!("{name} ({of})")).collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(Fail::new(format!("licences that are not on the list: {}", others.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_licences_are_refused() {
        assert!(check("a\tMIT\nb\tMPL-2.0\n").is_ok());
        let refused = check("a\tMIT\nb\tGPL-3.0\nc\t\n").unwrap_err().to_string();
        assert!(refused.ends_with(": b (GPL-3.0), c ()"), "{refused}");
    }
}
