//! Steps in which a machine is followed.
//!
//! Never knows: what is right (the oracle does).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backstay_env::sim::objects::SimObjects;
use backstay_env::time::Clock as _;
use backstay_format::rows::Consistency;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, InMaking, Progress, Verdict};
use backstay_vault::{Vault, VaultError};

use super::{Weather, World};
use crate::Violation;
use crate::act::{Act, Done, Outcome, perform, sources};
use crate::disk::Shot;
use crate::follow::{Followed, Turn, follow};
use crate::home::Bug;
use crate::model::Effect;
use crate::pauses::Moment;

impl World {
    /// Follows a machine for some points, while its disks are written to and others use the vault.
    pub(super) fn follow_for_a_while(&mut self, slot: usize) -> Result<Vec<Done>, Violation> {
        let any = self.dice.below(self.machines.len() as u64) as usize;
        let followed = self.followed.keys().next().copied();
        let which = followed.filter(|_| self.dice.below(4) > 0).unwrap_or(any);
        let Some((process, vault)) = self.vaults[slot].take() else { return Ok(Vec::new()) };
        if self.dice.below(3) == 0 {
            self.note("  the process that follows dies".to_owned());
            self.followed.values_mut().for_each(Followed::process_died);
        }
        let mut done = Vec::new();
        for _ in 0..1 + self.dice.below(5) {
            self.scribble()?;
            if self.dice.below(6) == 0 {
                done.push(self.disturb(&vault, slot)?);
            }
            self.follow_once(&vault, slot, which, &mut done)?;
        }
        self.vaults[slot] = Some((process, vault));
        Ok(done)
    }

    /// Something that another process does with the vault, if there is one, or else this one.
    fn disturb(&mut self, vault: &Vault, slot: usize) -> Result<Done, Violation> {
        let act = self.act()?;
        Ok(perform(self.vaults[1 - slot].as_ref().map_or(vault, |(_, other): &(SimObjects, Vault)| other), &act))
    }

    /// Makes one point of what changed, after a rescan if one is due.
    fn follow_once(&mut self, vault: &Vault, slot: usize, which: usize, done: &mut Vec<Done>) -> Result<(), Violation> {
        self.distrust(which);
        let name = self.machines[which].name.clone();
        self.recall(vault, which, done);
        // Others may have gone on from there: that is told at once, and a rescan helps.
        for attempt in 0..2 {
            let Some(from) = self.followed.get(&which).and_then(|f| f.from.clone()) else {
                if !self.begin_following(vault, which, done)? {
                    return Ok(());
                }
                continue;
            };
            let mut it = Done::named("follow", &name);
            let mut turns = Turns {
                world: self,
                vault,
                slot,
                which,
                left: 0,
                still: false,
                looked: true,
                shot: None,
                others: Vec::new(),
            };
            turns.left = turns.world.dice.below(4);
            let mut failed = None;
            let mut next = || {
                turns.next().unwrap_or_else(|why| {
                    failed = Some(why);
                    Turn::Abandon
                })
            };
            let outcome = follow(vault, &from, &mut next, &mut it);
            let (shot, others) = (turns.shot.take(), std::mem::take(&mut turns.others));
            if let Some(why) = failed {
                return Err(why);
            }
            let overtaken = matches!(outcome, Err(VaultError::Overtaken));
            let disturbed = !others.is_empty();
            done.extend(others);
            it.error = self.followed_on(which, outcome, shot.as_deref(), it.next);
            // What others reclaimed meanwhile may be missing in an image; then there is no point.
            let overtaken = overtaken || (disturbed && it.is_image_lost);
            if overtaken && (disturbed || attempt == 0) {
                self.followed.get_mut(&which).into_iter().for_each(Followed::give_up);
                (it.what, it.effect, it.error) = ("follow, overtaken".to_owned(), None, None);
                done.push(it);
                continue;
            }
            done.push(it);
            return Ok(());
        }
        Ok(())
    }

    /// Takes over what became of following: says why it failed.
    pub(super) fn followed_on(
        &mut self,
        which: usize,
        outcome: Outcome,
        shot: Option<&Shot>,
        next: Option<InMaking>,
    ) -> Option<VaultError> {
        let Some(followed) = self.followed.get_mut(&which) else { return outcome.err() };
        let disks = &mut self.machines[which].disks;
        match (outcome, shot) {
            (Ok(Some(from)), Some(shot)) => {
                followed.kept(from, shot, disks);
                None
            }
            (outcome, _) => {
                match self.options.bug {
                    Some(Bug::ForgetsMarks) => followed.forget_to_put_back(),
                    _ => followed.put_back(next, disks),
                }
                // Abandoned, or overtaken: a rescan is due.
                if matches!(outcome, Ok(_) | Err(VaultError::Overtaken)) {
                    followed.give_up();
                }
                outcome.err()
            }
        }
    }

    /// Disks that got another size cannot be followed on.
    fn distrust(&mut self, which: usize) -> bool {
        let resized = self.machines[which].disks.iter().any(|disk| disk.resized);
        if let Some(followed) = self.followed.get_mut(&which).filter(|_| resized) {
            followed.give_up();
        }
        resized
    }

    /// Goes on where a process that died stood, if the marks reach back to the newest boundary.
    fn recall(&mut self, vault: &Vault, which: usize, done: &mut Vec<Done>) {
        let Some(followed) = self.followed.get_mut(&which) else { return };
        if followed.from.is_some() || followed.reached.is_none() {
            return;
        }
        let machine = &self.machines[which];
        let mut it = Done::named("recall", &machine.name);
        let recalled = match vault.boundary(&machine.name) {
            Ok(Some(boundary)) => {
                let known = machine.points.get(&boundary.number.0);
                followed.recall(boundary, known.map(|known| &*known.shot))
            }
            Ok(None) => false,
            Err(error) => {
                it.error = Some(error);
                false
            }
        };
        if recalled {
            self.tally(|t| t.recalled += 1);
        } else if let Some(followed) = self.followed.get_mut(&which) {
            followed.give_up();
        }
        done.push(it);
    }

