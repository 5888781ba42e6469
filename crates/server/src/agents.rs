//! Agents' connections: each talks to the intake on a thread of its own.
//!
//! Never knows: people, HTTP.

use std::sync::Arc;

use backstay_env::link::Link;
use backstay_env::real::link::over;
use backstay_env::time::Clock;
use backstay_intake::{Intake, Watch};
use backstay_vault::VaultError;
use backstay_vault::protect::Made;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::server::TlsStream;

use crate::moment::rfc3339;
use crate::{Enrolled, News, Server};

/// Machines whose whole disks are compared at once.
const AT_ONCE: usize = 4;

/// What is kept of agents that are there.
pub struct Agents(Arc<Intake>);

impl Agents {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Agents {
        Agents(Arc::new(Intake::new(clock.clone(), AT_ONCE)))
    }

    /// Ends the session of a machine that lost its rights, or is to look again what is wanted of it.
    pub fn end(&self, machine: &str) {
        self.0.end(machine);
    }

    /// Machines whose agents are there now.
    pub fn present(&self) -> Vec<String> {
        self.0.present()
    }

    /// Ends all sessions.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Serves an agent's connection until it ends. The certificate was checked: `who` has not lost its rights.
pub async fn serve(stream: TlsStream<TcpStream>, who: Enrolled, server: Arc<Server>) {
    let link = over(stream, &Handle::current());
    let Some(vault) = server.vault(&who.vault).cloned() else { return };
    let watched = link.clone();
    let talking = tokio::task::spawn_blocking(move || {
        server.agents.0.serve(&link, &who.name, &vault, &Told(&server));
    });
    // Should this be dropped, the thread ends as well.
    let _closing = Closing(watched);
    let _ = talking.await; // a panic was printed, and ends this session alone
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
