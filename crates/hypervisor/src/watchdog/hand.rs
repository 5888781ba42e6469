//! What a watchdog does: let a guest go, and take away what is held of its disks.
//!
//! Never knows: when.

use std::time::{Duration, Instant};

use super::{Charge, PERSISTENCE, TRY};
use crate::agent::Agent;
use crate::{claim, leftovers};

/// How long the monitor may be held by the process that is gone.
const TAKING_OVER: Duration = Duration::from_secs(60);
/// Between two tries.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// What it does it with.
pub(super) struct Hand {
    pub(super) charge: Charge,
    /// Open while it answers.
    agent: Option<Agent>,
}

impl Hand {
    pub(super) fn new(charge: Charge) -> Hand {
        Hand { charge, agent: None }
    }

    /// The agent, if it answers.
    pub(super) fn agent(&mut self) -> Result<&mut Agent, String> {
        let Some(way) = &self.charge.agent else { return Err("there is no guest agent".into()) };
        if self.agent.is_none() {
            self.agent = Some(way.agent().map_err(|e| format!("the guest agent does not answer: {e}"))?);
        }
        self.agent.as_mut().ok_or_else(|| "there is no guest agent".into())
    }

    /// It did not answer as it should: the next to ask begins anew.
    pub(super) fn forget_agent(&mut self) {
        self.agent = None;
    }

    /// Tries once to let the guest go; how many file systems were still until now.
    pub(super) fn let_go(&mut self) -> Result<u64, String> {
        match self.agent()?.thaw(TRY) {
            Ok(count) => Ok(count),
            Err(error) => {
                // One that was heard to say no may say yes.
                if !error.is_refusal() {
                    self.forget_agent();
                }
                Err(error.to_string())
            }
        }
    }

    /// Lets the guest go, and does not give up soon.
    pub(super) fn let_go_at_last(&mut self) {
        let end = Instant::now() + PERSISTENCE;
        while self.let_go().is_err() && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
    }

    /// Takes away what the process that is gone held.
    pub(super) fn clean(&self) {
        let end = Instant::now() + TAKING_OVER;
        while !self.try_to_clean() && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
    }

    fn try_to_clean(&self) -> bool {
        let Ok(mut monitor) = self.charge.monitor.monitor() else { return false };
        leftovers::clean(monitor.as_mut(), &self.charge.prefix, &self.charge.folder).is_ok()
            && claim::sweep(monitor.as_mut(), &self.charge.claims).is_ok()
    }
}
