//! One run: a world made from a seed, steps that the dice choose, and the oracle after each of them.
//!
//! Never knows: what is right (the oracle does).

mod follow;
mod taken_back;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_env::objects::{Key, Objects as _};
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::objects::{Fault, Faults, Process, SimObjects, When};
use backstay_env::sim::random::{Dice, SimRandom};
use backstay_vault::{Seams, Vault, VaultError};

use crate::act::{Act, Done, Drop, Prepared, perform};
use crate::climate::{Climate, Harm};
use crate::disk::{Disk, PAGE, Shot};
use crate::follow::Followed;
use crate::home::{Bug, home};
use crate::model::{Effect, Known, Machine};
use crate::oracle::{Depth, Look, quiet_copy};
use crate::ripe::{COST, DISK, MACHINE, MOST, PASSPHRASE, TUNING, VAULT, ripe};
use crate::tally::Tally;
use crate::{Violation, witness};

pub use taken_back::taken_back;

/// What to do beside running.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A bug to plant: the oracle must catch it.
    pub bug: Option<Bug>,
    /// Let the independent reader judge one run in so many; 0: none.
    pub witness: u64,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What was done, line by line. The same seed gives the same lines.
    pub trace: Vec<String>,
    /// How much was done.
    pub tally: Tally,
    /// Why the run is red; `None`: it is green.
    pub failure: Option<String>,
}

/// Runs a seed. Panics of the code under test are failures of the run, not of the caller.
pub fn run(seed: u64, options: &Options) -> Report {
    let log = Arc::new(Mutex::new((Vec::new(), Tally::default())));
    let failure = failure_of(|| World::new(seed, *options, log.clone())?.live());
    let (trace, tally) = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    Report { seed, trace, tally, failure }
}

/// Why something is red, if it is; panics of the code under test included.
pub(crate) fn failure_of(work: impl FnOnce() -> Result<(), Violation>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => None,
        Ok(Err(Violation(what))) => Some(what),
        Err(panic) => Some(panic_text(&*panic)),
    }
}

/// A panic of the code under test, in words.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    format!("panic: {}", text.unwrap_or_default())
}

type Log = Arc<Mutex<(Vec<String>, Tally)>>;

/// What is planned for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Calm,
    PowerLoss,
    Kill,
    FullDisk,
    Failures,
}

impl Weather {
    fn roll(dice: &mut Dice) -> Weather {
        match dice.below(100) {
            0..50 => Weather::Calm,
            50..68 => Weather::PowerLoss,
            68..80 => Weather::Kill,
            80..88 => Weather::FullDisk,
            _ => Weather::Failures,
        }
    }
}

struct World {
    dice: Dice,
    options: Options,
    seed: u64,
    climate: Climate,
    early_sight: bool,
    home: SimObjects,
    /// Where the dedup index is, if the home is not on this machine.
    index: Option<SimObjects>,
    clock: Arc<SimClock>,
    random: Arc<SimRandom>,
    machines: Vec<Machine>,
    /// Processes that live from step to step, what they know with them.
    vaults: [Option<(SimObjects, Vault)>; 2],
    /// Machines that are followed, by their place in the list.
    followed: BTreeMap<usize, Followed>,
    /// What was captured, or was to be.
    past: Vec<Arc<Shot>>,
    harm: Harm,
    logged: usize,
    /// Objects of packs after the last step.
    pack_objects: usize,
    log: Log,
}

const OTHER: &str = "beta";
/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

impl World {
    fn new(seed: u64, options: Options, log: Log) -> Result<World, Violation> {
        let mut dice = Dice::seeded(seed ^ 0x5eed_5eed_5eed_5eed);
        dice.roll();
        let climate = Climate::choose(&mut dice);
        let remote = dice.below(4) == 0;
        let early_sight = !remote && dice.below(2) == 0;
        let mut home = SimObjects::seeded(dice.roll());
        let jumps_ppm = if dice.below(4) == 0 { 20_000 } else { 0 };
        if remote {
            home = home.remote();
        }
        let world = World {
            options,
            seed,
            climate,
            early_sight,
            home,
            index: remote.then(|| SimObjects::seeded(dice.roll())),
            clock: Arc::new(SimClock::jumping(dice.roll(), jumps_ppm)),
            random: Arc::new(SimRandom::seeded(dice.roll())),
            machines: Vec::new(),
            vaults: [None, None],
            followed: BTreeMap::new(),
            past: Vec::new(),
            harm: Harm::default(),
            logged: 0,
            pack_objects: 0,
            log,
            dice,
        };
        world.note(format!("{climate:?}, remote: {remote}, early sight: {early_sight}, jumps: {jumps_ppm} ppm"));
        Ok(world)
    }

