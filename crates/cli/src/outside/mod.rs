//! Virtual machines captured from outside: their hypervisor is asked what changed, and for disks of one instant.
//!
//! Each point is made like this: what a killed process left is taken away; the disks are looked up; if the newest point and the
//! hypervisor agree on what tells the changes since, only those are read, else everything is compared; and whatever goes wrong, the
//! record of changes goes on from the newest point. So a lost record costs a rescan, never a second copy.
//!
//! Never knows: how a hypervisor is spoken to, how bytes are stored.

mod open;
mod point;
mod read;
mod spec;
mod trust;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use backstay_hypervisor::agent::Way;
use backstay_hypervisor::watchdog;
use backstay_vault::Vault;

use self::open::Open;
pub(crate) use self::spec::Spec;
use crate::failure::{Failure, sentence};
use crate::output::note;
use crate::rate::Rate;

/// The hidden first argument that makes this program a watchdog over a virtual machine.
pub(crate) const WATCHDOG: &str = "machine-watchdog";

/// After [`WATCHDOG`]: one that watches over a watchdog.
const SECOND: &str = "second";

/// Watches over another process of this program that holds disks of a virtual machine.
pub(crate) fn watch() -> Result<(), Failure> {
    let served = match std::env::args_os().nth(2) {
        Some(word) if word == SECOND => watchdog::serve_second(),
        _ => ourselves().and_then(|mut second| {
            second.args([WATCHDOG, SECOND]);
            watchdog::serve(second)
        }),
    };
    served.map_err(|e| Failure::usage(sentence(&e)))
}

/// This program, to be run once more.
fn ourselves() -> io::Result<Command> {
    std::env::current_exe().map(Command::new)
}

/// What is captured.
pub(crate) struct What<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) machine: &'a str,
    pub(crate) note: &'a str,
    pub(crate) all_blocks: bool,
    /// Compare everything for each point.
    pub(crate) rescan: bool,
    pub(crate) spec: &'a Spec,
    /// The guest agent, if there is one.
    pub(crate) agent: Option<Way>,
    /// How long the agent may take to hold the guest still, and for how long it may be held.
    pub(crate) limits: (Duration, Duration),
    /// Where saved blocks go.
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) rate: Option<&'a Rate>,
    pub(crate) cancel: &'a AtomicBool,
}

/// A virtual machine that is captured.
pub(crate) struct Outside<'a> {
    what: What<'a>,
    /// `None`: the machine is to be found first.
    open: Option<Open>,
    /// Notes that were printed: each is told once.
    told: BTreeSet<String>,
}

impl<'a> Outside<'a> {
    /// Nothing is asked of the machine before the first point.
    pub(crate) fn new(what: What<'a>) -> Outside<'a> {
        Outside { what, open: None, told: BTreeSet::new() }
    }

    fn tell(&mut self, text: String) {
        if !self.told.contains(&text) {
            note!("note: {text}");
            self.told.insert(text);
        }
    }
}

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.close();
        }
    }
}
