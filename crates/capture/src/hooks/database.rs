//! A database server around a freeze, whichever it is: made quiet through a session of its own client, and let go.
//!
//! Never knows: which statements do that.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::session::Fault;
use super::{Application, End, Outcome, Report};

/// A database server.
pub(super) trait Database {
    /// Which one, for people.
    fn name(&self) -> String;

    /// How long each half may take.
    fn limit(&self) -> Duration;

    /// Makes it quiet. What then is held open is let go by [`Database::release`].
    fn quiesce(&mut self, until: Instant) -> Result<Quiesced, Fault>;

    /// Lets go what is held; `None` if nothing is.
    fn release(&mut self, until: Instant) -> Option<Result<Released, Fault>>;
}

/// What was made quiet.
pub(super) struct Quiesced {
    /// In a few words.
    pub(super) what: String,
    /// What the client said besides.
    pub(super) said: String,
    /// Where the server's data lies.
    pub(super) folders: Vec<PathBuf>,
}

/// What was let go.
pub(super) struct Released {
    /// In a few words.
    pub(super) what: String,
    /// What of the answer is worth keeping with the point.
    pub(super) kept: String,
}

impl<D: Database> Application for D {
    fn before(&mut self) -> Report {
        let begun = Instant::now();
        match self.quiesce(begun + self.limit()) {
            Ok(Quiesced { what, said, folders }) => Report { what, output: said, folders, ..done(self, begun) },
            Err(fault) => Report { outcome: fault.outcome(), ..done(self, begun) },
        }
    }

    fn after(&mut self, _: End) -> Option<Report> {
        let begun = Instant::now();
        Some(match self.release(begun + self.limit())? {
            Ok(Released { what, kept }) => Report { what, output: kept, ..done(self, begun) },
            Err(fault) => Report { outcome: fault.outcome(), ..done(self, begun) },
        })
    }
}

fn done(database: &impl Database, begun: Instant) -> Report {
    let (application, took) = (database.name(), begun.elapsed());
    let (what, output, folders) = (String::new(), String::new(), Vec::new());
    Report { application, outcome: Outcome::Done, what, output, folders, took }
}
