//! A store in a temporary folder, and the program that works on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_format::keys::Argon2Cost;
use backstay_vault::{Seams, Vault};
use serde_json::Value;

use crate::tools::{patiently, sum, text};

/// Guessing costs next to nothing, and so does each command of a test.
const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };

/// What a run of the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A temporary folder with a store and a passphrase file.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: PathBuf,
}

impl World {
    /// With a store, made without the program to spare the cost of its passphrase.
    pub(crate) fn new() -> World {
        let world = World::without_store();
        world.make_store();
        world
    }

    /// With a passphrase file only.
    pub(crate) fn without_store() -> World {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("passphrase"), "correct horse\nnot this\n").unwrap();
        let store = dir.path().join("store");
        World { dir, store }
    }

    /// As [`World::new`], in a folder of the caller.
    pub(crate) fn with_store_in(folder: &Path) -> World {
        let mut world = World::without_store();
        world.store = folder.join("store");
        world.make_store();
        world
    }

    fn make_store(&self) {
        let home = Arc::new(Folder::create(&self.store).unwrap());
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let seams = Seams { home: home.clone(), index_home: home, clock, random };
        Vault::create_with(&seams, "main", b"correct horse", CHEAP).unwrap();
    }

    /// A path in the temporary folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, ready to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstay"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("BACKSTAY_STORE", &self.store).env("BACKSTAY_PASSPHRASE_FILE", self.path("passphrase"));
        command.env_remove("BACKSTAY_SERVER").env("TZ", "UTC");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// Runs what must succeed; what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.status, Some(0), "backstay {args:?}: {said:?}");
        said.out
    }

    /// Runs what must succeed with `--json`; what it printed is one JSON value.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("backstay {args:?}: {e} in {out}"))
    }

    /// Runs what must fail with `status`, one sentence, and the store as it was. The sentence.
    pub(crate) fn refused(&self, status: i32, args: &[&str]) -> String {
        self.refused_by(status, &mut self.command(args))
    }

    pub(crate) fn refused_by(&self, status: i32, command: &mut Command) -> String {
        let before = content(&self.store);
        let said = said(command);
        let sentence = sentence(status, &said);
        assert_eq!(content(&self.store), before, "the store changed: {said:?}");
        sentence
    }

    /// Protects one disk of the machine `m`; the number of the point.
    pub(crate) fn protect(&self, source: &str) -> u64 {
        let made = self.json(&["protect", source, "--machine", "m", "--once"]);
        made["point"].as_u64().unwrap()
    }

    /// The points of machine `m`: numbers and times.
    pub(crate) fn points(&self) -> Vec<(u64, String)> {
        let points = self.json(&["points", "m"]);
        let one = |p: &Value| (p["point"].as_u64().unwrap(), p["time"].as_str().unwrap().to_owned());
        points.as_array().unwrap().iter().map(one).collect()
    }

    /// As [`World::points`]; none if there is no such machine yet.
    pub(crate) fn points_or_none(&self) -> Vec<(u64, String)> {
        let said = self.run(&["machines", "--json"]);
        if said.out.contains("\"m\"") { self.points() } else { Vec::new() }
    }

    /// Restores machine `m` as it was at `time` to a file and compares.
    pub(crate) fn assert_restores(&self, time: &str, expected: &Path) {
        let to = tempfile::Builder::new().tempfile_in(self.dir.path()).unwrap();
        self.ok(&["restore", "m", "--at", time, "--to", text(to.path()), "--yes"]);
        crate::tools::assert_same(to.path(), expected);
    }

    /// Bytes in all objects of packs.
    pub(crate) fn packed(&self) -> u64 {
        sizes(&self.store).into_iter().filter(|(name, _)| name.contains("/pack/")).map(|(_, len)| len).sum()
    }

    /// Flips a bit in the middle of the largest pack.
    pub(crate) fn damage(&self) {
        let packs = sizes(&self.store).into_iter().filter(|(name, _)| name.contains("/pack/"));
        let (largest, len) = packs.max_by_key(|(_, len)| *len).unwrap();
        let mut bytes = fs::read(&largest).unwrap();
        bytes[len as usize / 2] ^= 1;
        fs::write(&largest, &bytes).unwrap();
    }

    /// Nothing in the store is damaged.
    pub(crate) fn assert_clean(&self) {
        let found = self.json(&["check", "--read-data"]);
        assert_eq!(found["clean"], true, "{found}");
    }

    /// Starts the program; what it says goes to files.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.start_as(self.command(args))
    }

    pub(crate) fn start_as(&self, mut command: Command) -> Running {
        let log = tempfile::Builder::new().tempfile_in(self.dir.path()).unwrap();
        let appending = || fs::File::options().append(true).open(log.path()).unwrap();
        command.stdout(appending()).stderr(appending());
        Running { child: command.spawn().unwrap(), log }
    }
}

/// One sentence of the program about why it did not do it.
pub(crate) fn sentence(status: i32, said: &Said) -> String {
    assert_eq!(said.status, Some(status), "{said:?}");
    let mut lines = said.err.lines().filter(|line| line.starts_with("backstay: "));
    let line = lines.next().unwrap_or_else(|| panic!("no sentence: {said:?}"));
    assert_eq!(lines.next(), None, "more than one sentence: {said:?}");
    assert!(!said.err.contains("panicked"), "{said:?}");
    // Besides it, only which point it is about.
    let others = said.err.lines().filter(|l| !l.starts_with("backstay: ") && !l.contains("(point "));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
    println!("{line}"); // to be read by whoever works on the words: cargo test -- --nocapture
    line["backstay: ".len()..].to_owned()
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let out = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: out.status.code(), out: text(&out.stdout), err: text(&out.stderr) }
}

/// Every file under a folder: size and a hash of what is in it.
pub(crate) fn content(folder: &Path) -> BTreeMap<String, (u64, u64)> {
    sizes(folder).into_iter().map(|(name, len)| (name.clone(), (len, sum(name.as_ref())))).collect()
}

/// Every file under a folder, and its size.
fn sizes(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // Where the program is at work, what it has not named yet comes and goes.
                let Ok(about) = fs::metadata(&path) else { continue };
                found.insert(text(&path).to_owned(), about.len());
            }
        }
    }
    found
}

/// The program at work. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Running {
    /// Of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// The JSON value that it printed; what it said on standard error is left out.
    pub(crate) fn json(&self) -> Value {
        let log = self.log();
        let json = &log[log.find('{').unwrap()..=log.rfind('}').unwrap()];
        serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {log}"))
    }

    /// Waits until it said something.
    pub(crate) fn wait_for(&mut self, words: &str) {
        let said = patiently(|| self.log().contains(words) || self.child.try_wait().unwrap().is_some());
        assert!(said && self.log().contains(words), "never said {words:?}: {}", self.log());
    }

    pub(crate) fn signal(&self, signal: &str) {
        crate::tools::run("kill", ["-s", signal, &self.child.id().to_string()]);
    }

    /// Waits for its end; the exit status, `None` if a signal ended it.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let mut status = None;
        let ended = patiently(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "it did not end: {}", self.log());
        status.unwrap().code()
    }

    /// Asks it to stop, as Ctrl-C does; the exit status.
    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        self.signal("INT");
        self.end()
    }

    /// Kills it after a time, unless it ends before; whether it was killed.
    pub(crate) fn kill_after(&mut self, time: Duration) -> bool {
        std::thread::sleep(time);
        self.child.kill().unwrap();
        self.child.wait().unwrap().code().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill()); // it has ended already, mostly
        drop(self.child.wait());
    }
}
