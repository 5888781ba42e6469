//! `cargo xtask setup`: installs what Debian must provide, only what is missing, and says what and why.
//!
//! Never knows: what the packages are used for; that is in the table.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::run;

mod packages;

use packages::Package;

/// rustic is not in Debian 12; this version builds with our compiler.
const RUSTIC: &str = "0.11.4";

/// What is about to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Tests, checks and the demo.
    Test,
    /// Those and the bench.
    Bench,
    /// Guests under QEMU.
    Guest,
    /// Debian packages and their trial.
    Dist,
    /// What compiles the kernel's programs, and nothing else.
    Bpf,
}

/// Installs what is missing.
/// # Errors
/// Not a Debian, or apt fails.
pub(crate) fn install(set: Set) -> Result<()> {
    let wanted: Vec<&Package> = match set {
        Set::Test => packages::TEST.iter().collect(),
        Set::Bench => packages::TEST.iter().chain(packages::BENCH).collect(),
        Set::Guest => packages::TEST.iter().chain(packages::GUEST).collect(),
        Set::Dist => packages::TEST.iter().chain(packages::DIST).collect(),
        Set::Bpf => packages::BPF.iter().collect(),
    };
    if !is_debian() {
        return Err(Fail::new(format!(
            "this is not Debian, so nothing was installed. Needed, under Debian's names:\n{}",
            table(&wanted)
        )));
    }
    let missing = missing(&wanted)?;
    if missing.is_empty() {
        println!("setup: all {} packages are there", wanted.len());
        return Ok(());
    }
    println!("setup: installing\n{}", table(&missing));
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !all_known(&names)? {
        apt(&["update"])?;
    }
    // Package lists may name versions that the mirror no longer has: then once more with new lists.
    if let Err(first) = apt_install(&names) {
        println!("setup: {first}; trying again with new package lists");
        apt(&["update"])?;
        apt_install(&names)?;
    }
    Ok(())
}

fn is_debian() -> bool {
    let Ok(text) = fs::read_to_string("/etc/os-release") else {
        return false;
    };
    let like = |line: &str| {
        let (name, value) = line.split_once('=')?;
        matches!(name, "ID" | "ID_LIKE").then(|| value.trim_matches('"').split(' ').any(|word| word == "debian"))
    };
    text.lines().filter_map(like).any(|debian| debian)
}

fn table(packages: &[&Package]) -> String {
    let rows: Vec<String> = packages.iter().map(|p| format!("  {:<16} {}", p.name, p.why)).collect();
    rows.join("\n")
}

fn missing<'a>(wanted: &[&'a Package]) -> Result<Vec<&'a Package>> {
    // Ends with 1 when it does not know one of them; the list is complete all the same.
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\\n"]);
    query.args(wanted.iter().map(|package| package.name));
    let said = query.output().during("dpkg-query")?;
    let said = String::from_utf8_lossy(&said.stdout);
    let there = |package: &Package| said.lines().any(|line| line == format!("{} installed", package.name));
    Ok(wanted.iter().copied().filter(|package| !there(package)).collect())
}

/// Whether apt's lists name a version of each.
fn all_known(names: &[&str]) -> Result<bool> {
    let said = run::text(Command::new("apt-cache").env("LC_ALL", "C").arg("policy").args(names))?;
    let candidates = said.lines().filter(|line| line.trim().starts_with("Candidate:") && !line.ends_with("(none)"));
    Ok(candidates.count() == names.len())
}

fn apt_install(names: &[&str]) -> Result<()> {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(names);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = run::as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=600"]);
    run::run(command.args(arguments))
}

/// The rustic of the bench; built on first use, which takes some minutes.
/// # Errors
/// It does not build.
pub(crate) fn rustic() -> Result<PathBuf> {
    let home = run::keep("peers");
    let program = home.join("bin/rustic");
    if program.is_file() && run::text(Command::new(&program).arg("--version"))?.trim().ends_with(RUSTIC) {
        return Ok(program);
    }
    println!("setup: building rustic {RUSTIC} from crates.io, a peer of the bench (once; takes minutes)");
    let build = home.join("build");
    let mut command = run::cargo();
    command.env("CARGO_TARGET_DIR", &build).args(["install", "rustic-rs", "--locked", "--force", "--version", RUSTIC]);
    run::run(command.arg("--root").arg(&home))?;
    fs::remove_dir_all(&build).during(build.display())?;
    Ok(program)
}
