//! Programs of the user's that are run before and after a freeze.
//!
//! Never knows: what they do.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use super::program::{Ended, Tail, run};
use super::{Application, End, Outcome, Report};

/// A program, its arguments as given, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    argv: Vec<OsString>,
    limit: Duration,
}

impl Invocation {
    /// Runs a program with no shell in between. `None` if there is no program.
    pub fn new(argv: Vec<OsString>, limit: Duration) -> Option<Invocation> {
        argv.first().is_some_and(|program| !program.is_empty()).then_some(Invocation { argv, limit })
    }

    /// Has a text carried out by `/bin/sh`.
    pub fn shell(text: impl Into<OsString>, limit: Duration) -> Invocation {
        Invocation { argv: vec!["/bin/sh".into(), "-c".into(), text.into()], limit }
    }
}

/// Programs for before and after.
///
/// They find `BACKSTAY_WHEN` (`before`, `after`) in their environment, and afterwards `BACKSTAY_POINT` (`kept`,
/// `discarded`). A status other than 0 is a failure. What they leave in the background is left alone, unless their time
/// is over: then the whole process group is killed.
pub struct Script {
    name: String,
    before: Option<Invocation>,
    after: Option<Invocation>,
}

impl Script {
    /// A pair of programs, of which either may be missing.
    pub fn new(name: impl Into<String>, before: Option<Invocation>, after: Option<Invocation>) -> Script {
        Script { name: name.into(), before, after }
    }

    fn run(&self, invocation: &Invocation, environment: &[(&str, &str)]) -> Report {
        let (begun, mut said) = (Instant::now(), Tail::default());
        let mut command = Command::new(&invocation.argv[0]);
        command.args(&invocation.argv[1..]).envs(environment.iter().copied());
        let program = invocation.argv[0].to_string_lossy();
        let outcome = match run(&mut command, begun + invocation.limit, &mut said) {
            Ok(Ended::Exit(status)) if status.success() => Outcome::Done,
            Ok(Ended::Exit(status)) => Outcome::Failed(format!("`{program}` ended with {status}")),
            Ok(Ended::Late) => Outcome::Late,
            Err(e) => Outcome::Failed(format!("`{program}` could not be run: {e}")),
        };
        let what = if outcome == Outcome::Done { format!("`{program}` was run") } else { String::new() };
        let (application, output) = (self.name.clone(), said.text());
        Report { application, outcome, what, output, folders: Vec::new(), took: begun.elapsed() }
    }
}

impl Application for Script {
    fn before(&mut self) -> Report {
        match &self.before {
            Some(invocation) => self.run(invocation, &[("BACKSTAY_WHEN", "before")]),
            None => Report {
                application: self.name.clone(),
                outcome: Outcome::Done,
                what: String::new(),
                output: String::new(),
                folders: Vec::new(),
                took: Duration::ZERO,
            },
        }
    }

    fn after(&mut self, end: End) -> Option<Report> {
        let point = if end == End::Kept { "kept" } else { "discarded" };
        let invocation = self.after.as_ref()?;
        Some(self.run(invocation, &[("BACKSTAY_WHEN", "after"), ("BACKSTAY_POINT", point)]))
    }
}
