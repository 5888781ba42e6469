//! A round: a server that lives, and agents that come and go, each on a thread of its own, one after the other.
//!
//! Never knows: what is right.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use backstay_agent::Session;
use backstay_env::link::Link;
use backstay_env::sim::net::{Actor, Net};
use backstay_intake::{Intake, Watch};
use backstay_vault::protect::Made;
use backstay_vault::{Vault, VaultError};

use super::agent::{Agent, Trace, Trouble};
use super::hostile::Mangler;
use crate::Violation;
use crate::home::Bug;
use crate::run::panic_text;
use crate::tally::Tally;

/// A server at work.
pub(crate) struct Server<'a> {
    pub(crate) net: &'a Net,
    pub(crate) vault: &'a Vault,
    pub(crate) intake: &'a Intake,
    pub(crate) watch: &'a Log,
    pub(crate) bug: Option<Bug>,
    /// Panics and contradictions.
    pub(crate) wrong: &'a Mutex<Vec<Violation>>,
    /// All machines' names.
    pub(crate) names: &'a [String],
}

/// What the server says of its sessions.
pub(crate) struct Log(pub(crate) Trace);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Watch for Log {
    fn came(&self, machine: &str, _program: &str) {
        self.add(format!("  server: {machine} came"));
    }

    fn made(&self, made: &Made) {
        self.add(format!("  server: {} has point {}", made.machine.row.name, made.point.number.0));
    }

    fn failed(&self, machine: &str, error: &VaultError) {
        self.add(format!("  server: {machine}: {error}"));
    }

    fn left(&self, machine: &str, why: Option<&str>) {
        self.add(format!("  server: {machine} left {}", why.unwrap_or("in peace")));
    }
}

/// Lets all agents live for so many attempts each.
pub(crate) fn play<'env>(server: &'env Server<'env>, agents: &'env mut [Agent], attempts: u64) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for agent in agents.iter_mut() {
            let (actor, tally) = (server.net.actor(), tally.clone());
            scope.spawn(move || {
                let actor = actor;
                actor.begin();
                let mut life = Life { server, scope, actor: &actor, tally: Tally::default() };
                server.guard(|| life.live(agent, attempts));
                *tally.lock().unwrap_or_else(PoisonError::into_inner) += life.tally;
            });
        }
        server.net.start();
    });
    *tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server<'_> {
    fn guard(&self, work: impl FnOnce() -> Result<(), Violation>) {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let outcome = outcome.unwrap_or_else(|panic| Err(Violation(panic_text(&*panic))));
        if let Err(wrong) = outcome {
            self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(wrong);
        }
    }

    /// In whose name a link is served: that of its agent, as its certificate says.
    fn name_for(&self, agent: &Agent) -> String {
        let mixed = self.bug == Some(Bug::MixesMachines) && self.net.counts().links.is_multiple_of(5);
        let other = self.names.iter().find(|name| mixed && **name != agent.name);
        other.unwrap_or(&agent.name).clone()
    }
}

/// The life of an agent during a round.
struct Life<'l, 'scope, 'env> {
    server: &'env Server<'env>,
    scope: &'scope Scope<'scope, 'env>,
    actor: &'l Actor,
    tally: Tally,
}

impl Life<'_, '_, '_> {
    fn live(&mut self, agent: &mut Agent, attempts: u64) -> Result<(), Violation> {
        let mut session: Option<(Arc<Session>, Option<Arc<Mangler>>)> = None;
        // Sessions that the agent has forgotten, and the server may not have.
        let mut older = Vec::new();
        for _ in 0..attempts {
            if session.is_some() && !agent.is_calm && agent.dice.below(8) == 0 {
                self.tally.second_sessions += 1;
                older.extend(session.take());
            }
            if session.is_none() {
                let Some(link) = self.dial(agent) else { break };
                let mangler = agent.is_lawless.then(|| Arc::new(Mangler::over(link.clone(), agent.dice.roll())));
                let link = mangler.clone().map_or(link, |mangler| mangler);
                match Session::over(link, "simulated".into(), 0) {
                    Ok(opened) => session = Some((Arc::new(opened), mangler)),
                    Err(error) => {
                        agent.note(&format!("no session: {error}"));
                        continue;
                    }
                }
            }
            let Some((open, mangler)) = &session else { continue };
            let before = mangler.as_ref().map_or(0, |mangler| mangler.mangled());
            let outcome = agent.work(open);
            self.tally.messages_mangled += mangler.as_ref().map_or(0, |mangler| mangler.mangled()) - before;
            match outcome {
                Ok(()) => {}
                Err(Trouble::Wrong(_)) if agent.is_lawless => session = None,
                Err(Trouble::Wrong(wrong)) => return Err(wrong),
                Err(Trouble::Session(error)) => {
                    agent.note(&format!("{error:?}"));
                    if error.ends_session() {
                        session = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// Connects: a session begins at the server.
    fn dial(&mut self, agent: &Agent) -> Option<Arc<dyn Link>> {
        let server = self.server;
        let session = server.net.actor();
        let (here, there) = server.net.link(self.actor, &session, agent.is_lawless)?;
        self.tally.sessions += 1;
        let name = server.name_for(agent);
        self.scope.spawn(move || {
            let session = session;
            session.begin();
            let there: Arc<dyn Link> = Arc::new(there);
            server.guard(|| {
                server.intake.serve(&there, &name, server.vault, server.watch);
                Ok(())
            });
        });
        Some(Arc::new(here))
    }
}
