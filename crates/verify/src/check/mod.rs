//! Walking everything in a vault, and saying what does not hold.
//!
//! Never knows: how to repair. Each module below walks one kind of thing and
//! trusts none of the others.

mod chain;
mod history;
mod packs;
mod rows;
mod small;
mod spans;
mod timeline;

use crate::reader::Reader;
use crate::report::Report;

impl Reader {
    /// Walks everything that the format pages describe: every small object in
    /// both copies, the chain of both ledgers, every row, every pack with
    /// each frame and chunk, every run in both copies, and what they say of
    /// each other. Reads every byte of every pack.
    ///
    /// Does not say who is right when two things contradict each other.
    pub fn check(&self) -> Report {
        let mut report = Report { findings: self.opened.findings.clone(), ..Report::default() };
        small::check(self, &mut report);
        chain::check(self, &mut report);
        rows::check(self, &mut report);
        packs::check(self, &mut report);
        spans::check(self, &mut report);
        timeline::check(self, &mut report);
        let mut seen = std::collections::BTreeSet::new();
        report.findings.retain(|finding| seen.insert(finding.clone()));
        report
    }
}
