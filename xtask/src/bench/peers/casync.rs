//! casync, from Debian, as it comes. It does not encrypt.

use std::path::PathBuf;
use std::process::Command;

use super::{Contender, Place};

/// casync.
pub(crate) struct Casync;

fn casync(place: &Place, verb: &str) -> Command {
    let mut command = place.command("casync");
    command.arg(verb).arg("--store").arg(place.store.join("chunks.castr"));
    command.arg(place.store.join("disk.caibx"));
    command
}

impl Contender for Casync {
    fn name(&self) -> &'static str {
        "casync"
    }
    fn version(&self) -> Command {
        let mut command = Command::new("casync");
        command.arg("--version");
        command
    }
    fn init(&self, place: &Place) -> Option<Command> {
        let mut command = place.command("mkdir");
        command.arg(&place.store);
        Some(command)
    }
    fn protect(&self, place: &Place) -> Command {
        let mut command = casync(place, "make");
        command.arg(&place.image);
        command
    }
    fn restore(&self, place: &Place) -> Command {
        let mut command = casync(place, "extract");
        command.arg(&place.out);
        command
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.clone()
    }
}
