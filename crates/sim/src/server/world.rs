//! One run: rounds of troubles, and one without; the oracle after each of them.
//!
//! Never knows: what happens inside a round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_env::objects::Objects;
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::net::{LinkFaults, Net};
use backstay_env::sim::objects::{Faults, SimObjects};
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_intake::Intake;
use backstay_vault::{Seams, Vault};

use super::agent::{Agent, Trace};
use super::gate::{End, Gate};
use super::round::{Log, Server, play};
use crate::disk::{Disk, PAGE};
use crate::home::Bug;
use crate::model::Machine;
use crate::oracle::{Depth, Look, quiet_copy};
use crate::ripe::{COST, PASSPHRASE, TUNING, VAULT};
use crate::run::{Options, Report, failure_of};
use crate::tally::Tally;
use crate::{Violation, climate::Harm, witness};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const HOSTILE: &str = "mallory";
const DAY: i64 = 86_400_000_000_000;
/// After all troubles, a point is made within so many attempts: one that compares, one that follows.
const PATIENT: u64 = 3;

/// Runs a seed. Panics of the code under test are failures of the run, not of the caller.
pub fn run(seed: u64, options: &Options) -> Report {
    let trace = Trace::default();
    let tally = Mutex::new(Tally::default());
    let failure = failure_of(|| World::new(seed, *options, (trace.clone(), &tally))?.live());
    let trace = std::mem::take(&mut *trace.lock().unwrap_or_else(PoisonError::into_inner));
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Report { seed, trace, tally, failure }
}

struct World<'t> {
    seed: u64,
    options: Options,
    dice: Dice,
    home: SimObjects,
    clock: Arc<SimClock>,
    random: Arc<SimRandom>,
    agents: Vec<Agent>,
    machines: Vec<Machine>,
    trace: Trace,
    tally: &'t Mutex<Tally>,
}

/// What is planned for a round.
#[derive(Debug)]
struct Plan {
    /// The server's process ends at this operation of its own.
    end: Option<(u64, End)>,
    /// It ends at this message.
    down_at: Option<u64>,
    links: LinkFaults,
    /// So many of a million operations fail.
    failed_ppm: u32,
    /// The disk is full from this change on, for so many.
    full: Option<(u64, u64)>,
}

impl Plan {
    const CALM: Plan =
        Plan { end: None, down_at: None, links: LinkFaults { cut_ppm: 0, deaf_ppm: 0 }, failed_ppm: 0, full: None };

    fn roll(dice: &mut Dice) -> Plan {
        let mut plan = Plan { links: LinkFaults { cut_ppm: 250_000, deaf_ppm: 100_000 }, ..Plan::CALM };
        let at = 1 + dice.below(300);
        match dice.below(10) {
            0..3 => {}
            3..5 => plan.end = Some((at, End::Killed)),
            5..8 => plan.end = Some((at, End::PowerLost)),
            _ => plan.down_at = Some(1 + dice.below(120)),
        }
        let (from, length, power) = (1 + dice.below(30), 1 + dice.below(8), dice.below(6));
        match dice.below(6) {
            0 => plan.full = Some((from, length)),
            1 => plan.failed_ppm = 1_000 << power,
            2 => plan.links = LinkFaults::default(),
            _ => {}
        }
        plan
    }

    fn is_harmless_at_start(&self) -> bool {
        self.end.is_none() && self.failed_ppm == 0 && self.full.is_none()
    }
}

