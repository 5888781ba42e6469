//! `cargo xtask flip`: every bit of a small store flipped, every object cut off and lost, in turn.
//!
//! Never knows: what is harmed, or what must come of it.

use crate::fail::Result;
use crate::run;

/// What may follow `cargo xtask flip`.
pub(crate) const USAGE: &str = "\
flip [--every N] [--from K] [--seed S] [--jobs J]
            every bit of a small store flipped, every object cut off and lost, in turn: hours; --every 97: minutes";

/// Passes the arguments on.
/// # Errors
/// Something was not right, or the simulator does not build.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut command = run::cargo();
    // Each harm takes and gives back some large buffers: if the process keeps them, all takes a third less time.
    command.envs([("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "268435456")]);
    command.args(["run", "--release", "--package", "backstay-sim", "--bin", "backstay-flip", "--"]);
    run::run(command.args(arguments))
}
