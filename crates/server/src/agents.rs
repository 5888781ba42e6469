//! Agents' connections: each talks to the intake on a thread of its own.
//!
//! Never knows: people, HTTP.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use backstay_env::link::Link;
use backstay_env::real::link::over;
use backstay_env::time::Clock;
use backstay_intake::{Intake, Watch};
use backstay_vault::VaultError;
use backstay_vault::protect::Made;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;

use crate::moment::rfc3339;
use crate::{Enrolled, News, Server};

/// Machines whose whole disks are compared at once.
const AT_ONCE: usize = 4;

/// What is kept of agents that are there.
pub struct Agents {
    intake: Intake,
    talking: Talking,
}

impl Agents {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Agents {
        Agents { intake: Intake::new(clock.clone(), AT_ONCE), talking: Talking::default() }
    }

    /// Ends the session of a machine that lost its rights, or is to look again what is wanted of it.
    pub fn end(&self, machine: &str) {
        self.intake.end(machine);
    }

    /// Machines whose agents are there now.
    pub fn present(&self) -> Vec<String> {
        self.intake.present()
    }

    /// Ends all sessions, and waits for so long until they have.
    pub(crate) fn stop(&self, patience: Duration) {
        self.intake.stop();
        self.talking.wait(patience);
    }
}

/// How many threads talk with agents. They are no threads of the runtime, which has some hundred for all who wait for disks: a session
/// lasts for days.
#[derive(Default)]
struct Talking {
    threads: Mutex<usize>,
    fewer: Condvar,
}

impl Talking {
    fn add(&self, by: isize) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        *threads = threads.saturating_add_signed(by);
        self.fewer.notify_all();
    }

    fn wait(&self, patience: Duration) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.fewer.wait_timeout_while(threads, patience, |threads| *threads > 0));
    }
}

/// A thread that talks with an agent.
struct Talker(Arc<Server>);

impl Talker {
    fn new(server: Arc<Server>) -> Talker {
        server.agents.talking.add(1);
        Talker(server)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.0.agents.talking.add(-1);
    }
}

/// Serves an agent's connection until it ends. The certificate was checked: `who` has not lost its rights.
pub(crate) async fn serve(stream: TlsStream<TcpStream>, who: Enrolled, server: Arc<Server>) {
    let link = over(stream, &Handle::current());
    let Some(vault) = server.vault(&who.vault).cloned() else { return };
    // Should this be dropped, the thread ends as well.
    let _closing = Closing(link.clone());
    let (ending, ended) = oneshot::channel::<()>();
    let talker = Talker::new(server);
    let thread = std::thread::Builder::new().name("session".into()).spawn(move || {
        let (_ending, server) = (ending, &talker.0);
        server.agents.intake.serve(&link, &who.name, &vault, &Told(server));
    });
    match thread {
        Ok(_) => drop(ended.await), // an error says that it ended; a panic was printed, and ends this session alone
        Err(error) => tracing::error!(%error, "there is no thread for a session"),
    }
}

/// Ends a link when it is dropped.
struct Closing(Arc<dyn Link>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What happens in sessions is told to those who watch the server.
struct Told<'s>(&'s Server);

impl Watch for Told<'_> {
    fn came(&self, machine: &str, _program: &str) {
        tracing::info!(machine, "an agent is there");
        self.0.live.tell(News::Joined { machine: machine.to_owned() });
    }

    fn made(&self, made: &Made) {
        let row = &made.point.row;
        self.0.live.tell(News::Point {
            machine: made.machine.row.name.clone(),
            point: made.point.number.0,
            time: rfc3339(row.time),
            changed_pages: row.changed,
            stored_bytes: row.stored,
        });
    }

    fn failed(&self, machine: &str, error: &VaultError) {
        tracing::warn!(machine, %error, "points could not be made");
        self.0.live.tell(News::Failed { machine: machine.to_owned(), why: error.to_string() });
    }

    fn left(&self, machine: &str, why: Option<&str>) {
        tracing::info!(machine, why, "an agent is gone");
        self.0.live.tell(News::Left { machine: machine.to_owned(), why: why.map(str::to_owned) });
    }
}
