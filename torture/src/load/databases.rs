//! What both databases have in common: a client that commits numbered transactions and notes when each was acknowledged.
//!
//! Never knows: which server it is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::fail::{During, Fail, Result};
use crate::tools::{Running, Stop, now};

/// When each transaction was begun and acknowledged; the first has the number 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits(Arc<Mutex<Vec<(i64, i64)>>>);

impl Commits {
    /// The last number that a point of this time must have, and the last it can have.
    pub(crate) fn bounds(&self, at: i64) -> (u64, u64) {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let acknowledged = times.partition_point(|(_, acknowledged)| *acknowledged < at);
        let begun = times.partition_point(|(begun, _)| *begun < at);
        // The one after the last that is noted may be under way.
        let possible = if begun == times.len() { begun + 1 } else { begun };
        (acknowledged as u64, possible as u64)
    }

    /// # Errors
    /// A last number that cannot be.
    pub(crate) fn judge(&self, at: i64, last: u64) -> Result<()> {
        let (least, most) = self.bounds(at);
        match (least..=most).contains(&last) {
            true => Ok(()),
            false => Err(Fail::new(format!(
                "transaction {last} is the last; {least} was acknowledged before the freeze, and {most} begun"
            ))),
        }
    }
}

/// Commits one transaction after the other.
pub(crate) struct Committer {
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Committer {
    /// `transaction` makes the statements that commit a number and then print it on a line.
    ///
    /// # Errors
    /// The client cannot be started.
    pub(crate) fn start(client: &mut Command, transaction: fn(u64) -> String) -> Result<(Committer, Commits)> {
        let mut client = Running::start_piped(client.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (input, output) = (client.child().stdin.take(), client.child().stdout.take());
        let (Some(mut input), Some(output)) = (input, output) else { return Err(Fail::new("no pipes")) };
        let (stop, commits) = (Stop::default(), Commits::default());
        let (asked, noted) = (stop.clone(), commits.clone());
        let work = move || {
            let (_client, mut lines) = (client, BufReader::new(output).lines());
            for number in 1.. {
                if asked.asked() {
                    break;
                }
                let begun = now();
                writeln!(input, "{}", transaction(number)).during("telling the client")?;
                let answer = lines.next().ok_or_else(|| Fail::new("the client ended"))?.during("the client")?;
                let acknowledged = now();
                if answer != number.to_string() {
                    return Err(Fail::new(format!("the client answered {answer:?} to {number}")));
                }
                noted.0.lock().unwrap_or_else(PoisonError::into_inner).push((begun, acknowledged));
            }
            Ok(())
        };
        Ok((Committer { stop, thread: Some(std::thread::spawn(work)) }, commits))
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) { self.stop() } else { Ok(()) }
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        self.stop.ask();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(ended) => ended.unwrap_or_else(|_| Err(Fail::new("the thread of a client died"))),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_point_may_have() {
        let commits = Commits(Arc::new(Mutex::new(vec![(10, 20), (30, 40), (50, 60)])));
        assert_eq!(commits.bounds(10), (0, 0));
        assert_eq!(commits.bounds(15), (0, 1));
        assert_eq!(commits.bounds(45), (2, 2));
        assert_eq!(commits.bounds(70), (3, 4));
        assert!(commits.judge(45, 1).is_err() && commits.judge(45, 2).is_ok() && commits.judge(45, 3).is_err());
    }
}
