//! The command line as the demo types it: shown before it runs, so that it can be typed again.
//!
//! Never knows: what the commands do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::run;

/// Our binary and its settings.
pub(super) struct Backstay {
    program: PathBuf,
    store: PathBuf,
    passphrase: PathBuf,
}

impl Backstay {
    /// The release binary, built now.
    pub(super) fn build(home: &Path) -> Result<Backstay> {
        run::run(run::cargo().args(["build", "--release", "--locked", "--package", "backstay-cli"]))?;
        let program = run::cargo_target().join("release/backstay");
        Ok(Backstay { program, store: home.join("store"), passphrase: home.join("passphrase") })
    }

    /// The lines to put before the commands shown, when typing them again.
    pub(super) fn settings(&self) -> String {
        format!(
            "export BACKSTAY_STORE={} BACKSTAY_PASSPHRASE_FILE={}\nalias backstay={}",
            self.store.display(),
            self.passphrase.display(),
            self.program.display()
        )
    }

    /// A block device is read as root; what is made then belongs to root as well.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let shown: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        println!("\n$ backstay {}", shown.join(" "));
        let mut command = run::as_root("env")?;
        command.arg(format!("BACKSTAY_STORE={}", self.store.display()));
        command.arg(format!("BACKSTAY_PASSPHRASE_FILE={}", self.passphrase.display()));
        command.arg(&self.program).args(arguments);
        Ok(command)
    }

    /// Runs with our terminal.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        run::run(&mut self.command(arguments)?)
    }

    /// The times of a machine's points, in the order listed: oldest first.
    pub(super) fn points(&self, machine: &str) -> Result<Vec<String>> {
        let said = run::output(&mut self.command(&["points", machine, "--json"])?)?;
        let listing: serde_json::Value = serde_json::from_slice(&said).during("`backstay points --json`")?;
        let points = listing.get("points").unwrap_or(&listing).as_array().cloned().unwrap_or_default();
        let time = |point: &serde_json::Value| Some(point.get("time")?.as_str()?.to_owned());
        let times: Vec<String> = points.iter().filter_map(time).collect();
        if times.is_empty() { Err(Fail::new("`backstay points --json` names no point")) } else { Ok(times) }
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
