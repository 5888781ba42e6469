//! The command line as the demo types it: shown before it runs, so that it can be typed again.
//!
//! Never knows: what the commands do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

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
        self.silent(arguments)
    }

    /// Not shown.
    fn silent(&self, arguments: &[&str]) -> Result<Command> {
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

    /// Goes on with our terminal until dropped.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Running> {
        let child = self.command(arguments)?.spawn().during("starting backstay")?;
        Ok(Running(child))
    }

    /// The times of a machine's points, oldest first; none if there is no such machine yet.
    pub(super) fn points(&self, machine: &str) -> Result<Vec<String>> {
        let machines = run::text(&mut self.silent(&["machines"])?)?;
        if !machines.contains(machine) {
            return Ok(Vec::new());
        }
        let said = run::output(&mut self.silent(&["points", machine, "--json"])?)?;
        let listing: serde_json::Value = serde_json::from_slice(&said).during("`backstay points --json`")?;
        let points = listing.get("points").unwrap_or(&listing).as_array().cloned().unwrap_or_default();
        let time = |point: &serde_json::Value| Some(point.get("time")?.as_str()?.to_owned());
        Ok(points.iter().filter_map(time).collect())
    }
}

/// A command that goes on; asked to stop when dropped.
pub(super) struct Running(Child);

impl Running {
    /// # Errors
    /// It has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.0.try_wait().during("looking after backstay")? {
            None => Ok(()),
            Some(status) => Err(Fail::new(format!("backstay ended: {status}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let asked =
            run::as_root("kill").and_then(|mut kill| run::output(kill.args(["-INT", &self.0.id().to_string()])));
        if let Err(cause) = asked {
            eprintln!("demo: could not stop backstay: {cause}");
        } else if let Err(cause) = self.0.wait() {
            eprintln!("demo: backstay did not end: {cause}");
        }
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
