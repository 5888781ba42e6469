//! Backstay itself, through its command line alone.

use std::path::PathBuf;
use std::process::Command;

use super::{Contender, Place};
use crate::fail::{During, Fail, Result};
use crate::run;

/// Our binary, at this path.
pub(crate) struct Ours(pub(crate) PathBuf);

const MACHINE: &str = "bench";

impl Ours {
    fn backstay(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.command(&self.0);
        command.env("BACKSTAY_STORE", &place.store).env("BACKSTAY_PASSPHRASE_FILE", place.home.join("passphrase"));
        command.args(arguments);
        command
    }

    /// The time of the oldest point: listings begin with it.
    fn first_point(&self, place: &Place) -> Result<String> {
        let said = run::output(&mut self.backstay(place, &["points", MACHINE, "--json"]))?;
        let listing: serde_json::Value = serde_json::from_slice(&said).during("`backstay points --json`")?;
        let points = listing.get("points").unwrap_or(&listing).as_array().cloned().unwrap_or_default();
        let times: Vec<String> =
            points.iter().filter_map(|point| Some(point.get("time")?.as_str()?.to_owned())).collect();
        times.into_iter().next().ok_or_else(|| Fail::new("`backstay points --json` names no point with a time"))
    }
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        "backstay"
    }
    fn version(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg("--version");
        command
    }
    fn init(&self, place: &Place) -> Option<Command> {
        let mut command = place.command("sh");
        command.env("BACKSTAY_PASSPHRASE_FILE", place.home.join("passphrase"));
        command.args(["-euc", "echo bench passphrase > \"$BACKSTAY_PASSPHRASE_FILE\"; exec \"$0\" init store"]);
        command.arg(&self.0);
        Some(command)
    }
    fn protect(&self, place: &Place) -> Command {
        self.backstay(place, &["protect", "disk.img", "--machine", MACHINE, "--once"])
    }
    fn restore(&self, place: &Place) -> Command {
        self.backstay(place, &["restore", MACHINE, "--at", "latest", "--to", "out"])
    }
    fn restored(&self, place: &Place) -> PathBuf {
        place.out.clone()
    }
    fn delta(&self, place: &Place) -> Result<Option<Command>> {
        let at = self.first_point(place)?;
        Ok(Some(self.backstay(place, &["restore", MACHINE, "--at", &at, "--to", "disk.img", "--delta", "--yes"])))
    }
}
