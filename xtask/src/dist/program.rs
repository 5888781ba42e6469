//! The program as it is released: built from the locked dependencies, with no path of the machine that built it in it.
//!
//! Never knows: packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fail::{Fail, Result};
use crate::run;

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The one that tests have.
    Dev,
    /// The one in packages: needs nothing but the C library.
    Release,
    /// Needs nothing at all.
    Static,
}

/// Builds it.
/// # Errors
/// It does not build.
pub(super) fn build(kind: Kind) -> Result<PathBuf> {
    if kind == Kind::Dev {
        return run::built();
    }
    let mut command = run::cargo();
    command.args(["build", "--locked", "--package", "backstay-cli"]);
    let host = run::text(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let (host, home) = (host.trim(), run::keep("dist-build"));
    // With a target that is named, flags are for the program and not for what runs while it is built.
    command.args(["--release", "--target", host, "--target-dir"]).arg(&home);
    command
        .env("RUSTFLAGS", flags(kind))
        .env("CFLAGS", format!("-ffile-prefix-map={}=/cargo", cargo_home()?.display()));
    run::run(&mut command)?;
    let built = home.join(host).join("release/backstay");
    // The other kind is built to the same place.
    let kept = home.join(if kind == Kind::Static { "backstay-static" } else { "backstay" });
    std::fs::copy(&built, &kept).map_err(|e| Fail::new(format!("{}: {e}", built.display())))?;
    Ok(kept)
}

fn flags(kind: Kind) -> String {
    let from = |path: PathBuf, to: &str| format!("--remap-path-prefix={}={to}", path.display());
    let mut flags = vec![from(run::root(), "/backstay")];
    flags.extend(cargo_home().ok().map(|home| from(home, "/cargo")));
    if kind == Kind::Static {
        flags.push("-Ctarget-feature=+crt-static".into());
    }
    flags.join(" ")
}

fn cargo_home() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("CARGO_HOME").or_else(|| set("HOME").map(|home| home.join(".cargo")));
    home.ok_or_else(|| Fail::new("where is Cargo's folder? Set HOME"))
}

/// A copy of it without what debuggers need.
/// # Errors
/// `strip` fails.
pub(super) fn stripped(program: &Path, to: &Path) -> Result<PathBuf> {
    let mut command = Command::new("strip");
    run::run(command.args(["--strip-all", "-o"]).arg(to).arg(program))?;
    Ok(to.to_owned())
}
