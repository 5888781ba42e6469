//! `cargo xtask torture`: live disks under load, captured and judged.
//!
//! Never knows: what is done to them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::fail::{During, Result};
use crate::{run, setup};

/// What may follow `cargo xtask torture`.
pub(crate) const USAGE: &str = "\
torture [--minutes N | --rounds N] [--seed S] [--only NAME,...] [--load SECONDS] [--folder DIR]
    live disks are captured under load while protect is killed, stopped and starved; every point is judged
    --only    only these worlds: ext4, xfs, btrfs, parts, postgres, mariadb, slow
    --load    how long a round's loads are at work
    --folder  where disks and stores lie; the folder for temporary files
    Images of what failed are kept in target/torture.";

/// Builds what users get, and passes the arguments on.
/// # Errors
/// It does not build, or something failed.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    setup::install(setup::Set::Test)?;
    run::run(run::cargo().args(["build", "--release", "--package", "backstay-cli", "--package", "backstay-torture"]))?;
    let built = run::cargo_target().join("release");
    let mut command = run::as_root(&built.join("torture").to_string_lossy())?;
    command.arg("--backstay").arg(built.join("backstay")).arg("--evidence").arg(run::keep("torture"));
    // Ctrl-C is for it, and it cleans up; we only wait.
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).during("listening for signals")?;
    }
    run::run(command.args(arguments))
}
