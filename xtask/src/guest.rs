//! `cargo xtask guest`: the product in a Debian under QEMU, through restarts and power cuts, on LVM, LUKS, md and vfat, as packages, and
//! around it, through its hypervisor.
//!
//! Never knows: what is tried there.

use crate::fail::Result;
use crate::{dist, run, setup};

/// What may follow `cargo xtask guest`.
pub(crate) const USAGE: &str = "\
guest [stack|nodes|power|layers|outside|space|abandoned|libvirt|own|packages|restart]...
            scenarios in a Debian under QEMU, made from packages on first use; all if none is named: three quarters of an hour";

/// Passes the names on.
/// # Errors
/// A scenario failed, or something cannot be built.
pub(crate) fn main(names: &[String]) -> Result<()> {
    setup::install(setup::Set::Guest)?;
    run::run(run::cargo().args(["build", "--package", "backstay-cli", "--package", "backstay-guests"]))?;
    if names.is_empty() || names.iter().any(|name| name == "packages") {
        dist::for_guests(&run::keep("guests").join("packages"))?;
    }
    let built = run::cargo_target().join("debug");
    let mut command = run::as_root(&built.join("guests").to_string_lossy())?;
    run::run(command.arg(built.join("backstay")).arg(run::keep("guests")).args(names))
}
