//! Running other programs, and time.
//!
//! Never knows: what the programs are for.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::fail::{During, Fail, Result};

/// The clock of points: nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A program, in a process group of its own, so that Ctrl-C reaches only us, who then clean up in order.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    let path = format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).process_group(0);
    command
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs to the end, whatever it is.
pub(crate) fn finish(command: &mut Command) -> Result<Output> {
    let line = shown(command);
    command.output().during(format!("`{line}` cannot be run"))
}

/// Runs what must succeed; what it printed.
pub(crate) fn must(command: &mut Command) -> Result<String> {
    let said = finish(command)?;
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    if said.status.success() { Ok(out) } else { Err(complaint(&shown(command), &said)) }
}

/// As [`must`], from the words of a command line.
pub(crate) fn run<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Result<String> {
    must(program(name).args(arguments))
}

/// What a program said that did not succeed.
pub(crate) fn complaint(line: &str, said: &Output) -> Fail {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).trim().to_owned();
        // The end tells most.
        let from = text.char_indices().rev().nth(2000).map_or(0, |(at, _)| at);
        text[from..].to_owned()
    };
    Fail::new(format!("`{line}` ended with {}: {} {}", said.status, text(&said.stdout), text(&said.stderr)))
}

/// A path as text; all of ours are.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// A program at work, with all that it started; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    line: String,
}

impl Running {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Running> {
        let line = shown(command);
        let log = File::options().create(true).append(true).open(log).during(log.display())?;
        command.stderr(log.try_clone().during("a log")?);
        command.stdout(log);
        Ok(Running { child: command.spawn().during(format!("`{line}` cannot be started"))?, line })
    }

    /// As it was set up by the caller.
    pub(crate) fn start_piped(command: &mut Command) -> Result<Running> {
        let line = shown(command);
        Ok(Running { child: command.spawn().during(format!("`{line}` cannot be started"))?, line })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, signal); // it may have ended
        }
    }

    /// `Some` once it ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// # Errors
    /// It ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Fail::new(format!("`{}` ended by itself with {status}", self.line))),
        }
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let mut status = None;
        let ended = patiently(within, || {
            status = self.ended();
            status.is_some()
        });
        match status {
            Some(status) if ended => Ok(status),
            _ => Err(Fail::new(format!("`{}` did not end within {within:?}", self.line))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        drop(self.child.wait());
    }
}

/// Waits for what comes about by itself; `false`: it did not.
pub(crate) fn patiently(within: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Whether somebody asked us to stop, or a load is to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for Ctrl-C and its kin, which then end nothing by themselves.
    pub(crate) fn listen() -> Result<Stop> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, stop.0.clone()).during("listening for signals")?;
        }
        Ok(stop)
    }

    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// # Errors
    /// We were asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.asked() { Err(Fail::new(STOPPED)) } else { Ok(()) }
    }

    /// Sleeps, unless asked to stop.
    pub(crate) fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.asked() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// Why a round ended that was asked to.
pub(crate) const STOPPED: &str = "stopped, and cleaned up";
