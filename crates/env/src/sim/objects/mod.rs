//! A home of objects in memory, for simulation: shared by any number of simulated processes, with faults.
//!
//! Never knows: what the objects mean, real time, real randomness.
//! Invariant: one seed, one table of faults and the same calls give the same run, byte for byte, log included.
//!
//! ```text
//! fault            when                            what
//! power loss       planned, or `lose_power`        a change under way is there or not; everything is dead
//! kill             planned                         a change under way is there or not; one process is dead
//! torn             power loss, put under way       some blocks are zeros, or the end is missing
//! lost             power loss, put said Ok         the old object, or its absence
//! undeleted        power loss, delete said Ok      the object is back
//! misdirected      any change                      one block of some object is overwritten
//! flipped          any operation                   one bit of some object
//! no space         any put                         NoSpace; nothing changed
//! failed           any operation                   Io; a change may have been made all the same
//! early sight      between two processes           a change is seen, and then undone by a power loss unless settled
//! ```
//!
//! [`Faults`] says which of these may happen, where and how often. What it does not allow never happens, so whoever
//! promises to survive the table can be held to it: each red seed is a bug.

mod faults;
#[cfg(test)]
mod tests;
mod turns;
mod world;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use self::world::{Body, World};
use crate::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};

pub use self::faults::{Fault, Faults, Injected, Zone};

/// When a planned fault strikes: at the operation, or the change, with this number or the first one after it. Both
/// count from 1 and over all processes. Puts and deletions are changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At an operation of any kind.
    Operation(u64),
    /// At a change.
    Change(u64),
}

/// One simulated process's access to a simulated home. A clone is the same process.
#[derive(Clone, Debug)]
pub struct SimObjects {
    shared: Arc<Shared>,
    process: u64,
    born: u64,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    turn: Condvar,
}

/// What a process does in [`SimObjects::interleave`].
pub type Process<'a, R> = Box<dyn FnOnce(SimObjects) -> R + Send + 'a>;

enum Change<'a> {
    Put {
        parts: &'a [&'a [u8]],
        only_new: bool,
    },
    Delete,
    /// A deletion that is settled with others.
    Unlink,
}

impl SimObjects {
    /// An empty home in a perfect world.
    pub fn seeded(seed: u64) -> SimObjects {
        SimObjects::with_faults(seed, Faults::default())
    }

    /// An empty home in a world with these faults.
    pub fn with_faults(seed: u64, faults: Faults) -> SimObjects {
        SimObjects::of(World::new(seed, faults))
    }

    fn of(world: World) -> SimObjects {
        let shared = Arc::new(Shared { world: Mutex::new(world), turn: Condvar::new() });
        SimObjects { shared, process: 0, born: 0 }
    }

    /// Makes the home one that is not on this machine: see [`Abilities::local`]. What is open does not outlive its
    /// object there.
    pub fn remote(self) -> SimObjects {
        self.world().is_remote = true;
        self
    }

    /// Another table of faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// The home as another process has it.
    pub fn another_process(&self) -> SimObjects {
        let mut world = self.world();
        world.processes += 1;
        SimObjects { shared: self.shared.clone(), process: world.processes, born: world.starts }
    }

    /// A home of its own with the same objects and the same dice, in a world with power. To look, without a trace.
    pub fn fork(&self) -> SimObjects {
        SimObjects::of(self.world().copy())
    }

