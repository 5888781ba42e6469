//! Applications around a freeze: what they are told before it and after it, and what of that is worth keeping with the
//! point.
//!
//! ```text
//!  before: 1, 2, 3 ─▶ (sync, freeze, read, thaw) ─▶ after: 3, 2, 1
//! ```
//!
//! All that starts a process, waits or speaks happens outside the freeze. Each application has a limit; what is not
//! done by then is killed. The after half of each runs whatever became of its before half and of the freeze.
//!
//! If this process is killed in between, scripts are not called any more; database sessions end with the pipe to their
//! client, and the servers give up what these held, after a time of their own even if the client hangs.
//!
//! Never knows: how file systems are frozen, or where reports are kept.

mod address;
mod database;
mod mariadb;
mod postgres;
mod program;
mod script;
mod session;

use std::path::PathBuf;
use std::time::Duration;

pub use address::AddressError;
pub use mariadb::MariaDb;
pub use postgres::PostgreSql;
pub use script::{Invocation, Script};

/// Something to be told of a freeze.
pub trait Application {
    /// Makes it ready. Ends in bounded time.
    fn before(&mut self) -> Report;

    /// Lets it go on. Called once after each [`Application::before`], whatever that said. Ends in bounded time. `None`
    /// if there was nothing to do.
    fn after(&mut self, end: End) -> Option<Report>;
}

/// What became of the freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was read is of one time.
    Kept,
    /// There is no point.
    Discarded,
}

/// One half of one application's part, for the point's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which application.
    pub application: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was quiesced or let go, in a few words; empty if nothing.
    pub what: String,
    /// What its programs said: at most the last 16 KiB of it.
    pub output: String,
    /// Where its data lies. What is not on file systems that are frozen together is not of one time.
    pub folders: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// It says why in a sentence.
    Failed(String),
    /// It was not done in time, and was killed.
    Late,
}

/// Applications that have been told of a freeze. Dropping it tells them that there is no point.
pub struct Quiet<'a> {
    applications: &'a mut [Box<dyn Application>],
    reports: Vec<Report>,
    over: bool,
}

impl<'a> Quiet<'a> {
    /// Tells all of them, in order. One that fails does not keep the others from being told: whether a point without it
    /// is worth having is for the caller to say, see [`Quiet::reports`].
    pub fn begin(applications: &'a mut [Box<dyn Application>]) -> Quiet<'a> {
        let mut quiet = Quiet { applications, reports: Vec::new(), over: false };
        for application in quiet.applications.iter_mut() {
            quiet.reports.push(application.before());
        }
        quiet
    }

    /// What they said so far, in the order of the applications.
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Lets all of them go on, in reverse order. To be called right after the thaw.
    pub fn end(mut self, end: End) -> Vec<Report> {
        self.release(end);
        std::mem::take(&mut self.reports)
    }

    fn release(&mut self, end: End) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        for application in self.applications.iter_mut().rev() {
            self.reports.extend(application.after(end));
        }
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.release(End::Discarded);
    }
}
