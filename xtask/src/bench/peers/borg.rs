//! Borg, from Debian, with the encryption its manual begins with; compression as it comes (lz4).

use std::path::PathBuf;
use std::process::Command;

use super::{Contender, Place};

/// Borg.
pub(crate) struct Borg;

fn borg(place: &Place, verb: &str) -> Command {
    let mut command = place.command("borg");
    command.env("BORG_PASSPHRASE", "bench").env("BORG_BASE_DIR", &place.home);
    command.env("BORG_REPO", &place.store).arg(verb);
    command
}

impl Contender for Borg {
    fn name(&self) -> &'static str {
        "borg"
    }
    fn version(&self) -> Command {
        let mut command = Command::new("borg");
        command.arg("--version");
        command
    }
    fn init(&self, place: &Place) -> Option<Command> {
        let mut command = borg(place, "init");
        command.args(["--encryption", "repokey"]);
        Some(command)
    }
    fn protect(&self, place: &Place) -> Command {
        let mut command = borg(place, "create");
        command.args(["::{now:%H%M%S%f}", "disk.img"]);
        command
    }
    /// `borg extract` wants the archive's name; the newest is asked for in the same measured run.
    fn restore(&self, place: &Place) -> Command {
        let mut command = place.command("sh");
        command.env("BORG_PASSPHRASE", "bench").env("BORG_BASE_DIR", &place.home).env("BORG_REPO", &place.store);
        let script =
            "mkdir -p out && cd out && newest=$(borg list --last 1 --format '{archive}') && borg extract \"::$newest\"";
        command.args(["-euc", script]);
        command
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.join("disk.img")
    }
}