    /// Runs `processes` each in its own thread and process, only one of them at a time, and lets the dice decide at
    /// each operation whose is next. A process that uses several threads itself works, but is not replayed exactly.
    /// Processes must not wait for each other by other means.
    ///
    /// # Panics
    /// When one of them does.
    pub fn interleave<R: Send>(&self, processes: Vec<Process<'_, R>>) -> Vec<R> {
        let handles: Vec<_> = processes.iter().map(|_| self.another_process()).collect();
        handles.iter().for_each(|handle| self.world().turns.join(handle.process));
        std::thread::scope(|scope| {
            // All of them start before the first is waited for.
            let mut threads = Vec::new();
            for (process, handle) in processes.into_iter().zip(handles) {
                let leaving = Leaving(handle.clone());
                threads.push(scope.spawn(move || {
                    let _leaving = leaving;
                    drop(handle.wait_for_turn());
                    process(handle)
                }));
            }
            let results = threads.into_iter().map(|thread| thread.join());
            results.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    /// Plans a power loss. Whoever calls then, and later, gets an error until [`SimObjects::restart`].
    pub fn lose_power_at(&self, when: When) {
        self.world().crash = Some(when);
    }

    /// Plans the end of this process, at an operation of its own.
    pub fn kill_at(&self, when: When) {
        self.world().kills.insert(self.process, when);
    }

    /// Lets every put find no space while the number of the change is in `changes`.
    pub fn no_space_during(&self, changes: Range<u64>) {
        self.world().no_space = changes;
    }

    /// The power fails now. Nothing happens if it is off.
    pub fn lose_power(&self) {
        let mut world = self.world();
        if !world.is_off {
            world.lose_power();
        }
    }

    /// The power comes back (after failing now, if it had not): a new process, and only dead ones besides it.
    pub fn restart(&self) -> SimObjects {
        self.lose_power();
        let mut world = self.world();
        (world.is_off, world.starts) = (false, world.starts + 1);
        drop(world);
        self.another_process()
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.world().changes
    }

    /// Bytes that all objects take.
    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// Every fault that was injected so far, in order.
    pub fn log(&self) -> Vec<Injected> {
        self.world().log.clone()
    }

    /// Changes the bytes of an object where it lies, whatever the table of faults says. `false`: no such object.
    pub fn tamper(&self, key: &Key, how: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.world().tamper(key, how)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this process's turn, if it takes part in turns.
    fn wait_for_turn(&self) -> MutexGuard<'_, World> {
        let mut guard = self.world();
        let world = &mut *guard;
        if let Some(ticket) = world.turns.queue(self.process, &mut world.dice) {
            loop {
                let world = &mut *guard;
                self.shared.turn.notify_all();
                if world.turns.take(ticket, &mut world.dice) {
                    break;
                }
                guard = self.shared.turn.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.shared.turn.notify_all();
        }
        guard
    }

    /// Waits for this process's turn, and refuses the dead.
    fn enter(&self, key: &Key) -> Result<MutexGuard<'_, World>, ObjectError> {
        let guard = self.wait_for_turn();
        let alive = !guard.is_off && self.born == guard.starts && !guard.dead.contains(&self.process);
        alive.then_some(guard).ok_or_else(|| failed(key, "this simulated process is dead"))
    }

    /// As `enter`, for something that changes nothing.
    fn look(&self, key: &Key) -> Result<MutexGuard<'_, World>, ObjectError> {
        let mut world = self.enter(key)?;
        world.operations += 1;
        self.strike(&mut world, key, |_| {})?;
        world.decay(None);
        let failed_ppm = world.faults.failed_ppm;
        if world.dice.chance(failed_ppm) {
            world.note(Fault::Failed { key: key.clone(), done: false });
            return Err(failed(key, "a simulated failure"));
        }
        Ok(world)
    }

    /// Carries out a power loss or a kill if one is due; `half` makes the change that is under way visible.
    fn strike(&self, world: &mut World, key: &Key, half: impl FnOnce(&mut World)) -> Result<(), ObjectError> {
        let power = world.crash.is_some_and(|when| world.is_due(when));
        let kill = world.kills.get(&self.process).is_some_and(|when| world.is_due(*when));
        if (power || kill) && world.dice.chance(500_000) {
            half(world);
            // Where nothing is seen early, what one who died has left to be seen is there to stay.
            if !power && !world.faults.early_sight {
                world.settle(key);
            }
        }
        match (power, kill) {
            (true, _) => world.lose_power(),
            (false, true) => {
                world.kills.remove(&self.process);
                world.dead.insert(self.process);
                world.note(Fault::Killed { process: self.process });
            }
            (false, false) => return Ok(()),
        }
        Err(failed(key, "this simulated process died here"))
    }

    fn change(&self, key: &Key, change: &Change<'_>) -> Result<(), ObjectError> {
        let mut world = self.enter(key)?;
        (world.operations, world.changes) = (world.operations + 1, world.changes + 1);
        let is_there = world.slots.get(key).is_some_and(|slot| slot.seen.is_some());
        let exists = is_there && matches!(change, Change::Put { only_new: true, .. });
        let parts = match change {
            Change::Put { parts, .. } => Some(*parts),
            Change::Delete | Change::Unlink => None,
        };
        if parts.is_some() && !exists {
            world.refuse_nesting(key);
        }
        self.strike(&mut world, key, |world| {
            if !exists {
                world.show(key, change)
            }
        })?;
        // A put that is refused writes nothing, so nothing of it can go astray.
        world.decay(parts.filter(|_| !exists));
        let failed_ppm = world.faults.failed_ppm;
        if world.dice.chance(failed_ppm) {
            let done = !exists && world.dice.chance(500_000);
            world.note(Fault::Failed { key: key.clone(), done });
            if done {
                world.show(key, change);
                if !world.faults.early_sight || world.dice.chance(500_000) {
                    world.settle(key);
                }
            }
            return Err(failed(key, "a simulated failure"));
        }
        if exists {
            return Err(ObjectError::Exists(key.clone()));
        }
        if parts.is_some_and(|parts| world.is_full(key, parts)) {
            return Err(ObjectError::NoSpace(key.clone()));
        }
        world.show(key, change);
        if matches!(change, Change::Unlink) {
            return Ok(());
        }
        if world.faults.early_sight {
            drop(world);
            world = self.enter(key)?;
        }
        world.settle(key);
        Ok(())
    }
}

impl Objects for SimObjects {
    fn abilities(&self) -> Abilities {
        Abilities { local: !self.world().is_remote }
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.change(key, &Change::Put { parts, only_new: false })
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.change(key, &Change::Put { parts, only_new: true })
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        let world = self.look(key)?;
        let body = world.slots.get(key).and_then(|slot| slot.seen.as_ref());
        body.map(|body| body.bytes().to_vec()).ok_or_else(|| ObjectError::NotFound(key.clone()))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        let world = self.look(key)?;
        let body = world.slots.get(key).and_then(|slot| slot.seen.clone());
        let body = body.ok_or_else(|| ObjectError::NotFound(key.clone()))?;
        Ok(Box::new(SimObject { home: self.clone(), key: key.clone(), size: body.bytes().len() as u64, body }))
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        let world = self.look(prefix)?;
        let start = format!("{prefix}/");
        let inside = world.slots.iter().filter(|(key, _)| key.as_str().starts_with(&start));
        let listed = inside.filter_map(|(key, slot)| {
            let size = slot.seen.as_ref()?.bytes().len() as u64;
            Some(Listed { key: key.clone(), size })
        });
        Ok(listed.collect())
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        self.change(key, &Change::Delete)
    }

    fn delete_all(&self, keys: &[Key]) -> Result<(), ObjectError> {
        if !self.abilities().local {
            return keys.iter().try_for_each(|key| self.delete(key));
        }
        keys.iter().try_for_each(|key| self.change(key, &Change::Unlink))?;
        keys.iter().try_for_each(|key| {
            self.enter(key)?.settle(key);
            Ok(())
        })
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        if !self.abilities().local {
            return Ok(()); // nothing to ask a server for
        }
        self.look(folder)?.settle_folder(folder.as_str());
        Ok(())
    }
}

struct SimObject {
    home: SimObjects,
    key: Key,
    size: u64,
    body: Arc<Body>,
}

impl Object for SimObject {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let world = self.home.look(&self.key)?;
        let seen = world.slots.get(&self.key).and_then(|slot| slot.seen.as_ref());
        if world.is_remote && !seen.is_some_and(|seen| Arc::ptr_eq(seen, &self.body)) {
            return Err(ObjectError::NotFound(self.key.clone()));
        }
        let bytes = self.body.bytes();
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= bytes.len() as u64);
        let end = end.ok_or_else(|| ObjectError::Short(self.key.clone()))?;
        buf.copy_from_slice(&bytes[offset as usize..end as usize]);
        Ok(())
    }
}

/// Leaves the turns when a process ends, by a panic too.
struct Leaving(SimObjects);

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut guard = self.0.world();
        let world = &mut *guard;
        world.turns.leave(self.0.process, &mut world.dice);
        self.0.shared.turn.notify_all();
    }
}

fn failed(key: &Key, why: &str) -> ObjectError {
    ObjectError::Io { key: key.clone(), source: io::Error::other(why.to_string()) }
}