    fn note(&self, line: String) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).0.push(line);
    }

    fn tally(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner).1);
    }

    fn live(&mut self) -> Result<(), Violation> {
        self.tally(|t| t.runs += 1);
        match self.dice.below(8) {
            0..3 => self.be_born()?,
            which => self.take_over(which)?,
        }
        let steps = 4 + self.dice.below(10);
        for _ in 0..steps {
            self.step()?;
            if self.harm.ledger {
                self.tally(|t| t.ledgers_lost += 1);
                break;
            }
        }
        let outcome = self.end();
        let operations = self.home.operations();
        self.tally(|t| t.operations += operations);
        outcome
    }

    /// Makes a store; the power may fail meanwhile.
    fn be_born(&mut self) -> Result<(), Violation> {
        self.add_machines(0);
        loop {
            let crash = self.dice.below(4) == 0;
            if crash {
                self.home.lose_power_at(When::Operation(self.home.operations() + 1 + self.dice.below(9)));
            }
            let made = Vault::create_with(&self.seams(&self.home), VAULT, PASSPHRASE, COST);
            self.note(format!("init: {:?}", made.as_ref().err()));
            let done = made.is_ok();
            if crash {
                self.restart();
            } else if let Err(error) = made {
                // An init that failed may have been complete all the same.
                let complete = matches!(error, VaultError::StoreExists);
                return if complete { Ok(()) } else { Err(Violation(format!("init: {error:?}"))) };
            }
            if done {
                return Ok(());
            }
        }
    }

    /// Takes a store with a history.
    fn take_over(&mut self, which: u64) -> Result<(), Violation> {
        let ripe = ripe(which)?;
        for (key, body) in &ripe.objects {
            self.home.put(key, &[body]).map_err(|e| Violation(format!("the home failed: {e}")))?;
        }
        self.note(format!("a store with {} points", ripe.shots.len()));
        let points = ripe.shots.iter().zip(1..).map(|(shot, number)| (number, Known::certain(shot.clone())));
        let disks = vec![Disk::holding(DISK, &ripe.image, MOST)?];
        let old = Machine::new(MACHINE, disks, points.collect());
        self.machines.push(old);
        self.add_machines(1);
        Ok(())
    }

    fn add_machines(&mut self, have: usize) {
        for name in [MACHINE, OTHER].into_iter().skip(have).take(1 + self.dice.below(2) as usize) {
            let large = self.dice.below(12) == 0;
            let most = if large { 200 * PAGE } else { 40 * PAGE };
            let disks = (0..1 + self.dice.below(2)).map(|n| {
                let size = 512 * (8 + self.dice.below(most / 512 - 8));
                Disk::new(["sda", "sdb"][n as usize], size, most)
            });
            let machine = Machine::new(name, disks.collect(), BTreeMap::new());
            self.machines.push(machine);
        }
    }

    fn seams(&self, process: &SimObjects) -> Seams {
        let shared = home(process.clone(), self.options.bug);
        let index_home = self.index.as_ref().map_or(shared.clone(), |index| Arc::new(index.another_process()));
        Seams { home: shared, index_home, clock: self.clock.clone(), random: self.random.clone() }
    }

    fn faults(&self) -> Faults {
        self.climate.faults(self.early_sight)
    }

    fn restart(&mut self) {
        self.vaults = [None, None];
        // What the kernel marked is gone.
        self.followed.values_mut().for_each(Followed::give_up);
        self.home = self.home.restart();
        self.index = self.index.as_ref().map(SimObjects::restart);
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.tally(|t| t.steps += 1);
        self.scribble()?;
        let weather = Weather::roll(&mut self.dice);
        let two = self.dice.below(10) < 3;
        self.note(format!("step: {weather:?}{}", if two { ", two processes" } else { "" }));
        self.begin(weather);
        let done = if two { self.two_processes(weather)? } else { self.one_process(weather)? };
        self.home.no_space_during(0..0);
        self.home.set_faults(Faults { early_sight: self.early_sight, ..Faults::default() });
        if weather == Weather::PowerLoss {
            self.restart();
        }
        self.take_log();
        let settled =
            weather == Weather::Calm && !two && done.iter().any(|d| matches!(d.effect, Some(Effect::Made(..))));
        self.judge(weather, two, &done)?;
        self.count_bundles(&done)?;
        self.keep_track(two, &done)?;
        self.apply(done)?;
        let depth = if weather == Weather::PowerLoss && self.dice.below(3) == 0 { Depth::All } else { Depth::Some };
        self.examine(depth, settled)
    }

    /// Many objects of packs fewer, and nothing reclaimed: packs were put together.
    fn count_bundles(&mut self, done: &[Done]) -> Result<(), Violation> {
        let objects = self.home_names()?.iter().filter(|name| name.starts_with("vault/main/pack/")).count();
        let reclaimed = done.iter().any(|d| d.what == "reclaim");
        if objects + 32 < self.pack_objects && !reclaimed {
            self.tally(|t| t.bundles += 1);
        }
        self.pack_objects = objects;
        Ok(())
    }

    fn begin(&mut self, weather: Weather) {
        let mut faults = self.faults();
        match weather {
            Weather::PowerLoss => {
                let when = match self.dice.below(2) {
                    0 => When::Operation(self.home.operations() + 1 + self.dice.below(150)),
                    _ => When::Change(self.home.changes() + 1 + self.dice.below(16)),
                };
                self.home.lose_power_at(when);
            }
            Weather::FullDisk => {
                let from = self.home.changes() + 1 + self.dice.below(8);
                self.home.no_space_during(from..from + 1 + self.dice.below(6));
            }
            Weather::Failures => faults.failed_ppm = 1_000 << self.dice.below(7),
            Weather::Calm | Weather::Kill => {}
        }
        self.home.set_faults(faults);
    }

    fn kill(&mut self) -> When {
        match self.dice.below(2) {
            0 => When::Operation(self.home.operations() + 1 + self.dice.below(120)),
            _ => When::Change(self.home.changes() + 1 + self.dice.below(12)),
        }
    }

    fn scribble(&mut self) -> Result<(), Violation> {
        for _ in 0..self.dice.below(4) {
            let other = self.some_content();
            let to = self.dice.below(self.machines.len() as u64) as usize;
            let disk = self.dice.below(self.machines[to].disks.len() as u64) as usize;
            let what = self.machines[to].disks[disk].scribble(&mut self.dice, &other)?;
            self.note(format!("  {}: {what}", self.machines[to].name));
        }
        if self.dice.below(12) == 0 {
            let nanoseconds = self.dice.below(4 * 86_400_000_000_000) as i64 - 86_400_000_000_000;
            self.clock.advance(nanoseconds);
            self.note(format!("  the clock jumps by {nanoseconds} ns"));
        }
        Ok(())
    }

    /// What a disk holds, or held once: content that was dropped comes back.
    fn some_content(&mut self) -> Vec<u8> {
        if self.dice.below(2) == 0 || self.past.is_empty() {
            let from = self.dice.below(self.machines.len() as u64) as usize;
            return self.machines[from].disks[0].image().to_vec();
        }
        let shot = &self.past[self.dice.below(self.past.len() as u64) as usize];
        shot.0.first().map_or(Vec::new(), |disk| disk.bytes.clone())
    }

    fn one_process(&mut self, weather: Weather) -> Result<Vec<Done>, Violation> {
        let slot = self.dice.below(2) as usize;
        if self.dice.below(4) == 0 {
            self.vaults[slot] = None;
        }
        if self.vaults[slot].is_none() {
            let process = self.home.another_process();
            match Vault::open(self.seams(&process), VAULT, PASSPHRASE) {
                Ok(vault) => self.vaults[slot] = Some((process, vault.with_tuning(TUNING))),
                Err(error) if weather != Weather::Calm && weather != Weather::Kill => {
                    self.note(format!("  open: {error}"));
                    return Ok(Vec::new());
                }
                Err(error) if self.harm.is_none() => return Err(Violation(format!("open: {error:?}"))),
                Err(error) => {
                    self.note(format!("  open: {error}"));
                    return Ok(Vec::new());
                }
            }
        }
        let acts = self.acts()?;
        let when = self.kill();
        let Some((process, vault)) = &self.vaults[slot] else { return Ok(Vec::new()) };
        if weather == Weather::Kill {
            process.kill_at(when);
        }
        let mut done: Vec<Done> = acts.iter().map(|act| perform(vault, act)).collect();
        if self.dice.below(4) == 0 {
            done.extend(self.follow_for_a_while(slot)?);
        }
        if self.dice.below(10) == 0 {
            done.extend(self.burst(slot)?);
        }
        if weather == Weather::Kill {
            self.vaults[slot] = None;
            self.followed.values_mut().for_each(Followed::process_died);
        }
        Ok(done)
    }

    /// Many points, one after the other.
    fn burst(&mut self, slot: usize) -> Result<Vec<Done>, Violation> {
        let mut done = Vec::new();
        for _ in 0..4 + self.dice.below(20) {
            self.machines[0].disks[0].scribble(&mut self.dice, &[])?;
            let protect = Act::Protect(self.prepare(0)?);
            let Some((_, vault)) = &self.vaults[slot] else { return Ok(done) };
            done.push(perform(vault, &protect));
            done.push(perform(vault, &Act::Settle(self.machines[0].name.clone())));
        }
        Ok(done)
    }

    fn two_processes(&mut self, weather: Weather) -> Result<Vec<Done>, Violation> {
        let mut acts = [self.acts()?, self.acts()?];
        let following = if self.dice.below(2) == 0 { self.planned_following()? } else { None };
        let followed = following.map(|(which, act)| {
            acts[0].insert(self.dice.below(acts[0].len() as u64 + 1) as usize, act);
            which
        });
        let kill = (weather == Weather::Kill).then(|| self.kill());
        let mut kills = [kill, None].into_iter();
        let process = |acts: Vec<Act>| -> Process<'_, Vec<Done>> {
            let (this, kill) = (&*self, kills.next().flatten());
            let (bug, clock, random) = (this.options.bug, this.clock.clone(), this.random.clone());
            let index = this.index.as_ref().map(SimObjects::another_process);
            Box::new(move |process: SimObjects| {
                if let Some(when) = kill {
                    process.kill_at(when);
                }
                let home = home(process, bug);
                let index_home = index.map_or(home.clone(), |index| Arc::new(index));
                let seams = Seams { home, index_home, clock, random };
                match Vault::open(seams, VAULT, PASSPHRASE) {
                    Ok(vault) => {
                        let vault = vault.with_tuning(TUNING);
                        acts.iter().map(|act| perform(&vault, act)).collect()
                    }
                    Err(error) => vec![Done::unopened(error)],
                }
            })
        };
        let processes = acts.into_iter().map(process).collect();
        let mut done: Vec<Done> = self.home.interleave(processes).into_iter().flatten().collect();
        followed.into_iter().for_each(|which| self.planned_followed(which, weather, &mut done));
        self.tally(|t| t.acts_at_once += done.len() as u64);
        Ok(done)
    }

    fn acts(&mut self) -> Result<Vec<Act>, Violation> {
        (0..1 + self.dice.below(3)).map(|_| self.act()).collect()
    }

    fn act(&mut self) -> Result<Act, Violation> {
        let which = self.dice.below(self.machines.len() as u64) as usize;
        let name = self.machines[which].name.clone();
        Ok(match self.dice.below(100) {
            0..40 => Act::Protect(self.prepare(which)?),
            40..42 => Act::Cancelled(self.prepare(which)?),
            42..44 => self.vanishing(which)?,
            44..62 => Act::Forget(name, Drop::roll(&mut self.dice)),
            62..76 => Act::Settle(name),
            76..81 => Act::Consolidate(name),
            81..91 => Act::Reclaim,
            91..95 => Act::Suspend(name, SECOND << self.dice.below(17)),
            95..97 => Act::Resume(name),
            _ => Act::Check,
        })
    }

    /// A disk of its own that vanishes: others may be reading the machine's.
    fn vanishing(&mut self, which: usize) -> Result<Act, Violation> {
        let machine = &self.machines[which];
        let disk = Disk::holding(&machine.disks[0].name, machine.disks[0].image(), u64::MAX)?;
        let (mut ready, shot) = disk.ready(&mut self.dice)?;
        ready.used = vec![0..disk.image().len() as u64];
        // All of it has to be read.
        ready.excluded.clear();
        let shot = Arc::new(Shot(vec![shot]));
        Ok(Act::Vanishing(Prepared { machine: machine.name.clone(), disks: vec![ready], shot, every: 0 }))
    }

    fn prepare(&mut self, which: usize) -> Result<Prepared, Violation> {
        let count = if self.dice.below(10) == 0 { 1 } else { self.machines[which].disks.len() };
        self.prepare_some(which, count)
    }

    fn prepare_all(&mut self, which: usize) -> Result<Prepared, Violation> {
        self.prepare_some(which, self.machines[which].disks.len())
    }

    fn prepare_some(&mut self, which: usize, count: usize) -> Result<Prepared, Violation> {
        let machine = &self.machines[which];
        let (mut disks, mut shots) = (Vec::new(), Vec::new());
        for disk in &machine.disks[..count] {
            let (ready, shot) = disk.ready(&mut self.dice)?;
            disks.push(ready);
            shots.push(shot);
        }
        let (machine, shot) = (machine.name.clone(), Arc::new(Shot(shots)));
        let prepared = Prepared { machine, disks, shot, every: self.promise() };
        self.past.push(prepared.shot.clone());
        Ok(prepared)
    }

    /// Nanoseconds that a point says until the next one: it may be kept, or not.
    fn promise(&mut self) -> u64 {
        [0, SECOND, 20 * SECOND, 3600 * SECOND][self.dice.below(4) as usize]
    }

    /// Takes note of the faults that were injected.
    fn take_log(&mut self) {
        let log = self.home.log();
        for injected in &log[self.logged..] {
            self.note(format!("  fault: {injected:?}"));
            self.tally(|t| match injected.fault {
                Fault::PowerLoss => t.power_losses += 1,
                Fault::Killed { .. } => t.kills += 1,
                Fault::NoSpace { .. } => t.puts_without_space += 1,
                Fault::Failed { .. } => t.failed_operations += 1,
                Fault::Flipped { .. } => t.bits_flipped += 1,
                Fault::Misdirected { .. } => t.blocks_overwritten += 1,
                Fault::Torn { .. } => t.objects_torn += 1,
                Fault::Lost { .. } => t.puts_lost += 1,
                Fault::Undeleted { .. } => t.deletions_undone += 1,
                Fault::Unfinished { .. } | Fault::Tampered { .. } => {}
            });
        }
        self.harm.add(self.climate, &log[self.logged..]);
        self.logged = log.len();
    }

    /// Whether acts ended as they must.
    fn judge(&self, weather: Weather, two: bool, done: &[Done]) -> Result<(), Violation> {
        for act in done {
            let machine = act.machine.as_deref().unwrap_or("");
            let effect = act.effect.as_ref().map_or(String::new(), Effect::describe);
            self.note(format!(
                "  {} {machine}: {effect}{}",
                act.what,
                act.error.as_ref().map_or(String::new(), |e| format!("{e:?}"))
            ));
            if let Some(reclaimed) = act.reclaimed {
                self.tally(|t| {
                    t.packs_reclaimed += reclaimed.packs;
                    t.packs_shrunk += reclaimed.shrunk;
                    t.orphans_deleted += reclaimed.orphans;
                });
            }
            if !self.harm.copies && !act.found.is_empty() {
                return Err(Violation(format!("{} {machine}: {:?}", act.what, act.found)));
            }
            self.tally(|t| {
                t.followed += u64::from(act.what == "follow");
                t.images_compared += act.images;
                t.suspensions += u64::from(matches!(act.effect, Some(Effect::Suspended(_))));
            });
            let Some(error) = &act.error else { continue };
            if two && act.is_conflict() {
                self.tally(|t| t.conflicts += 1);
            } else if weather != Weather::Calm || !self.harm.is_none() {
                self.tally(|t| t.failed_acts += 1);
            } else {
                return Err(Violation(format!("{} {machine}: {error:?}", act.what)));
            }
        }
        Ok(())
    }

    /// Takes what became of acts over into what is known of promises, suspensions and gaps.
    fn keep_track(&mut self, two: bool, done: &[Done]) -> Result<(), Violation> {
        if two {
            self.machines.iter_mut().for_each(|machine| machine.pauses.lose_track());
            return Ok(());
        }
        for act in done {
            let Some(name) = &act.machine else { continue };
            let pauses = &mut self.machine(name)?.pauses;
            match (&act.error, &act.effect, act.moment) {
                (None, Some(Effect::Made(number, _)), Some(moment)) => pauses.made(*number, moment),
                (None, Some(Effect::Gone(numbers)), _) => pauses.dropped(numbers),
                (None, Some(Effect::Suspended(row)), _) => pauses.suspended(row),
                (None, Some(Effect::Resumed(row)), _) => pauses.resumed(row.as_ref()),
                (None, None, _) => {}
                _ => pauses.lose_track(),
            }
        }
        Ok(())
    }

    fn machine(&mut self, name: &str) -> Result<&mut Machine, Violation> {
        let found = self.machines.iter_mut().find(|m| m.name == name);
        found.ok_or_else(|| Violation(format!("there is no machine {name}")))
    }

    /// Takes what became of acts over into the model: what was made first, as another process may have dropped it.
    fn apply(&mut self, done: Vec<Done>) -> Result<(), Violation> {
        let is_made = |d: &Done| matches!(d.effect, Some(Effect::Made(..)));
        let (made, rest): (Vec<Done>, Vec<Done>) = done.into_iter().partition(is_made);
        for act in made.into_iter().chain(rest) {
            let (Some(name), Some(effect)) = (act.machine, act.effect) else { continue };
            self.tally(|t| match &effect {
                Effect::Made(..) => t.points_made += 1,
                Effect::MaybeMade(_) => t.points_in_doubt += 1,
                Effect::Gone(numbers) => t.points_dropped += numbers.len() as u64,
                Effect::MaybeGone(_) | Effect::Suspended(_) | Effect::Resumed(_) => {}
            });
            let machine = self.machine(&name)?;
            match effect {
                Effect::Made(number, shot) => machine.made(number, shot)?,
                Effect::MaybeMade(shot) => machine.doubts.push(shot),
                Effect::Gone(numbers) => machine.dropped(&numbers),
                Effect::MaybeGone(numbers) => machine.maybe_dropped(&numbers),
                Effect::Suspended(_) | Effect::Resumed(_) => {}
            }
        }
        Ok(())
    }

    fn examine(&mut self, depth: Depth, settled: bool) -> Result<(), Violation> {
        let mut tally = Tally::default();
        let mut look = Look {
            home: quiet_copy(&self.home),
            harm: self.harm,
            depth,
            dice: &mut self.dice,
            tally: &mut tally,
            settled,
        };
        let outcome = look.examine(&mut self.machines);
        self.tally(|t| *t += tally);
        outcome
    }

    /// The end of a run: all that is there is looked at, then everything goes and nothing may be left.
    fn end(&mut self) -> Result<(), Violation> {
        self.note("end".to_owned());
        if self.dice.below(2) == 0 {
            self.restart();
            self.take_log();
        }
        self.examine(Depth::All, false)?;
        let names = self.home_names()?;
        let states = names.iter().any(|name| name.starts_with("vault/main/ledger/state/"));
        self.tally(|t| t.runs_with_states += u64::from(states));
        if self.options.witness > 0 && self.seed.is_multiple_of(self.options.witness) && !self.harm.ledger {
            self.tally(|t| t.witnessed += 1);
            let found = witness::judge(&quiet_copy(&self.home), &self.machines, !self.harm.copies)?;
            found.iter().for_each(|line| self.note(format!("  verify: {line}")));
        }
        if self.harm.is_none() && self.options.bug.is_none_or(|b| b == Bug::DeletesNothing) {
            self.forget_all()?;
        }
        Ok(())
    }

    fn home_names(&self) -> Result<BTreeSet<String>, Violation> {
        let vault = Key::new("vault").ok_or_else(|| Violation("no key".into()))?;
        let listed = quiet_copy(&self.home).list(&vault).map_err(|e| Violation(format!("the home failed: {e}")))?;
        Ok(listed.into_iter().map(|l| l.key.as_str().to_owned()).collect())
    }

    fn forget_all(&mut self) -> Result<(), Violation> {
        let names: Vec<String> = self.machines.iter().map(|m| m.name.clone()).collect();
        let last = self.prepare(0)?;
        self.alone(Act::Protect(last.clone()))?;
        for name in names {
            self.alone(Act::Forget(name, Drop::All))?;
        }
        self.clock.advance(90 * 86_400_000_000_000);
        self.alone(Act::Reclaim)?;
        let packs = Key::new("vault/main/pack").ok_or_else(|| Violation("no key".into()))?;
        let left = quiet_copy(&self.home).list(&packs).map_err(|e| Violation(format!("the home failed: {e}")))?;
        if let Some(left) = left.first() {
            return Err(Violation(format!("everything was forgotten and reclaimed, and {} is left", left.key)));
        }
        self.alone(Act::Protect(last))?;
        self.examine(Depth::All, true)
    }

    /// Does something in a process of its own, without faults.
    fn alone(&mut self, act: Act) -> Result<(), Violation> {
        let process = self.home.another_process();
        let vault = Vault::open(self.seams(&process), VAULT, PASSPHRASE);
        let vault = vault.map_err(|e| Violation(format!("open: {e:?}")))?.with_tuning(TUNING);
        let done = vec![perform(&vault, &act)];
        self.judge(Weather::Calm, false, &done)?;
        self.keep_track(false, &done)?;
        self.apply(done)
    }
}
