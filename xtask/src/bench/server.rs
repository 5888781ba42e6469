//! What the way to a server costs: the first protect of the disk image by an agent, over TLS on loopback, and the same protect into a
//! store on this machine, in turn.
//!
//! Never knows: what goes over the wire.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::data::Data;
use super::measure::{Sample, processor_time, settle, stored, timed};
use super::programs;
use super::table::median;
use super::targets::{Figure, Limit};
use crate::fail::{During, Result, absent};
use crate::run;
use crate::service::{HERE, Server};

const PASSWORD: &str = "for the length of a bench";

/// A protect.
#[derive(Clone, Copy)]
struct Taken {
    sample: Sample,
    /// Bytes of the store.
    stored: u64,
    /// What the server took of the processors, if there was one.
    server: Duration,
}

/// Takes turns.
/// # Errors
/// The program does not build, or fails.
pub(super) fn measure(data: &Data, rounds: usize) -> Result<(String, Vec<Figure>)> {
    let program = programs::built()?.join("backstay");
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
            println!(
                "round {}: {name}: {:.2} s, {} MiB",
                round + 1,
                taken.sample.wall.as_secs_f64(),
                taken.stored >> 20
            );
            fs::remove_dir_all(&dir).during(dir.display())?;
        }
    }
    let middle =
        |all: &[Taken], what: fn(&Taken) -> Duration| median(all.iter().map(what)).unwrap_or_default().as_secs_f64();
    let walls = |all: &[Taken]| middle(all, |taken| taken.sample.wall);
    let own = |all: &[Taken]| middle(all, |taken| taken.sample.cpu);
    let sizes = |all: &[Taken]| median(all.iter().map(|taken| taken.stored)).unwrap_or_default() >> 20;
    let peak = there.iter().map(|taken| taken.sample.peak).max().unwrap_or_default() >> 20;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "- stored: here {} MiB, at the server {} MiB", sizes(&here), sizes(&there));
    let server = middle(&there, |taken| taken.server);
    let _ = writeln!(
        text,
        "- processor time: here {:.1} s, the agent {:.1} s, the server {server:.1} s",
        own(&here),
        own(&there)
    );
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
    Ok(Taken { sample, stored: stored(&store)?, server: Duration::ZERO })
}

fn remote(program: &Path, dir: &Path, image: &Path) -> Result<Taken> {
    let server = Server::start(program, dir, &HERE)?;
    let agent = dir.join("agent");
    server.operator()?.enroll("bench", &agent)?;
    let mut command = Command::new(program);
    command.arg("agent").arg(image).arg("--dir").arg(&agent).arg("--once");
    let before = processor_time(server.process())?;
    let sample = timed(&command)?;
    let took = processor_time(server.process())? - before;
    let store = server.store();
    drop(server);
    Ok(Taken { sample, stored: stored(&store)?, server: took })
}
