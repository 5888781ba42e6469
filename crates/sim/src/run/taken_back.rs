//! A run that the dice do not choose: a process dies while it commits, another builds on what is seen of that, and the power fails
//! while it does.
//!
//! What is seen is not what is safe. Who builds on it must make it safe first, or a power loss may take it back from under what
//! was built.
//!
//! Never knows: what a commit writes; whoever asks goes through all its changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_env::sim::objects::{Fault, SimObjects, When};
use backstay_vault::Vault;

use super::{Log, OTHER, Options, Report, Weather, World, failure_of};
use crate::Violation;
use crate::act::{Act, perform};
use crate::climate::Climate;
use crate::disk::{Disk, PAGE};
use crate::home::Bug;
use crate::model::Machine;
use crate::oracle::Depth;
use crate::ripe::{COST, MACHINE, PASSPHRASE, TUNING, VAULT};
use crate::tally::Tally;

/// Lets a process die at its change of the first number, counted from 1, while it makes a point; and lets the power fail at the
/// change of the second number of one that makes a point after it. Whether these changes are seen, and which of them the power
/// loss takes back, is for the seed to say. `None`: there were fewer changes.
pub fn taken_back(seed: u64, changes: (u64, u64), bug: Option<Bug>) -> Option<Report> {
    let log: Log = Arc::new(Mutex::new((Vec::new(), Tally::default())));
    let mut happened = true;
    let failure = failure_of(|| {
        let mut world = World::new(seed, Options { bug, witness: 0 }, log.clone())?;
        happened = world.take_back(changes)?;
        Ok(())
    });
    let (trace, tally) = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    happened.then_some(Report { seed, trace, tally, failure })
}

impl World {
    /// Whether all of it happened.
    fn take_back(&mut self, (death, loss): (u64, u64)) -> Result<bool, Violation> {
        (self.climate, self.early_sight, self.index) = (Climate::Fair, true, None);
        self.home = SimObjects::seeded(self.dice.roll());
        self.home.set_faults(self.faults());
        let machine = |name| Machine::new(name, vec![Disk::new("sda", 16 * PAGE, 16 * PAGE)], BTreeMap::new());
        self.machines = [MACHINE, OTHER].map(machine).into();
        let made = Vault::create_with(&self.seams(&self.home), VAULT, PASSPHRASE, COST);
        made.map_err(|e| Violation(format!("init: {e:?}")))?;
        for which in 0..2 {
            let protect = self.changed(which)?;
            self.alone(protect)?;
        }
        let died = |fault: &Fault| matches!(fault, Fault::Killed { .. });
        let failed = |fault: &Fault| matches!(fault, Fault::PowerLoss);
        if !self.ends(0, Weather::Kill, death, died)? || !self.ends(1, Weather::PowerLoss, loss, failed)? {
            return Ok(false);
        }
        self.restart();
        self.take_log();
        self.examine(Depth::All, false)?;
        Ok(true)
    }

    /// A point to be made of a machine that was written to.
    fn changed(&mut self, which: usize) -> Result<Act, Violation> {
        self.machines[which].disks[0].scribble(&mut self.dice, &[])?;
        Ok(Act::Protect(self.prepare_all(which)?))
    }

    /// A process makes a point of a machine, and meanwhile this comes at a change of it. Whether it came.
    fn ends(
        &mut self,
        which: usize,
        what: Weather,
        change: u64,
        is_it: impl Fn(&Fault) -> bool,
    ) -> Result<bool, Violation> {
        let protect = self.changed(which)?;
        let process = self.home.another_process();
        let vault = Vault::open(self.seams(&process), VAULT, PASSPHRASE);
        let vault = vault.map_err(|e| Violation(format!("open: {e:?}")))?.with_tuning(TUNING);
        let when = When::Change(self.home.changes() + change);
        match what {
            Weather::PowerLoss => self.home.lose_power_at(when),
            _ => process.kill_at(when),
        }
        let done = vec![perform(&vault, &protect)];
        let came = self.home.log().iter().any(|injected| is_it(&injected.fault));
        self.take_log();
        self.judge(what, false, &done)?;
        self.keep_track(false, &done)?;
        self.apply(done)?;
        Ok(came)
    }
}
