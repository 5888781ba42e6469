//! What the tests of both databases have in common: a client that commits and knows what was acknowledged, and the copy
//! of disks at one instant.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;

use backstay_capture::freeze::group::Group;
use backstay_capture::freeze::watchdog::Watchdog;
use backstay_capture::hooks::{Application, End, Outcome, Quiet, Report};

use crate::world::{Disk, run, still, wait_for};

/// A process that is killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(command.spawn().expect("starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Commits one transaction after the other; each answer is its number.
pub(crate) struct Committer {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// `transaction` makes the statements that commit number n and then print n on a line.
    pub(crate) fn start(client: &mut Command, transaction: fn(u64) -> String) -> Committer {
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a client");
        let mut input = client.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines();
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (acknowledged.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let _client = Running(client);
            for number in 1.. {
                if stopped.load(SeqCst) {
                    return;
                }
                writeln!(input, "{}", transaction(number)).expect("tells");
                let answer = lines.next().expect("an answer").expect("a line");
                assert_eq!(answer, number.to_string());
                counted.store(number, SeqCst);
            }
        });
        Committer { acknowledged, stop, thread: Some(thread) }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(SeqCst)
    }

    pub(crate) fn goes_on(&self) {
        let before = self.acknowledged();
        wait_for("a commit", || self.acknowledged() > before + 10);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// What a copy of the disks at one instant must hold, and the copies.
pub(crate) struct Copied {
    pub(crate) acknowledged: u64,
    pub(crate) images: Vec<PathBuf>,
    pub(crate) reports: Vec<Report>,
}

/// Copies disks while their file systems and the application are held still.
pub(crate) fn copy(
    disks: &[&Disk],
    group: &Group,
    watchdog: &mut Watchdog,
    application: &mut [Box<dyn Application>],
    committer: &Committer,
) -> Copied {
    let quiet = Quiet::begin(application);
    assert!(quiet.reports().iter().all(|report| report.outcome == Outcome::Done), "{:?}", quiet.reports());
    // Commits go on until the freeze, but for those that an application blocks.
    let ((acknowledged, images), _) =
        still(group, watchdog, || (committer.acknowledged(), disks.iter().map(|disk| copied(disk)).collect()));
    let reports = quiet.end(End::Kept);
    assert!(reports.iter().all(|report| report.outcome == Outcome::Done), "{reports:?}");
    Copied { acknowledged, images, reports }
}

fn copied(disk: &Disk) -> PathBuf {
    let copy = disk.beside("copy");
    run("cp", ["--sparse=always".as_ref(), disk.image().as_os_str(), copy.as_os_str()]);
    copy
}
