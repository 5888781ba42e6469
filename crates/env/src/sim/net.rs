//! A network in one process that one seed replays: actors that take turns, and links between them that break.
//!
//! Of all actors only one runs at a time, from one message that it sends or waits for to the next; then the dice choose who goes on.
//! So threads do here what one thread would do, in an order that the seed decides.
//!
//! ```text
//! fault  when                        what
//! cut    planned, at a message       the link is gone; of what was under way each end still gets a beginning, and who sent may be told Ok
//! deaf   planned, from a message on  nothing more arrives in this direction, and who sends is told Ok: one end thinks that it lives on
//! down   planned, or `go_down`       every link of the network is cut, and none can be made
//! ```
//!
//! Time passes when nobody can go on: then patience runs out, or a deaf link is found to be gone.
//!
//! Never knows: what the messages mean, real time, real randomness.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::random::Dice;
use crate::link::{Link, MOST};

/// Who holds the turn for so long waits for something else than a message: a bug of whoever runs, not of the world.
const HANGS: Duration = Duration::from_secs(120);
/// Planned faults strike within so many messages.
const WITHIN: u64 = 24;

/// How often links break, for each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkFaults {
    /// Cut at one of the first messages.
    pub cut_ppm: u32,
    /// Deaf from one of the first messages on.
    pub deaf_ppm: u32,
}

/// What happened on a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Links made.
    pub links: u64,
    /// Messages sent.
    pub messages: u64,
    /// Links cut by a planned fault.
    pub cuts: u64,
    /// Messages that a deaf link swallowed.
    pub swallowed: u64,
    /// Times that patience ran out.
    pub timeouts: u64,
    /// Times that both ends of a sound link waited for each other.
    pub stuck: u64,
}

/// A network. A clone is the same one.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    turn: Condvar,
}

struct State {
    dice: Dice,
    faults: LinkFaults,
    /// Of each link the way to either end.
    links: Vec<Ways>,
    /// Actors that do not run, and what they wait for.
    waits: BTreeMap<u64, Wait>,
    actors: u64,
    running: Option<u64>,
    down_at: Option<u64>,
    is_down: bool,
    counts: Counts,
}

struct Ways {
    to: [Way; 2],
    /// An end that does not keep to the protocol: it may well wait for ever.
    is_lawless: bool,
}

/// Towards one end of a link.
#[derive(Default)]
struct Way {
    under_way: VecDeque<Vec<u8>>,
    sent: u64,
    /// Whoever sends has closed it: nothing follows what is under way.
    is_ended: bool,
    /// An error follows what is under way.
    is_cut: bool,
    cut_at: Option<u64>,
    deaf_from: Option<u64>,
}

#[derive(Clone, Copy)]
enum Wait {
    Turn,
    Message { link: usize, end: usize, is_patient: bool, is_late: bool },
}

/// One who takes turns. It has its turn from [`Actor::begin`] until it is dropped, but while it waits.
pub struct Actor {
    net: Net,
    id: u64,
}

/// An end of a link. Dropped, it is closed.
pub struct End {
    net: Net,
    actor: u64,
    link: usize,
    end: usize,
}

impl Net {
    /// A network on which nothing fails, and nobody is.
    pub fn seeded(seed: u64) -> Net {
        let state = State {
            dice: Dice::seeded(seed),
            faults: LinkFaults::default(),
            links: Vec::new(),
            waits: BTreeMap::new(),
            actors: 0,
            running: None,
            down_at: None,
            is_down: false,
            counts: Counts::default(),
        };
        Net(Arc::new(Shared { state: Mutex::new(state), turn: Condvar::new() }))
    }

    /// How links break that are made from now on.
    pub fn set_faults(&self, faults: LinkFaults) {
        self.lock().faults = faults;
    }

    /// Plans that everything goes down at the message with this number, from 1.
    pub fn go_down_at(&self, message: u64) {
        self.lock().down_at = Some(message);
    }

    /// Cuts every link, for good: whoever everybody talked with is dead.
    pub fn go_down(&self) {
        self.lock().go_down();
    }

