//! The watchdog's own process. One thread, all memory locked, nothing to do but wait.
//!
//! Never knows: what is frozen, beyond descriptors.
//! Invariant: it ends only when the freezing process has, and nothing is frozen by it any more.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::mm::MlockAllFlags;

use super::shared::{Phase, Shared};
use super::wire::{Reply, Request, answer, hear, wait};
use super::{LONGEST, ServeError};
use crate::freeze::haste;

/// How soon to try again what could not be thawed yet: its freeze may still be under way.
const AGAIN: Duration = Duration::from_millis(5);

/// How often to try to tell the kernel that it need not hurry any more: that harms nothing but its speed.
const TRIES: u32 = 2000;

/// Runs the watchdog in this process, until the process that started it is gone or lets it go. Call it first thing in
/// `main` when the hidden argument is there: no threads, no files, and standard input is the socket that
/// [`Watchdog::start`](super::Watchdog::start) put there.
///
/// # Errors
/// [`ServeError`] if this process cannot be made fit for the task; then the other side has been told, and nothing
/// was frozen.
pub fn serve() -> Result<(), ServeError> {
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(ServeError::Socket)?;
    let fit = harden();
    let mut files = Vec::new();
    let begun = hear(&socket, &mut files).map_err(|errno| ServeError::Socket(errno.into()))?;
    if begun != Some(Request::Begin) || files.is_empty() {
        return Err(ServeError::Socket(io::ErrorKind::InvalidInput.into()));
    }
    let owner = files.get(1).map(|owner| owner.try_clone()).transpose().map_err(ServeError::Socket)?;
    let shared = fit.and_then(|()| Shared::map(&files[0]).map_err(|errno| ("map the shared page", errno)));
    let shared = match shared {
        Ok(shared) => shared,
        Err((what, errno)) => {
            let _ = answer(&socket, Reply::Refused(errno));
            return Err(ServeError::Unfit { what, source: errno.into() });
        }
    };
    let _ = answer(&socket, Reply::Done);
    Watch { socket, owner, shared, files: Vec::new(), deadline: None }.run();
    Ok(())
}

/// Makes this process outlive signals and shortages that are meant for others.
fn harden() -> Result<(), (&'static str, Errno)> {
    // Fails for one that leads a session already.
    let _ = rustix::process::setsid();
    // What would end others at shutdown or by Ctrl-C must not end this one while something is frozen: it ends with
    // the process it watches.
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        let ignored = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal, ignored).map_err(|_| ("handle signals", Errno::INVAL))?;
    }
    rustix::process::chdir("/").map_err(|errno| ("leave the folder", errno))?;
    // Some containers forbid these. The first is told by `Watchdog::may_be_sacrificed`; if it happens, the freezing
    // process thaws.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let _ = rustix::process::setpriority_process(None, -20);
    rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(|errno| ("lock its memory", errno))
}

struct Watch {
    socket: OwnedFd,
    /// The freezing process: readable when it is gone, even if another inherited its end of the socket.
    owner: Option<OwnedFd>,
    shared: Shared,
    files: Vec<OwnedFd>,
    /// When to thaw; none while nothing may be frozen.
    deadline: Option<Instant>,
}

impl Watch {
    fn run(mut self) {
        while self.listen() {
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.expire(false);
            }
        }
        while !self.expire(true) {
            std::thread::sleep(AGAIN);
        }
        for _ in 0..TRIES {
            if haste::end_for(&self.shared) {
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Waits for the next request or the deadline. `false` when the other side is gone.
    fn listen(&mut self) -> bool {
        let patience = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let owner = self.owner.as_ref().unwrap_or(&self.socket);
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(owner, PollFlags::IN)];
        match wait(&mut ready, patience) {
            Ok(false) => return true,
            Ok(true) => {}
            Err(_) => return false,
        }
        let gone = self.owner.is_some() && !ready[1].revents().is_empty();
        if gone || ready[0].revents().is_empty() {
            return !gone;
        }
        let mut files = Vec::new();
        match hear(&self.socket, &mut files) {
            Ok(Some(Request::Arm(limit))) => self.arm(limit, files),
            Ok(Some(Request::Disarm)) => self.disarm(),
            _ => false,
        }
    }

    fn arm(&mut self, limit: Duration, files: Vec<OwnedFd>) -> bool {
        self.files = files;
        self.deadline = Some(Instant::now() + limit.min(LONGEST));
        answer(&self.socket, Reply::Done).is_ok()
    }

    fn disarm(&mut self) -> bool {
        self.deadline = None;
        self.files.clear();
        answer(&self.socket, Reply::Done).is_ok()
    }

    /// Says that the freeze is over, then ends it. Answers whether nothing is frozen any more; if the other side lives,
    /// it comes here again until that side has said so, as a call that freezes may be under way there.
    fn expire(&mut self, owner_gone: bool) -> bool {
        self.shared.end(Phase::Expired);
        let nothing_left = self.shared.thaw_all(&self.files, owner_gone);
        self.deadline = Some(Instant::now() + AGAIN);
        nothing_left
    }
}
