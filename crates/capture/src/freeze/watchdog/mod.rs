//! The process that thaws when the one that froze cannot: it expired, hangs, was stopped or killed.
//!
//! It is the same program, started anew with an argument of its own, early, while all is well. A fork would share the
//! other threads' locks, the memory and every descriptor of a large process; this one has one thread and a few pages,
//! all locked. Between it and the freezing process are a socket, by which it gets the descriptors of what is to be
//! frozen and sees the other side's end, and a page of memory, by which both know who thawed.
//!
//! The freezing process freezes only after the watchdog has confirmed that it is armed. If the watchdog is killed
//! during a freeze, a thread of the freezing process thaws at once. What no user process can survive is both being
//! killed at the same instant; therefore they must not share a control group, see [`Shelter`].
//!
//! Never knows: what is read while everything is still.

mod serve;
#[allow(unsafe_code)] // memory of two processes
pub(super) mod shared;
mod wire;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use rustix::process::PidfdFlags;

pub use serve::serve;
use shared::{Phase, Shared};
use wire::{Reply, Request, ask, reply, wait};

/// No freeze is longer, whatever is asked for.
pub const LONGEST: Duration = Duration::from_secs(5);

/// For the start of a process, perhaps by way of systemd.
const START: Duration = Duration::from_secs(10);

/// For an answer of a process that does nothing but wait. Longer, and it would be no help in need.
const ANSWER: Duration = Duration::from_millis(500);

/// Where the watchdog is safe from what may kill the freezing process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelter {
    /// In a session of its own: safe from the terminal and from signals to a process group. A control group that is
    /// killed as a whole takes both.
    Session,
    /// In a scope of its own that systemd makes, too: another control group, so that stopping, killing or starving the
    /// unit of the freezing process does not touch it.
    Scope,
}

impl Shelter {
    /// The best that this machine has: a scope where systemd runs.
    pub fn best() -> Shelter {
        if Path::new("/run/systemd/system").is_dir() { Shelter::Scope } else { Shelter::Session }
    }
}

