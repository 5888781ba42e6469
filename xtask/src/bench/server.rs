//! What the way to a server costs: the first protect of the disk image by an agent, over TLS on loopback, and the same protect into a
//! store on this machine, in turn.
//!
//! Never knows: what goes over the wire.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::data::Data;
use super::measure::{Sample, settle, stored, timed};
use super::service::{HERE, Server};
use super::table::median;
use super::targets::{Figure, Limit};
use crate::fail::{During, Result};
use crate::run;

const PASSWORD: &str = "for the length of a bench";

/// A program's run, and what it left in the store.
type Taken = (Sample, u64);

/// Takes turns.
/// # Errors
/// The program does not build, or fails.
pub(super) fn measure(data: &Data, rounds: usize) -> Result<(String, Vec<Figure>)> {
    run::run(run::cargo().args(["build", "--release", "--package", "backstay-cli"]))?;
    let program = run::cargo_target().join("release/backstay");
    let (mut here, mut there): (Vec<Taken>, Vec<Taken>) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in 0..2 {
            let dir = run::keep("bench").join("server");
            fs::remove_dir_all(&dir).or_else(absent).during(dir.display())?;
            fs::create_dir_all(&dir).during(dir.display())?;
            settle(&data.before)?;
            let (name, taken) = match (round + turn) % 2 {
                0 => ("into a store here", local(&program, &dir, &data.before).inspect(|t| here.push(*t))?),
                _ => ("to a server", remote(&program, &dir, &data.before).inspect(|t| there.push(*t))?),
            };
            println!("round {}: {name}: {:.2} s, {} MiB", round + 1, taken.0.wall.as_secs_f64(), taken.1 >> 20);
            fs::remove_dir_all(&dir).during(dir.display())?;
        }
    }
    let walls = |all: &[Taken]| median(all.iter().map(|(sample, _)| sample.wall)).unwrap_or_default().as_secs_f64();
    let sizes = |all: &[Taken]| median(all.iter().map(|(_, stored)| *stored)).unwrap_or_default() >> 20;
    let peak = there.iter().map(|(sample, _)| sample.peak).max().unwrap_or_default() >> 20;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "- stored: here {} MiB, at the server {} MiB", sizes(&here), sizes(&there));
    let _ = writeln!(text, "- the agent's memory: {peak} MiB at most");
    let figure = Figure {
        figure: "first protect to a server on loopback".into(),
        found: format!("{:.2} s, into a store here {:.2} s", walls(&there), walls(&here)),
        value: walls(&there) / walls(&here),
        unit: "of the time into a store here",
        limit: Limit::AtMost(1.2),
    };
    Ok((text, vec![figure]))
}

/// What is not there need not be removed.
pub(super) fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn local(program: &Path, dir: &Path, image: &Path) -> Result<Taken> {
    let (store, passphrase) = (dir.join("store"), dir.join("passphrase"));
    fs::write(&passphrase, PASSWORD).during(passphrase.display())?;
    let command = |words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).arg("--passphrase-file").arg(&passphrase).env("BACKSTAY_STORE", &store);
        command
    };
    run::output(command(&["init"]).arg(&store))?;
    let sample = timed(command(&["protect", "--once", "--machine", "bench"]).arg(image))?;
    Ok((sample, stored(&store)?))
}

fn remote(program: &Path, dir: &Path, image: &Path) -> Result<Taken> {
    let server = Server::start(program, dir, &HERE)?;
    let agent = dir.join("agent");
    server.operator()?.enroll("bench", &agent)?;
    let mut command = Command::new(program);
    command.arg("agent").arg(image).arg("--dir").arg(&agent).arg("--once");
    let sample = timed(&command)?;
    let store = server.store();
    drop(server);
    Ok((sample, stored(&store)?))
}
