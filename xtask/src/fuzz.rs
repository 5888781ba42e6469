//! `cargo xtask fuzz`: every target of `fuzz/`, one after the other, each for the time given.
//!
//! Never knows: what the targets decode.

use std::path::PathBuf;
use std::process::Command;

use crate::fail::{Fail, Result};
use crate::run;

/// What may follow `cargo xtask fuzz`.
pub(crate) const USAGE: &str = "fuzz [--minutes M] [TARGET]...    M per target, 10 if not given; all targets if none";

/// Runs the targets; an input that fails is kept by cargo-fuzz under `fuzz/artifacts`, the corpora under `fuzz/corpus`.
/// # Errors
/// Names the targets that failed.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (minutes, mut targets) = options(arguments)?;
    if run::find_program("cargo-fuzz").is_none() {
        println!("fuzz: building cargo-fuzz from crates.io (once)");
        run::run(run::cargo().args(["install", "cargo-fuzz", "--locked"]))?;
    }
    if targets.is_empty() {
        targets = run::text(cargo_fuzz().arg("list"))?.split_whitespace().map(str::to_owned).collect();
    }
    let mut failed = Vec::new();
    for target in &targets {
        println!("== {target}, {minutes} minutes");
        let limit = format!("-max_total_time={}", minutes * 60);
        let mut command = cargo_fuzz();
        command.args(["run", target, "--", &limit, "-rss_limit_mb=2048", "-timeout=25"]);
        if let Err(cause) = run::run(&mut command) {
            eprintln!("{cause}");
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Fail::new(format!("failed: {}", failed.join(", ")))) }
}

fn options(arguments: &[String]) -> Result<(u64, Vec<String>)> {
    let wrong = || Fail::new(format!("cargo xtask {USAGE}"));
    let (mut minutes, mut targets) = (10, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => {
                let given = words.next().and_then(|n| n.parse().ok());
                // libFuzzer takes 0 for "without end".
                minutes = given.filter(|&given| given > 0).ok_or_else(wrong)?;
            }
            option if option.starts_with('-') => return Err(wrong()),
            target => targets.push(target.to_owned()),
        }
    }
    Ok((minutes, targets))
}

/// Sanitizers are unstable options, whose runtimes come with the stable compiler all the same. What our own cargo set
/// for us is taken away: cargo-fuzz sets its own.
fn cargo_fuzz() -> Command {
    let mut command = Command::new(run::find_program("cargo-fuzz").unwrap_or_else(|| PathBuf::from("cargo-fuzz")));
    command.current_dir(run::root().join("fuzz")).env("RUSTC_BOOTSTRAP", "1");
    for name in ["CARGO", "CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}
