//! Other processes, which are this test program again: the watchdog, and processes that freeze and are killed.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use backstay_capture::freeze::facts::gather;
use backstay_capture::freeze::group::Group;
use backstay_capture::freeze::locked::MemoryLock;
use backstay_capture::freeze::mounts::plan;
use backstay_capture::freeze::watchdog::serve;
use backstay_capture::number::DeviceNumber;

use crate::world::{Disk, long, watchdog};

const ROLE: &str = "BACKSTAY_TEST_ROLE";
const DISKS: &str = "BACKSTAY_TEST_DISKS";

/// This program as another process.
pub(crate) fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "role::entry", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role);
    command
}

#[test]
#[ignore = "the entry of the tests' other processes"]
fn entry() {
    match std::env::var(ROLE).expect("a role").as_str() {
        "watchdog" => serve().expect("watches"),
        "hold" => freeze_for_ever(true),
        "cycle" => freeze_for_ever(false),
        other => panic!("{other}"),
    }
    std::process::exit(0);
}

/// Freezes and thaws again and again; says each time what it did, and if told so stays at the first freeze.
fn freeze_for_ever(hold: bool) {
    let disks = std::env::var(DISKS).expect("disks");
    let disks: Vec<DeviceNumber> = disks.split(' ').map(|disk| DeviceNumber::parse(disk).expect("a number")).collect();
    let mut watchdog = watchdog();
    let mut memory = MemoryLock::default();
    memory.lock().expect("locks");
    println!("@watchdog {}", watchdog.id());
    for _ in 0..100_000 {
        let group = Group::prepare(plan(&gather().expect("facts"), &disks)).expect("a group");
        group.sync().expect("syncs");
        let frozen = group.freeze(&mut watchdog, long()).expect("freezes");
        println!("@frozen");
        std::thread::sleep(if hold { Duration::from_secs(3600) } else { Duration::from_millis(1) });
        match frozen.thaw() {
            Ok(_) => println!("@thawed"),
            Err(broken) => println!("@broken {broken:?}"),
        }
    }
}

/// A process that freezes.
pub(crate) struct Freezer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    watchdog: i32,
}

impl Freezer {
    pub(crate) fn start(role: &str, disks: &[&Disk]) -> Freezer {
        let numbers: Vec<String> = disks.iter().map(|disk| disk.device().to_string()).collect();
        let mut command = command(role);
        command.env(DISKS, numbers.join(" ")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program again");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut freezer = Freezer { child, lines, watchdog: 0 };
        let line = freezer.says("@watchdog ");
        freezer.watchdog = line.parse().expect("a number");
        freezer
    }

    /// Waits for a line that begins so; returns the rest of it.
    pub(crate) fn says(&mut self, what: &str) -> String {
        // The test harness of the other process talks as well.
        let found = self.lines.by_ref().find_map(|line| {
            let line = line.expect("a line");
            line.find('@').and_then(|at| line[at..].strip_prefix(what).map(str::to_owned))
        });
        found.unwrap_or_else(|| panic!("the process ended before it said {what}"))
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn watchdog(&self) -> i32 {
        self.watchdog
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
