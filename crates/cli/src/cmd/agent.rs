//! `backstay agent`: `protect` for a server.
//!
//! Never knows: how points are made, or what the server does with them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backstay_format::wire::v1::{RULE, RULES};
use backstay_items::exclude::Rule;

use super::protect::{self, Goal};
use crate::args::{self, Common, Protect};
use crate::config;
use crate::enrolment::Enrolment;
use crate::failure::Failure;
use crate::output::note;
use crate::renewal;
use crate::service;
use crate::stop::Stop;
use crate::target::Server;

/// How long the server is left alone when it cannot be reached.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) fn run(common: &Common, args: args::Agent) -> Result<(), Failure> {
    let args::Agent { sources, dir, how, .. } = config::agent::fill(args)?;
    let dir = dir.unwrap_or_else(|| PathBuf::from(args::ENROLMENT));
    few_enough(&how.exclude)?;
    let Enrolment { machine, address, enrolled } = Enrolment::read(&dir)?;
    let threads = how.threads.map_or_else(cores, usize::from);
    let sources = if sources.is_empty() { disks()? } else { sources };
    let args = Protect { sources, machine: Some(machine.clone()), how };
    let every = protect::every(&args)?;
    let server = Server::new(enrolled, threads);
    // Waiting for the server is its work, too: what changes meanwhile is not lost.
    service::ready();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let renewing = scope.spawn(|| renewal::keep(&dir, &server, &over));
        let done = || {
            if !args.how.once {
                wait_for(&server, &address)?;
            }
            let goal = Goal { target: &server, store: &address, folder: None, machine: &machine };
            protect::keep(common, &args, &goal, every)
        };
        let done = done();
        over.store(true, Ordering::Relaxed);
        renewing.thread().unpark();
        done
    })
}

/// A server looks rules up for many machines, so it takes a limited number.
fn few_enough(rules: &[Rule]) -> Result<(), Failure> {
    if rules.len() > RULES {
        return Err(Failure::usage(format!("an agent takes at most {RULES} times --exclude, not {}", rules.len())));
    }
    match rules.iter().find(|rule| rule.text.len() > RULE) {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!("an --exclude of an agent has at most {RULE} bytes"))),
    }
}

/// Waits until the server can be reached. What changes meanwhile is marked in the kernel, if an earlier agent began to.
fn wait_for(server: &Server, address: &str) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let mut told = String::new();
    while !stop.asked() {
        match server.machine() {
            Ok(_) => return Ok(()),
            Err(trouble) if trouble.to_string() != told => {
                told = trouble.to_string();
                note!("note: {told}; trying again every {} s", AGAIN.as_secs());
            }
            Err(_) => {}
        }
        stop.wait(AGAIN);
    }
    Err(Failure::new(format!("stopped before {address} could be reached")))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The whole disks of this host: what the kernel lists that holds bytes of its own, and is no medium to be taken out.
fn disks() -> Result<Vec<PathBuf>, Failure> {
    let listed = std::fs::read_dir("/sys/block");
    let listed = listed.map_err(|e| Failure::new(format!("/sys/block cannot be read: {e}; name the disks")))?;
    let mut disks: Vec<PathBuf> = listed
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let is = |what: &str, value: &str| {
                std::fs::read_to_string(entry.path().join(what)).is_ok_and(|text| text.trim() == value)
            };
            // Devices that lie on others have no hardware behind them.
            let real = entry.path().join("device").exists();
            (real && !is("size", "0") && !is("removable", "1") && !is("ro", "1"))
                .then(|| PathBuf::from("/dev").join(entry.file_name()))
        })
        .collect();
    disks.sort();
    if disks.is_empty() {
        return Err(Failure::usage("this host has no disk of its own; name what is to be captured"));
    }
    Ok(disks)
}