/// Why there is no watchdog.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program could not be started.
    #[error("the watchdog `{program}` could not be started")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It was started, and does not answer as a watchdog.
    #[error("the watchdog does not answer")]
    Silent(#[source] io::Error),
    /// It answered that it cannot lock its memory.
    #[error("the watchdog is not allowed to lock its memory")]
    Unfit(#[source] io::Error),
}

/// Why this process is no watchdog.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Standard input is not the socket of a process that wants to freeze.
    #[error("a watchdog is started by the program itself, not by people")]
    Socket(#[source] io::Error),
    /// The process could not be made fit.
    #[error("the watchdog may not {what}")]
    Unfit {
        /// What it needs.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The watchdog is dead, deaf, or busy with a file system that does not thaw. Start another.
#[derive(Debug, thiserror::Error)]
#[error("the watchdog does not answer")]
pub struct Deaf(#[source] pub io::Error);

/// A watchdog that runs. It ends when this is dropped, or this process ends.
pub struct Watchdog {
    child: Child,
    state: Arc<State>,
    guard: Option<JoinHandle<()>>,
    /// An answer failed to come: what it thinks is unknown.
    deaf: bool,
    /// Something is left for it to thaw.
    needed: bool,
}

/// What the thread that watches the watchdog sees.
struct State {
    socket: OwnedFd,
    shared: Shared,
    /// What may be frozen now.
    files: Mutex<Option<Arc<[OwnedFd]>>>,
}

impl Watchdog {
    /// Starts `program`, which must call [`serve`] first thing. Its standard input becomes a socket, its output goes
    /// nowhere, and what it says of errors goes where this process says them. Not started by the shelter's manager
    /// ([`StartError::Spawn`], [`StartError::Silent`]) it may be tried again in a lesser one.
    ///
    /// # Errors
    /// [`StartError`]; then no process is left.
    pub fn start(program: Command, shelter: Shelter) -> Result<Watchdog, StartError> {
        let silent = |errno: rustix::io::Errno| StartError::Silent(errno.into());
        let mut command = sheltered(program, shelter);
        let (ours, theirs) = socket_pair().map_err(silent)?;
        let (shared, page) = Shared::new().map_err(silent)?;
        let child = command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = child.map_err(|source| StartError::Spawn { program: name, source })?;
        // The command holds the other end of the socket, by which its end would go unseen.
        drop(command);
        let state = Arc::new(State { socket: ours, shared, files: Mutex::new(None) });
        let mut watchdog = Watchdog { child, state, guard: None, deaf: true, needed: false };
        watchdog.begin(&page)?;
        let state = watchdog.state.clone();
        let thread = std::thread::Builder::new().name("freeze-guard".into()).stack_size(64 << 10);
        watchdog.guard = Some(thread.spawn(move || state.guard()).map_err(StartError::Silent)?);
        watchdog.deaf = false;
        Ok(watchdog)
    }

    fn begin(&mut self, page: &OwnedFd) -> Result<(), StartError> {
        // Kernels before 5.3 have no such descriptor; then the end of the socket must do.
        let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).ok();
        let mut files = vec![page.as_fd()];
        files.extend(own.as_ref().map(AsFd::as_fd));
        let asked = ask(&self.state.socket, Request::Begin, &files);
        match asked.and_then(|()| reply(&self.state.socket, START)) {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Refused(errno)) => Err(StartError::Unfit(errno.into())),
            Err(errno) => Err(StartError::Silent(errno.into())),
        }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it can be relied on for another freeze.
    pub fn is_fit(&self) -> bool {
        !self.deaf && !self.state.is_gone()
    }

    /// Whether the kernel may end it when memory runs out: this machine does not allow it to be exempt. To be told to
    /// people, not to be refused: during a freeze, its end is answered by a thaw.
    pub fn may_be_sacrificed(&self) -> bool {
        let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", self.id()));
        score.is_ok_and(|score| score.trim() != "-1000")
    }

    /// From here on, until [`Watchdog::disarm`], these are thawed when `limit` has passed or either process ends.
    ///
    /// # Errors
    /// [`Deaf`]; then nothing may be frozen.
    pub(super) fn arm(&mut self, files: &Arc<[OwnedFd]>, limit: Duration) -> Result<(), Deaf> {
        if self.deaf || self.shared().phase() != Phase::Idle {
            return Err(Deaf(io::ErrorKind::BrokenPipe.into()));
        }
        *self.state.lock() = Some(files.clone());
        self.shared().enter(Phase::Idle, Phase::Armed);
        let borrowed: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let armed = self.request(Request::Arm(limit), &borrowed);
        if armed.is_err() {
            self.settle();
        }
        armed
    }

    /// To be called when nothing is frozen any more. If the watchdog does not hear it, it is not fit for another freeze.
    pub(super) fn disarm(&mut self) {
        let _ = self.request(Request::Disarm, &[]);
        self.settle();
    }

    /// Leaves the rest to the watchdog: it goes on trying to thaw what did not thaw.
    pub(super) fn leave(&mut self) {
        (self.deaf, self.needed) = (true, true);
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.state.shared
    }

    /// Thaws what is frozen by us, as the watchdog would. No call that freezes may be under way.
    pub(super) fn thaw_all(&self, files: &[OwnedFd]) -> bool {
        self.shared().thaw_all(files, true)
    }

    fn settle(&self) {
        *self.state.lock() = None;
        self.shared().reset();
    }

    fn request(&mut self, request: Request, files: &[BorrowedFd<'_>]) -> Result<(), Deaf> {
        let socket = &self.state.socket;
        let done = ask(socket, request, files).and_then(|()| match reply(socket, ANSWER)? {
            Reply::Done => Ok(()),
            Reply::Refused(errno) => Err(errno),
        });
        self.deaf |= done.is_err();
        done.map_err(|errno| Deaf(errno.into()))
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<[OwnedFd]>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_gone(&self) -> bool {
        // Without asking for anything, only the end is told.
        let mut ready = [PollFd::new(&self.socket, PollFlags::empty())];
        wait(&mut ready, Some(Duration::ZERO)).unwrap_or(true)
    }

    /// Waits for the watchdog's end, and thaws if something is frozen then.
    fn guard(&self) {
        while !wait(&mut [PollFd::new(&self.socket, PollFlags::empty())], None).unwrap_or(true) {}
        self.shared.end(Phase::Unguarded);
        if let Some(files) = self.lock().as_ref() {
            // What is being frozen at this moment is thawed by who freezes it: it looks after each one.
            self.shared.thaw_all(files, false);
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.state.socket, Shutdown::Both);
        if let Some(guard) = self.guard.take() {
            let _ = guard.join();
        }
        let patience = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        // It may have been stopped.
        if !self.needed {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn socket_pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// `systemd-run --scope` becomes the program it is given, so that standard input and the parent stay.
fn sheltered(program: Command, shelter: Shelter) -> Command {
    if shelter == Shelter::Session {
        return program;
    }
    let mut command = Command::new("systemd-run");
    command.args(["--scope", "--quiet", "--collect", "--slice=system.slice"]);
    command.arg("--description=Thaws file systems if Backstay cannot").arg("--");
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_runs_the_program_as_given() {
        let mut program = Command::new("/usr/bin/backstay");
        program.args(["watchdog", "--x"]).env("A", "b").env_remove("C");
        let command = sheltered(program, Shelter::Scope);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert_eq!(command.get_program(), "systemd-run");
        assert!(words.contains(&"--scope".into()));
        assert!(words.ends_with(&["--".into(), "/usr/bin/backstay".into(), "watchdog".into(), "--x".into()]));
        let mut environment: Vec<_> = command.get_envs().collect();
        environment.sort();
        assert_eq!(environment, [("A".as_ref(), Some("b".as_ref())), ("C".as_ref(), None)]);
    }

    #[test]
    fn what_is_no_watchdog_is_refused() {
        let start = |program: &str| Watchdog::start(Command::new(program), Shelter::Session).err();
        assert!(matches!(start("/does/not/exist"), Some(StartError::Spawn { .. })));
        assert!(matches!(start("true"), Some(StartError::Silent(_))));
    }
}
