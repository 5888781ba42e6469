//! rustic, built from crates.io, as it comes.

use std::path::PathBuf;
use std::process::Command;

use super::{Contender, Place};

/// rustic, at this path.
pub(crate) struct Rustic(pub(crate) PathBuf);

impl Rustic {
    fn rustic(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.command(&self.0);
        command.env("RUSTIC_PASSWORD", "bench").env("RUSTIC_CACHE_DIR", place.home.join("rustic"));
        command.env("RUSTIC_NO_PROGRESS", "true").arg("--repository").arg(&place.store).args(arguments);
        command
    }
}

impl Contender for Rustic {
    fn name(&self) -> &'static str {
        "rustic"
    }
    fn version(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg("--version");
        command
    }
    fn init(&self, place: &Place) -> Option<Command> {
        Some(self.rustic(place, &["init"]))
    }
    fn protect(&self, place: &Place) -> Command {
        self.rustic(place, &["backup", "disk.img"])
    }
    fn restore(&self, place: &Place) -> Command {
        let mut command = self.rustic(place, &["restore", "latest"]);
        command.arg(&place.out);
        command
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.join("disk.img")
    }
}
