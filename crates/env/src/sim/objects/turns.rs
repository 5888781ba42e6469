//! Who may go next: several processes run so that only one at a time is between two operations, and the dice decide
//! which is next, so that one seed replays one interleaving.
//!
//! Never knows: what an operation does.

use std::collections::BTreeSet;

use crate::sim::random::Dice;

/// One operation that waits for its turn: the process, and a number that tells its operations apart.
pub(super) type Ticket = (u64, u64);

/// The turns of the processes that take part.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taking_part: BTreeSet<u64>,
    waiting: BTreeSet<Ticket>,
    granted: Option<Ticket>,
    tickets: u64,
}

impl Turns {
    pub(super) fn join(&mut self, process: u64) {
        self.taking_part.insert(process);
    }

    pub(super) fn leave(&mut self, process: u64, dice: &mut Dice) {
        self.taking_part.remove(&process);
        self.grant(dice);
    }

    /// Queues an operation. `None`: the process does not take turns.
    pub(super) fn queue(&mut self, process: u64, dice: &mut Dice) -> Option<Ticket> {
        self.taking_part.contains(&process).then(|| {
            self.tickets += 1;
            let ticket = (process, self.tickets);
            self.waiting.insert(ticket);
            self.grant(dice);
            ticket
        })
    }

    /// Takes the turn if it was granted to this operation.
    pub(super) fn take(&mut self, ticket: Ticket, dice: &mut Dice) -> bool {
        let mine = self.granted == Some(ticket);
        if mine {
            self.granted = None;
            self.grant(dice);
        }
        mine
    }

    /// Grants a turn once every process that takes part has come to an operation. A process with several threads
    /// counts as there with its first one: turns then still alternate, but no longer depend on the dice alone.
    fn grant(&mut self, dice: &mut Dice) {
        let there = |process: &u64| self.waiting.range((*process, 0)..=(*process, u64::MAX)).next().is_some();
        if self.granted.is_none() && !self.waiting.is_empty() && self.taking_part.iter().all(there) {
            let chosen = dice.below(self.waiting.len() as u64) as usize;
            self.granted = self.waiting.iter().nth(chosen).copied();
            self.granted.iter().for_each(|ticket| assert!(self.waiting.remove(ticket)));
        }
    }
}
