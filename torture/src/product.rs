//! The program that is proven, used as people use it: by its command line.
//!
//! Never knows: what it does inside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fail::{During, Fail, Result};
use crate::tools::{self, Running, finish, must, text};

/// The machine's name.
const MACHINE: &str = "torture";

/// A store, and the program that works on it.
pub(crate) struct Product {
    program: PathBuf,
    store: PathBuf,
    /// Passphrase, runtime state, logs.
    home: PathBuf,
}

/// A point that was made.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) number: u64,
    /// As the program writes it.
    pub(crate) time: String,
    /// The same, in nanoseconds since 1970.
    pub(crate) at: i64,
    /// Whether all of it is of one moment.
    pub(crate) consistent: bool,
    pub(crate) note: String,
}

impl Point {
    /// Whether an application was told of the freeze, as the point notes, and nothing went wrong.
    pub(crate) fn told(&self) -> bool {
        ["PostgreSQL", "MariaDB"].iter().any(|name| self.note.contains(name)) && !self.note.contains("failed")
    }

    fn of(value: &Value) -> Result<Point> {
        let time = value["time"].as_str().unwrap_or_default().to_owned();
        let parsed: jiff::Timestamp = time.parse().during(format!("the time of {value}"))?;
        Ok(Point {
            number: value["point"].as_u64().ok_or_else(|| Fail::new(format!("no number in {value}")))?,
            time,
            at: i64::try_from(parsed.as_nanosecond()).during("a time")?,
            consistent: value["consistent"].as_bool().unwrap_or(false),
            note: value["note"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

impl Product {
    /// Makes a store.
    ///
    /// # Errors
    /// The program does not.
    pub(crate) fn new(program: &Path, store: &Path, home: &Path) -> Result<Product> {
        let product = Product { program: program.to_owned(), store: store.to_owned(), home: home.to_owned() };
        std::fs::create_dir_all(home.join("run")).during(home.display())?;
        std::fs::write(home.join("passphrase"), "correct horse battery staple\n").during("the passphrase")?;
        let mut command = product.command(&["init", text(store)]);
        must(command.env_remove("BACKSTAY_STORE"))?;
        Ok(product)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tools::program(&self.program);
        command.args(arguments).current_dir(&self.home).env("TZ", "UTC");
        command.env("BACKSTAY_STORE", &self.store).env("BACKSTAY_PASSPHRASE_FILE", self.home.join("passphrase"));
        command.env("RUNTIME_DIRECTORY", self.home.join("run")).env_remove("BACKSTAY_SERVER");
        command
    }

    /// What it says, as JSON.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let said = must(&mut self.command(&[arguments, &["--json"]].concat()))?;
        serde_json::from_str(&said).during(format!("backstay {arguments:?}: {said}"))
    }

    /// Every point of the machine, in order.
    ///
    /// # Errors
    /// The program fails.
    pub(crate) fn points(&self) -> Result<Vec<Point>> {
        let said = self.json(&["points", MACHINE])?;
        said.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(Point::of).collect()
    }

    /// Writes a disk of a point to a file.
    ///
    /// # Errors
    /// The program fails.
    pub(crate) fn restore(&self, point: &Point, disk: &str, to: &Path, options: &[&str]) -> Result<()> {
        let what = format!("{MACHINE}:{disk}");
        let arguments = ["restore", &what, "--at", &point.time, "--to", text(to), "--yes"];
        must(&mut self.command(&[&arguments, options].concat())).map(drop)
    }

    /// Every byte of the store is what it should be.
    ///
    /// # Errors
    /// It is not, or the program fails.
    pub(crate) fn check(&self) -> Result<()> {
        let said = self.json(&["check", "--read-data"])?;
        if said["clean"] == true { Ok(()) } else { Err(Fail::new(format!("backstay check: {said}"))) }
    }

    fn protect(&self, disks: &[&Path], options: &[&str]) -> Command {
        let disks: Vec<&str> = disks.iter().map(|disk| text(disk)).collect();
        self.command(&[&["protect"], &disks[..], &["--machine", MACHINE], options].concat())
    }

    /// Begins to follow disks.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn follow(&self, disks: &[&Path], options: &[&str]) -> Result<Agent> {
        let mut command = self.protect(disks, &[options, &["--json"]].concat());
        let log = self.home.join("protect.log");
        let from = std::fs::metadata(&log).map_or(0, |about| about.len());
        Ok(Agent { running: Running::start(&mut command, &log)?, log, from })
    }

    /// Tries the same beside one that follows; the exit status and what was said.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn follow_too(&self, disks: &[&Path]) -> Result<(Option<i32>, String)> {
        let said = finish(&mut self.protect(disks, &["--every", "1s"]))?;
        Ok((said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned()))
    }

    /// A point of disks in use that are only read, beside one that follows them.
    ///
    /// # Errors
    /// The program fails.
    pub(crate) fn once(&self, disks: &[&Path]) -> Result<()> {
        must(&mut self.protect(disks, &["--once", "--json"])).map(drop)
    }

    /// Asks for no points until it is resumed, or for ten minutes.
    pub(crate) fn suspend(&self) -> Result<()> {
        let arguments = ["suspend", MACHINE, "--reason", "a test of suspending", "--max", "10m"];
        must(&mut self.command(&arguments)).map(drop)
    }

    /// Asks for points again.
    pub(crate) fn resume(&self) -> Result<()> {
        must(&mut self.command(&["resume", MACHINE])).map(drop)
    }

    /// Ends marking in the kernel, as far as there is any.
    pub(crate) fn unfollow(&self, disks: &[&Path]) -> Result<()> {
        must(&mut self.protect(disks, &["--unfollow"])).map(drop)
    }

    /// What the program remembers of its marks: changes when it begins anew. `None`: nothing.
    pub(crate) fn generations(&self) -> Option<Vec<Value>> {
        let files = std::fs::read_dir(self.home.join("run")).ok()?;
        let file = files.flatten().map(|f| f.path()).find(|path| path.extension().is_some_and(|e| e == "json"))?;
        let state: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        state["disks"].as_array().map(|disks| disks.iter().map(|disk| disk["generation"].clone()).collect())
    }

    /// Where it works.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }
}

/// `protect` at work.
pub(crate) struct Agent {
    running: Running,
    log: PathBuf,
    from: u64,
}

impl Agent {
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// To it alone: its watchdog has a session of its own.
    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[(self.from as usize).min(log.len())..]).into_owned()
    }

    /// # Errors
    /// It ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.running.must_run().during(self.last_words())
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let last: Vec<&str> = log.lines().rev().filter(|line| !line.starts_with(['{', '}', ' '])).take(3).collect();
        format!("protect (it said {last:?})")
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// It does not go.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.running.signal(Signal::KILL);
        self.running.end(Duration::from_secs(60)).map(drop)
    }

    /// Asks it to end, as Ctrl-C does.
    ///
    /// # Errors
    /// It does not, or it does so with a failure.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.running.signal(Signal::INT);
        let status = self.running.end(Duration::from_secs(120))?;
        if status.success() { Ok(()) } else { Err(Fail::new(format!("{} ended with {status}", self.last_words()))) }
    }
}