    /// Marks first, then the rescan, which may make a point. Whether it came to something.
    fn begin_following(&mut self, vault: &Vault, which: usize, done: &mut Vec<Done>) -> Result<bool, Violation> {
        self.followed.remove(&which);
        let prepared = self.prepare_all(which)?;
        for disk in &mut self.machines[which].disks {
            disk.marks.clear();
            disk.written.clear();
            disk.resized = false;
        }
        let mut it = Done::named("catch up", &prepared.machine);
        let point = self.dice.below(3) == 0;
        let verdict = || Verdict { consistency: Consistency::Still, stamps: Vec::new() };
        let capture = Capture {
            machine: &prepared.machine,
            sources: sources(&prepared),
            note: String::new(),
            verdict: &verdict,
            cancel: &AtomicBool::new(false),
            progress: &Progress::default(),
            promise: Promise { every: prepared.every, causes: Vec::new() },
        };
        let outcome = if point {
            it.effect = Some(Effect::MaybeMade(prepared.shot.clone()));
            vault.protect(&capture).map(|made| {
                it.effect = Some(Effect::Made(made.point.number.0, prepared.shot.clone()));
                it.moment = Some(Moment { time: made.point.row.time, every: prepared.every });
                made.boundary()
            })
        } else {
            vault.catch_up(&capture)
        };
        let begun = outcome.map(|from| self.followed.insert(which, Followed::begun(from, &prepared)));
        it.error = begun.err();
        let is_begun = it.error.is_none();
        self.tally(|t| t.caught_up += u64::from(is_begun));
        done.push(it);
        Ok(is_begun)
    }

    /// A point of what changed so far, for when two processes run at once.
    pub(super) fn planned_following(&mut self) -> Result<Option<(usize, Act)>, Violation> {
        let which = self.dice.below(self.machines.len() as u64) as usize;
        if self.distrust(which) {
            return Ok(None);
        }
        let Some(followed) = self.followed.get_mut(&which) else { return Ok(None) };
        let Some(from) = followed.from.clone() else { return Ok(None) };
        let machine = &mut self.machines[which];
        let parts = followed.take_marks(&mut machine.disks)?;
        let shot = Arc::new(followed.shot(&machine.disks));
        let end = match self.dice.below(6) {
            0 => Turn::SetDown,
            _ => Turn::Publish(shot.clone(), Moment { time: self.clock.now(), every: 0 }),
        };
        let turns = vec![Turn::Pass(parts), end];
        Ok(Some((which, Act::Follow { machine: machine.name.clone(), from, turns, shot })))
    }

    /// Takes over what became of a planned following.
    pub(super) fn planned_followed(&mut self, which: usize, weather: Weather, done: &mut [Done]) {
        let it = done.iter_mut().find(|done| done.followed.is_some());
        let Some((it, outcome)) = it.and_then(|it| it.followed.take().map(|outcome| (it, outcome))) else {
            // The vault could not even be opened.
            if let Some(followed) = self.followed.get_mut(&which) {
                followed.put_back(None, &mut self.machines[which].disks);
            }
            return;
        };
        let (shot, boundary) = outcome;
        it.error = self.followed_on(which, boundary, Some(&shot), it.next);
        if weather == Weather::Kill {
            self.followed.values_mut().for_each(Followed::process_died);
        }
    }
}

/// What is done for one point in the making: some passes while the disks are written to, then one while they hold still.
struct Turns<'w> {
    world: &'w mut World,
    vault: &'w Vault,
    slot: usize,
    which: usize,
    left: u64,
    still: bool,
    /// The pass before was looked at, or there was none.
    looked: bool,
    shot: Option<Arc<Shot>>,
    others: Vec<Done>,
}

impl Turns<'_> {
    fn next(&mut self) -> Result<Turn, Violation> {
        if !self.looked {
            self.looked = true;
            if let Some(look) = self.look() {
                return Ok(look);
            }
        }
        let world = &mut *self.world;
        if self.still {
            return Ok(self.end());
        }
        if self.left > 0 {
            self.left -= 1;
            world.scribble()?;
            if world.dice.below(12) == 0 {
                let done = world.disturb(self.vault, self.slot)?;
                self.others.push(done);
            }
        } else {
            self.still = true;
        }
        if world.distrust(self.which) {
            return Ok(Turn::Abandon);
        }
        let Some(followed) = world.followed.get_mut(&self.which) else { return Ok(Turn::Abandon) };
        world.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.passes += 1;
        self.looked = false;
        Ok(Turn::Pass(followed.take_marks(&mut world.machines[self.which].disks)?))
    }

    /// Nothing was written since the pass before: a point made now would hold what the disks do.
    fn look(&mut self) -> Option<Turn> {
        let world = &mut *self.world;
        let followed = world.followed.get(&self.which).filter(|_| world.dice.below(3) == 0)?;
        Some(Turn::Look(Arc::new(followed.shot(&world.machines[self.which].disks))))
    }

    fn end(&mut self) -> Turn {
        let world = &mut *self.world;
        let Some(followed) = world.followed.get(&self.which) else { return Turn::Abandon };
        let shot = Arc::new(followed.shot(&world.machines[self.which].disks));
        self.shot = Some(shot.clone());
        match world.dice.below(6) {
            0 => Turn::SetDown,
            _ => {
                world.past.push(shot.clone());
                let every = world.promise();
                Turn::Publish(shot, Moment { time: world.clock.now(), every })
            }
        }
    }
}
