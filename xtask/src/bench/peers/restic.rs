//! restic, from Debian, as it comes: encrypted, compression "auto".

use std::path::PathBuf;
use std::process::Command;

use super::{Contender, Place};

/// restic.
pub(crate) struct Restic;

fn restic(place: &Place) -> Command {
    let mut command = place.command("restic");
    command.env("RESTIC_PASSWORD", "bench").arg("--repo").arg(&place.store);
    command.arg("--cache-dir").arg(place.home.join("restic")).arg("--quiet");
    command
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

impl Contender for Restic {
    fn name(&self) -> &'static str {
        "restic"
    }
    fn version(&self) -> Command {
        with(Command::new("restic"), &["version"])
    }
    fn init(&self, place: &Place) -> Option<Command> {
        Some(with(restic(place), &["init"]))
    }
    fn protect(&self, place: &Place) -> Command {
        with(restic(place), &["backup", "disk.img"])
    }
    fn restore(&self, place: &Place) -> Command {
        let mut command = with(restic(place), &["restore", "latest", "--target"]);
        command.arg(&place.out);
        command
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.join("disk.img")
    }
}
