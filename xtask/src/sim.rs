//! `cargo xtask sim`: as many seeds of the simulator as wanted.
//!
//! Never knows: what is simulated.

use crate::fail::Result;
use crate::run;

/// Passes the arguments on; with none, ten thousand seeds from 0.
/// # Errors
/// A seed failed, or the simulator does not build.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut command = run::cargo();
    command.args(["run", "--release", "--package", "backstay-sim", "--"]);
    if arguments.is_empty() {
        command.args(["--seeds", "10000", "--from", "0"]);
    }
    run::run(command.args(arguments))
}
