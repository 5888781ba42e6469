//! `cargo xtask test`: sets up, then runs every check and every test, and says how long each took.
//!
//! Everything uses the dev profile (optimised, with assertions and overflow checks), so that the C libraries and the
//! dependencies are built once. Never knows: single tests.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::fail::{Fail, Result};
use crate::run;
use crate::{console, dist, schemathesis, setup, tidy};

/// One step, its outcome and how long it took.
struct Step {
    name: &'static str,
    result: Result<()>,
    took: Duration,
}

/// Runs all steps, also after one has failed, and sums up.
/// # Errors
/// Names the steps that failed.
pub(crate) fn main() -> Result<()> {
    setup::install(setup::Set::Test)?;
    type Check = fn() -> Result<()>;
    // The console first: the server takes it in when it is built.
    let steps: [(&'static str, Check); 9] = [
        ("console", console::build),
        ("format", format),
        ("tidy", tidy::main),
        ("clippy", clippy),
        ("docs", docs),
        ("tests", tests),
        ("asked", schemathesis::short),
        ("browser", console::test),
        ("packages", dist::smoke),
    ];
    let mut done = Vec::new();
    for (name, step) in steps {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step();
        if let Err(cause) = &result {
            eprintln!("{name}: {cause}");
        }
        done.push(Step { name, result, took: start.elapsed() });
    }
    sum_up(&done)
}

/// Beside the workspace: the fuzzers, which need flags of their own. Their lock file follows the rooms whose code they take in,
/// so they are not held to it.
const APART: &str = "fuzz/Cargo.toml";

fn format() -> Result<()> {
    run::run(run::cargo().args(["fmt", "--all", "--check"]))?;
    run::run(run::cargo().args(["fmt", "--check", "--manifest-path", APART]))
}

fn clippy() -> Result<()> {
    let deny = ["--all-targets", "--", "--deny", "warnings"];
    run::run(run::cargo().args(["clippy", "--workspace", "--locked"]).args(deny))?;
    let mut command = run::cargo();
    command.args(["clippy", "--manifest-path", APART, "--target-dir"]).arg(run::cargo_target());
    run::run(command.args(deny))
}

fn docs() -> Result<()> {
    let mut command = run::cargo();
    command.env("RUSTDOCFLAGS", "--deny warnings");
    run::run(command.args(["doc", "--workspace", "--no-deps", "--locked"]))
}

/// Tests mount file systems and attach loop devices, so they run as root: through sudo for everyone else.
fn tests() -> Result<()> {
    let mut command = run::cargo();
    if !run::is_root()? {
        println!("the tests mount file systems: they run through sudo");
        let host = run::text(Command::new("rustc").args(["--print", "host-tuple"]))?;
        let name = format!("CARGO_TARGET_{}_RUNNER", host.trim().to_uppercase().replace('-', "_"));
        command.env(name, "sudo --preserve-env");
    }
    run::run(command.args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

fn sum_up(steps: &[Step]) -> Result<()> {
    println!("\n== summary");
    for step in steps {
        let word = if step.result.is_ok() { "ok" } else { "FAILED" };
        println!("{:<8} {word:<6} {:>7.1} s", step.name, step.took.as_secs_f64());
    }
    let failed: Vec<&str> = steps.iter().filter(|step| step.result.is_err()).map(|step| step.name).collect();
    if failed.is_empty() { Ok(()) } else { Err(Fail::new(format!("failed: {}", failed.join(", ")))) }
}