    /// Whether it went down.
    pub fn is_down(&self) -> bool {
        self.lock().is_down
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Another actor, to be moved to a thread of its own, which has to [`Actor::begin`].
    pub fn actor(&self) -> Actor {
        let mut state = self.lock();
        state.actors += 1;
        let id = state.actors;
        state.waits.insert(id, Wait::Turn);
        Actor { net: self.clone(), id }
    }

    /// Lets the first of the actors have its turn.
    pub fn start(&self) {
        self.lock().pick();
        self.0.turn.notify_all();
    }

    /// A link between two actors; `None`: everything is down. `is_lawless`: one of them does not keep to the protocol, so that
    /// both may end up waiting for each other.
    pub fn link(&self, one: &Actor, other: &Actor, is_lawless: bool) -> Option<(End, End)> {
        let mut state = self.lock();
        if state.is_down {
            return None;
        }
        let to = [state.way(), state.way()];
        state.links.push(Ways { to, is_lawless });
        state.counts.links += 1;
        let link = state.links.len() - 1;
        let end = |actor: &Actor, end| End { net: self.clone(), actor: actor.id, link, end };
        Some((end(one, 0), end(other, 1)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others have their turn until `wait` is over; says what it was at the end.
    fn wait(&self, mut state: MutexGuard<'_, State>, actor: u64, wait: Wait) -> Wait {
        state.waits.insert(actor, wait);
        state.pick();
        self.0.turn.notify_all();
        drop(state);
        self.take_turn(actor)
    }

    fn take_turn(&self, actor: u64) -> Wait {
        let not_yet = |state: &mut State| state.running != Some(actor);
        let (mut state, waited) =
            self.0.turn.wait_timeout_while(self.lock(), HANGS, not_yet).unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "whoever has the turn waits for something else than a message");
        state.waits.remove(&actor).unwrap_or(Wait::Turn)
    }
}

impl Actor {
    /// Waits for the first turn.
    pub fn begin(&self) {
        self.net.take_turn(self.id);
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        state.waits.remove(&self.id);
        if state.running == Some(self.id) {
            state.pick();
            self.net.0.turn.notify_all();
        }
    }
}

impl State {
    fn way(&mut self) -> Way {
        let LinkFaults { cut_ppm, deaf_ppm } = self.faults;
        let mut planned = |ppm| self.dice.chance(ppm).then(|| 1 + self.dice.below(WITHIN));
        let (cut_at, deaf_from) = (planned(cut_ppm), planned(deaf_ppm));
        Way { cut_at, deaf_from, ..Way::default() }
    }

    /// Chooses who goes on.
    fn pick(&mut self) {
        self.running = None;
        while !self.waits.is_empty() {
            let ready: Vec<u64> =
                self.waits.iter().filter(|(_, wait)| self.is_over(wait)).map(|(actor, _)| *actor).collect();
            if !ready.is_empty() {
                self.running = Some(ready[self.dice.below(ready.len() as u64) as usize]);
                return;
            }
            self.let_time_pass();
        }
    }

    fn is_over(&self, wait: &Wait) -> bool {
        let Wait::Message { link, end, is_late, .. } = wait else { return true };
        let way = &self.links[*link].to[*end];
        *is_late || !way.under_way.is_empty() || way.is_ended || way.is_cut
    }

    /// Nobody can go on: somebody's patience runs out, or a link turns out to be gone.
    fn let_time_pass(&mut self) {
        let patient = |wait: &&mut Wait| matches!(wait, Wait::Message { is_patient: true, .. });
        let mut patient: Vec<&mut Wait> = self.waits.values_mut().filter(patient).collect();
        if !patient.is_empty() {
            let one = self.dice.below(patient.len() as u64) as usize;
            if let Wait::Message { is_late, .. } = &mut *patient[one] {
                *is_late = true;
            }
            self.counts.timeouts += 1;
            return;
        }
        let waited_for = self.waits.values().filter_map(|wait| match wait {
            Wait::Message { link, .. } => Some(*link),
            Wait::Turn => None,
        });
        let waited_for: Vec<usize> = waited_for.collect();
        let is_deaf = |way: &Way| way.deaf_from.is_some_and(|from| way.sent >= from);
        let is_odd = |link: &&usize| self.links[**link].is_lawless || self.links[**link].to.iter().any(is_deaf);
        let odd = waited_for.iter().find(is_odd).copied();
        self.counts.stuck += u64::from(odd.is_none());
        if let Some(link) = odd.or(waited_for.first().copied()) {
            self.cut(link);
        }
    }

    /// Of what is under way a beginning arrives.
    fn cut(&mut self, link: usize) {
        for way in &mut self.links[link].to {
            let kept = self.dice.below(way.under_way.len() as u64 + 1) as usize;
            way.under_way.truncate(kept);
            way.is_cut = true;
        }
    }

    fn go_down(&mut self) {
        if !self.is_down {
            self.is_down = true;
            (0..self.links.len()).for_each(|link| self.cut(link));
        }
    }

    fn send(&mut self, (link, end): (usize, usize), message: Vec<u8>) -> io::Result<()> {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let back = &self.links[link].to[end];
        if back.is_ended || back.is_cut || self.links[link].to[1 - end].is_ended {
            return Err(broken());
        }
        self.counts.messages += 1;
        if self.down_at.is_some_and(|at| self.counts.messages >= at) {
            self.go_down();
            return Err(broken());
        }
        let way = &mut self.links[link].to[1 - end];
        way.sent += 1;
        if way.deaf_from.is_some_and(|from| way.sent >= from) {
            self.counts.swallowed += 1;
            return Ok(());
        }
        let is_last = way.cut_at == Some(way.sent);
        way.under_way.push_back(message);
        if is_last {
            self.counts.cuts += 1;
            self.cut(link);
            return if self.dice.below(2) == 0 { Ok(()) } else { Err(broken()) };
        }
        Ok(())
    }
}

impl End {
    fn wait_for_message(&self, is_patient: bool) -> io::Result<Option<Vec<u8>>> {
        let wait = Wait::Message { link: self.link, end: self.end, is_patient, is_late: false };
        let waited = self.net.wait(self.net.lock(), self.actor, wait);
        let mut state = self.net.lock();
        let way = &mut state.links[self.link].to[self.end];
        match way.under_way.pop_front() {
            Some(message) => Ok(Some(message)),
            None if way.is_cut => Err(io::ErrorKind::ConnectionReset.into()),
            None if way.is_ended => Ok(None),
            None if matches!(waited, Wait::Message { is_late: true, .. }) => Err(io::ErrorKind::TimedOut.into()),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Link for End {
    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        let message = parts.concat();
        if message.len() > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut state = self.net.lock();
        let sent = state.send((self.link, self.end), message);
        self.net.wait(state, self.actor, Wait::Turn);
        sent
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        self.wait_for_message(false)
    }

    fn receive_within(&self, _patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.wait_for_message(true)
    }

    fn close(&self) {
        let mut state = self.net.lock();
        let ways = &mut state.links[self.link];
        ways.to[1 - self.end].is_ended = true;
        ways.to[self.end].is_cut = true;
        ways.to[self.end].under_way.clear();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three who count to each other over links that break; says what each of them saw.
    fn talk(seed: u64, faults: LinkFaults) -> (Vec<String>, Counts) {
        let net = Net::seeded(seed);
        net.set_faults(faults);
        let seen = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for name in 0..3u8 {
                let (asks, answers) = (net.actor(), net.actor());
                let (here, there) = net.link(&asks, &answers, false).unwrap();
                let seen = &seen;
                scope.spawn(move || {
                    answers.begin();
                    while let Ok(Some(message)) = there.receive() {
                        drop(there.send(&[&message]));
                    }
                    there.close();
                });
                scope.spawn(move || {
                    asks.begin();
                    for number in 0..10u8 {
                        let sent = here.send(&[&[name, number]]).map_err(|e| e.kind());
                        let heard = here.receive().map_err(|e| e.kind());
                        seen.lock().unwrap().push(format!("{name} {number} {sent:?} {heard:?}"));
                    }
                    here.close();
                });
            }
            net.start();
        });
        (seen.into_inner().unwrap(), net.counts())
    }

    #[test]
    fn a_sound_network_carries_everything_in_order() {
        let (seen, counts) = talk(1, LinkFaults::default());
        assert_eq!((seen.len(), counts.messages), (30, 60));
        assert!(seen.iter().all(|line| line.contains("Ok(()) Ok(Some(")), "{seen:?}");
        assert_eq!((counts.cuts, counts.swallowed, counts.stuck), (0, 0, 0));
    }

    #[test]
    fn one_seed_is_one_order() {
        let faults = LinkFaults { cut_ppm: 300_000, deaf_ppm: 300_000 };
        for seed in 0..50 {
            assert_eq!(talk(seed, faults), talk(seed, faults));
        }
        let orders: std::collections::BTreeSet<_> = (0..50).map(|seed| talk(seed, faults).0).collect();
        assert!(orders.len() > 40);
    }

    #[test]
    fn every_fault_strikes() {
        let faults = LinkFaults { cut_ppm: 300_000, deaf_ppm: 300_000 };
        let all: Vec<Counts> = (0..50).map(|seed| talk(seed, faults).1).collect();
        assert!(all.iter().any(|counts| counts.cuts > 0) && all.iter().any(|counts| counts.swallowed > 0));
        assert!(all.iter().all(|counts| counts.stuck == 0));
    }
}