impl World<'_> {
    fn new<'t>(seed: u64, options: Options, (trace, tally): (Trace, &'t Mutex<Tally>)) -> Result<World<'t>, Violation> {
        let mut dice = Dice::seeded(seed ^ 0x0a6e_0a6e_0a6e_0a6e);
        dice.roll();
        let home = SimObjects::seeded(dice.roll());
        let jumps_ppm = if dice.below(3) == 0 { 20_000 } else { 0 };
        let clock = Arc::new(SimClock::jumping(dice.roll(), jumps_ppm));
        let random = Arc::new(SimRandom::seeded(dice.roll()));
        let honest = 1 + dice.below(NAMES.len() as u64) as usize;
        let hostile = dice.below(2) == 0;
        let names = NAMES.into_iter().take(honest).map(|name| (name, false));
        let mut agents = Vec::new();
        for (name, is_lawless) in names.chain(hostile.then_some((HOSTILE, true))) {
            let disks = (0..1 + dice.below(2)).map(|n| {
                let size = 512 * (8 + dice.below(40 * PAGE / 512));
                Disk::new(["sda", "sdb"][n as usize], size, 64 * PAGE)
            });
            let disks = disks.collect();
            let own = (Dice::seeded(dice.roll()), options.bug, trace.clone());
            agents.push(Agent::new(name, disks, own, is_lawless));
        }
        let machine = |agent: &Agent| {
            let mut machine = Machine::new(&agent.name, Vec::new(), BTreeMap::new());
            machine.is_lawless = agent.is_lawless;
            machine
        };
        let machines = agents.iter().map(machine).collect();
        Ok(World { seed, options, dice, home, clock, random, agents, machines, trace, tally })
    }

    fn note(&self, line: String) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn count(&self, tally: Tally) {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) += tally;
    }

    fn live(&mut self) -> Result<(), Violation> {
        let seams = self.seams(Arc::new(self.home.clone()));
        Vault::create_with(&seams, VAULT, PASSPHRASE, COST).map_err(|e| Violation(format!("init: {e:?}")))?;
        for _ in 0..2 + self.dice.below(5) {
            let plan = Plan::roll(&mut self.dice);
            let attempts = 2 + self.dice.below(6);
            self.round(&plan, attempts)?;
            self.between();
            self.examine(Depth::Some, false)?;
        }
        self.end()
    }

    fn seams(&self, home: Arc<dyn Objects>) -> Seams {
        Seams { home: home.clone(), index_home: home, clock: self.clock.clone(), random: self.random.clone() }
    }

    /// One life of the server.
    fn round(&mut self, plan: &Plan, attempts: u64) -> Result<(), Violation> {
        self.note(format!("round: {plan:?}"));
        let net = Net::seeded(self.dice.roll());
        net.set_faults(plan.links);
        plan.down_at.into_iter().for_each(|message| net.go_down_at(message));
        if let Some((from, length)) = plan.full {
            let from = self.home.changes() + from;
            self.home.no_space_during(from..from + length);
        }
        self.home.set_faults(Faults { failed_ppm: plan.failed_ppm, ..Faults::default() });
        let early = self.options.bug == Some(Bug::AcknowledgesEarly);
        let gate = Arc::new(Gate::new(self.home.another_process(), net.clone(), plan.end, early));
        let opened = Vault::open(self.seams(gate.clone()), VAULT, PASSPHRASE);
        let outcome = match opened {
            Ok(vault) => self.serve(&net, vault.with_tuning(TUNING), attempts),
            Err(error) if plan.is_harmless_at_start() => {
                Err(Violation(format!("the server does not start: {error:?}")))
            }
            Err(error) => {
                self.note(format!("  the server does not start: {error}"));
                Ok(())
            }
        };
        let (counts, is_down) = (net.counts(), net.is_down());
        self.count(Tally {
            steps: 1,
            messages: counts.messages,
            links_cut: counts.cuts,
            messages_swallowed: counts.swallowed,
            patience_lost: counts.timeouts,
            servers_dead: u64::from(is_down),
            ..Tally::default()
        });
        self.home.no_space_during(0..0);
        self.home.set_faults(Faults::default());
        let power = plan.end.is_some_and(|(_, end)| end == End::PowerLost) && is_down;
        if power || self.dice.below(6) == 0 {
            self.note("the power fails".into());
            self.home = self.home.restart();
        }
        if let Some(key) = gate.not_kept() {
            self.home.delete(&key).map_err(|e| Violation(format!("the home failed: {e}")))?;
        }
        outcome?;
        if counts.stuck > 0 {
            return Err(Violation("both ends of a sound link waited for each other".into()));
        }
        self.take_over()
    }

    fn serve(&mut self, net: &Net, vault: Vault, attempts: u64) -> Result<(), Violation> {
        let intake = Intake::new(self.clock.clone(), 64);
        let (watch, wrong) = (Log(self.trace.clone()), Mutex::default());
        let names: Vec<String> = self.agents.iter().map(|agent| agent.name.clone()).collect();
        let server = Server {
            net,
            vault: &vault,
            intake: &intake,
            watch: &watch,
            bug: self.options.bug,
            wrong: &wrong,
            names: &names,
        };
        let tally = play(&server, &mut self.agents, attempts);
        self.count(tally);
        let wrong = std::mem::take(&mut *wrong.lock().unwrap_or_else(PoisonError::into_inner));
        wrong.into_iter().next().map_or(Ok(()), Err)
    }

    /// Takes what agents were told over into the model.
    fn take_over(&mut self) -> Result<(), Violation> {
        let mut tally = Tally::default();
        for (agent, machine) in self.agents.iter_mut().zip(&mut self.machines) {
            machine.pauses.lose_track();
            tally.points_made += agent.told.len() as u64;
            tally.points_in_doubt += agent.doubts.len() as u64;
            tally.learned_later += std::mem::take(&mut agent.learned_later);
            let (told, doubts) = (std::mem::take(&mut agent.told), std::mem::take(&mut agent.doubts));
            if machine.is_lawless {
                continue;
            }
            machine.doubts.extend(doubts);
            machine.doubts.extend(agent.unanswered_shot());
            told.into_iter().try_for_each(|(number, shot)| machine.made(number, shot))?;
        }
        self.count(tally);
        Ok(())
    }

    /// What happens while no server runs.
    fn between(&mut self) {
        if self.dice.below(4) == 0 {
            let days = self.dice.below(800) as i64 - 400;
            self.note(format!("the server's clock jumps by {days} days"));
            self.clock.advance(days * DAY);
        }
        for agent in &self.agents {
            if self.dice.below(6) == 0 {
                agent.clock.advance((self.dice.below(800) as i64 - 400) * DAY);
            }
        }
    }

    fn examine(&mut self, depth: Depth, settled: bool) -> Result<(), Violation> {
        let mut tally = Tally::default();
        let home = quiet_copy(&self.home);
        let mut look = Look { home, harm: Harm::default(), depth, dice: &mut self.dice, tally: &mut tally, settled };
        let outcome = look.examine(&mut self.machines);
        self.count(tally);
        outcome
    }

    /// The end of all troubles.
    fn end(&mut self) -> Result<(), Violation> {
        self.agents.iter_mut().for_each(|agent| agent.is_calm = true);
        let before: Vec<usize> = self.machines.iter().map(|machine| machine.points.len()).collect();
        self.round(&Plan::CALM, PATIENT)?;
        for ((agent, machine), before) in self.agents.iter().zip(&self.machines).zip(before) {
            let newest = machine.points.last_key_value().map(|(_, known)| &known.shot);
            let caught_up = machine.points.len() > before && newest.is_some_and(|shot| **shot == agent.shot());
            if !agent.is_lawless && !caught_up {
                return Err(Violation(format!("machine {} did not catch up after all troubles", agent.name)));
            }
        }
        self.examine(Depth::All, true)?;
        let operations = self.home.operations();
        self.count(Tally { runs: 1, operations, ..Tally::default() });
        if self.options.witness > 0 && self.seed.is_multiple_of(self.options.witness) {
            self.count(Tally { witnessed: 1, ..Tally::default() });
            witness::judge(&quiet_copy(&self.home), &self.machines, true)?;
        }
        Ok(())
    }
}
