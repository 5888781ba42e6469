//! Our `protect`, following a disk: what it says of each point, and when.
//!
//! Never knows: what is a good figure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::moment;
use crate::bench::measure::stored;
use crate::fail::{During, Fail, Result};
use crate::guards::Interrupt;
use crate::run;

/// The longest that a point may be waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A store of our own, and the program.
pub(super) struct Store {
    program: PathBuf,
    folder: PathBuf,
    home: PathBuf,
}

/// A point as it was told.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// The moment it shows, in seconds since 1970.
    pub(super) shows: f64,
    /// When it was told, in seconds since 1970.
    pub(super) told: f64,
    /// Milliseconds from the beginning of the attempt until it was safe.
    pub(super) took: f64,
    /// Milliseconds that file systems were held still; 0 for a rescan.
    pub(super) frozen: f64,
    /// Pages that changed.
    pub(super) changed: u64,
    /// Bytes of packs that were written.
    pub(super) sent: u64,
}

impl Point {
    fn of(value: &Value) -> Option<Point> {
        Some(Point {
            shows: moment::seconds(value.get("time")?.as_str()?)?,
            told: moment::now(),
            took: value.get("took_ms")?.as_f64()?,
            frozen: value.get("frozen_ms")?.as_f64().unwrap_or(0.0),
            changed: value.get("changed_pages")?.as_u64()?,
            sent: value.get("stored_bytes")?.as_u64()?,
        })
    }
}

impl Store {
    /// A new one in a folder that is emptied.
    pub(super) fn create(program: &Path, folder: &Path) -> Result<Store> {
        if folder.exists() {
            fs::remove_dir_all(folder).during(folder.display())?;
        }
        let home = folder.join("home");
        fs::create_dir_all(&home).during(home.display())?;
        fs::write(home.join("passphrase"), "bench passphrase\n").during(home.display())?;
        let store = Store { program: program.to_owned(), folder: folder.join("store"), home };
        run::output(&mut store.command(&["init".as_ref(), store.folder.as_os_str()]))?;
        Ok(store)
    }

    fn command(&self, arguments: &[&std::ffi::OsStr]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("BACKSTAY_STORE", &self.folder);
        command.env("BACKSTAY_PASSPHRASE_FILE", self.home.join("passphrase")).env("HOME", &self.home);
        command
    }

    fn protect(&self, device: &str, more: &[&str]) -> Command {
        let mut command = self.command(&["protect".as_ref(), device.as_ref(), "--machine".as_ref(), "bench".as_ref()]);
        command.args(more);
        command
    }

    /// Bytes of the store.
    pub(super) fn bytes(&self) -> Result<u64> {
        stored(&self.folder)
    }

    /// Compares the whole disk once; the point that it makes.
    pub(super) fn rescan(&self, device: &str) -> Result<Point> {
        let said = run::output(&mut self.protect(device, &["--once", "--json"]))?;
        let value: Value = serde_json::from_slice(&said).during("`backstay protect --json`")?;
        Point::of(&value).ok_or_else(|| Fail::new(format!("`backstay protect --json` said {value}")))
    }

    /// Follows a disk; it is marked and its first point is there when this returns.
    pub(super) fn follow(&self, device: &str, every: &str, interrupt: &Interrupt) -> Result<Following<'_>> {
        self.follow_with(device, &["--every", every], interrupt)
    }

    /// As [`Store::follow`], with more words on the command line.
    pub(super) fn follow_with(&self, device: &str, more: &[&str], interrupt: &Interrupt) -> Result<Following<'_>> {
        let mut command = self.protect(device, &[&["--json"], more].concat());
        let log = fs::File::create(self.home.join("log")).during("a log")?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().during("backstay")?;
        let points = read(child.stdout.take().ok_or_else(|| Fail::new("no output of backstay"))?);
        let mut following = Following { store: self, device: device.to_owned(), child, points };
        following.next(interrupt)?;
        Ok(following)
    }
}

/// Reads points as they are told, in a thread that ends with the program.
fn read(output: ChildStdout) -> Receiver<Point> {
    let (tell, points) = channel();
    std::thread::spawn(move || {
        for value in serde_json::Deserializer::from_reader(output).into_iter::<Value>() {
            let Ok(value) = value else { return };
            // What is no point says why there was none.
            if let Some(point) = Point::of(&value)
                && tell.send(point).is_err()
            {
                return;
            }
        }
    });
    points
}

/// A disk that is being followed. Dropped, nothing of it is left in the kernel.
pub(super) struct Following<'s> {
    store: &'s Store,
    device: String,
    child: Child,
    points: Receiver<Point>,
}

impl Following<'_> {
    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next point.
    pub(super) fn next(&mut self, interrupt: &Interrupt) -> Result<Point> {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            interrupt.check()?;
            match self.points.recv_timeout(Duration::from_millis(200)) {
                Ok(point) => return Ok(point),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let said = fs::read_to_string(self.store.home.join("log")).unwrap_or_default();
        Err(Fail::new(format!("backstay makes no points: {}", said.trim())))
    }

    /// Points that were told meanwhile.
    pub(super) fn so_far(&self) -> Vec<Point> {
        self.points.try_iter().collect()
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        let asked = run::output(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let ended = asked.and_then(|_| self.child.wait().during("backstay"));
        let left = ended.and_then(|_| run::output(&mut self.store.protect(&self.device, &["--unfollow"])));
        if let Err(cause) = left {
            eprintln!("could not clean up: {cause}");
        }
    }
}
