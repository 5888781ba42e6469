//! An agent of a machine: it writes to its disks, keeps marks, and streams points over sessions that end when they like.
//!
//! Never knows: what the server has, but for what it is told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_agent::{AgentError, Following, Reading, Session};
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::random::Dice;
use backstay_env::time::Clock as _;
use backstay_env::volume::Volume as _;
use backstay_format::wire::v1::{BoundaryTold, DiskTold, MadeTold, Pages, Task, Told};

use crate::Violation;
use crate::disk::{Disk, DiskShot, PAGE, Shot};
use crate::home::Bug;

/// What an agent did, in order.
pub(crate) type Trace = Arc<Mutex<Vec<String>>>;

/// A machine with its agent.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) disks: Vec<Disk>,
    pub(crate) is_lawless: bool,
    /// Points that are safe, as it was told since somebody looked.
    pub(crate) told: Vec<(u64, Arc<Shot>)>,
    /// Points that may have been made.
    pub(crate) doubts: Vec<Arc<Shot>>,
    /// Points of which it learned only when it came back.
    pub(crate) learned_later: u64,
    pub(crate) dice: Dice,
    pub(crate) clock: Arc<SimClock>,
    /// No troubles any more: every point that is begun is made.
    pub(crate) is_calm: bool,
    bug: Option<Bug>,
    trace: Trace,
    /// Where the timeline ended, as it was told last.
    known: Option<BoundaryTold>,
    /// A point that was to be made, and nothing was heard.
    unanswered: Option<Unanswered>,
    /// A request went unanswered after which the timeline may end where nobody was told.
    is_blind: bool,
    /// It was told of a point at some time.
    has_points: bool,
}

struct Unanswered {
    number: u64,
    begun: i64,
    shot: Arc<Shot>,
    marks: Vec<BTreeSet<u64>>,
}

/// Why something did not go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    Session(AgentError),
    Wrong(Violation),
}

impl From<AgentError> for Trouble {
    fn from(error: AgentError) -> Self {
        Trouble::Session(error)
    }
}

impl From<Violation> for Trouble {
    fn from(wrong: Violation) -> Self {
        Trouble::Wrong(wrong)
    }
}

impl Agent {
    pub(crate) fn new(
        name: &str,
        disks: Vec<Disk>,
        (mut dice, bug, trace): (Dice, Option<Bug>, Trace),
        is_lawless: bool,
    ) -> Agent {
        let clock = Arc::new(SimClock::jumping(dice.roll(), 10_000));
        Agent {
            name: name.to_owned(),
            disks,
            is_lawless,
            told: Vec::new(),
            doubts: Vec::new(),
            learned_later: 0,
            dice,
            clock,
            is_calm: false,
            bug,
            trace,
            known: None,
            unanswered: None,
            is_blind: false,
            has_points: false,
        }
    }

    pub(crate) fn note(&self, what: &str) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).push(format!("  {}: {what}", self.name));
    }

    /// What its disks hold.
    pub(crate) fn shot(&self) -> Shot {
        let one = |disk: &Disk| DiskShot {
            name: disk.name.clone(),
            bytes: disk.image().to_vec(),
            unreadable: BTreeSet::new(),
        };
        Shot(self.disks.iter().map(one).collect())
    }

    /// What the point holds that was to be made, and of which nothing was heard.
    pub(crate) fn unanswered_shot(&self) -> Option<Arc<Shot>> {
        self.unanswered.as_ref().map(|point| point.shot.clone())
    }

    /// Makes a point, or goes a step towards one.
    pub(crate) fn work(&mut self, session: &Arc<Session>) -> Result<(), Trouble> {
        let at = session.boundary()?;
        self.recall(at)?;
        self.scribble()?;
        match self.known.clone() {
            Some(known) => self.follow(session, &known),
            None => self.compare(session),
        }
    }

    fn scribble(&mut self) -> Result<(), Violation> {
        for _ in 0..self.dice.below(3) {
            let from = self.dice.below(self.disks.len() as u64) as usize;
            let other = self.disks[from].image().to_vec();
            let to = self.dice.below(self.disks.len() as u64) as usize;
            let what = self.disks[to].write_something(&mut self.dice, &other)?;
            self.note(&what);
        }
        Ok(())
    }

    /// Takes note of where the timeline ends.
    fn recall(&mut self, at: Option<BoundaryTold>) -> Result<(), Violation> {
        let unanswered = self.unanswered.take();
        let end = at.as_ref().map(|at| (at.number, at.begun));
        if let Some(point) = &unanswered
            && end == Some((point.number, Some(point.begun)))
        {
            self.note(&format!("point {} is safe, as it turns out", point.number));
            self.learned_later += 1;
            self.is_safe(point.number, point.shot.clone());
            self.known = at;
            return Ok(());
        }
        if let Some(Unanswered { shot, marks, .. }) = unanswered {
            self.doubts.push(shot);
            self.put_back(marks);
        }
        let known = self.known.as_ref().map(|known| known.number);
        if known == end.map(|(number, _)| number) {
            return Ok(());
        }
        self.note(&format!("the timeline ends at {end:?}, not at {known:?}"));
        self.known = None;
        // Before its first point nothing but a session tells of a machine's disks.
        let is_new = end.is_none() && !self.has_points;
        if self.is_blind || self.is_lawless || is_new {
            return Ok(());
        }
        Err(Violation(format!("machine {}: its timeline ends at {end:?} and not at {known:?}", self.name)))
    }

    fn is_safe(&mut self, number: u64, shot: Arc<Shot>) {
        self.has_points = true;
        self.told.push((number, shot));
    }

    fn take_marks(&mut self) -> Vec<BTreeSet<u64>> {
        self.disks.iter_mut().map(|disk| std::mem::take(&mut disk.marks)).collect()
    }

    fn put_back(&mut self, marks: Vec<BTreeSet<u64>>) {
        self.disks.iter_mut().zip(marks).for_each(|(disk, marks)| disk.marks.extend(marks));
    }

    /// Has everything compared.
    fn compare(&mut self, session: &Session) -> Result<(), Trouble> {
        let (shot, marks) = (Arc::new(self.shot()), self.take_marks());
        let with_point = self.is_calm || self.dice.below(4) > 0;
        self.is_blind = true;
        let (task, readings) = (self.task(), readings(&self.disks));
        let outcome = if with_point {
            let verdict = || (true, vec![vec![1]]);
            session.protect((task, &readings, &verdict), (&NEVER, &|_, _| ())).map(|made| (made.at, true))
        } else {
            session.catch_up((task, &readings), (&NEVER, &|_, _| ())).map(|at| (at, false))
        };
        drop(readings);
        match outcome {
            Ok((at, is_point)) => {
                self.note(&format!("compared: {}, with a point: {is_point}", at.number));
                if is_point {
                    self.is_safe(at.number, shot);
                }
                (self.known, self.is_blind) = (Some(at), false);
                Ok(())
            }
            Err(error) => {
                self.doubts.push(shot);
                self.put_back(marks);
                Err(error.into())
            }
        }
    }

    /// Has what changed since put into a point.
    fn follow(&mut self, session: &Arc<Session>, known: &BoundaryTold) -> Result<(), Trouble> {
        let number = |disk: &Disk| known.disks.iter().find(|at| at.told.name == disk.name).map(|at| at.disk);
        let numbers: Option<Vec<u32>> = self.disks.iter().map(number).collect();
        let numbers = numbers.ok_or_else(|| Violation(format!("machine {}: a disk is missing", self.name)))?;
        let mut following = session.follow(known.number, numbers)?;
        let mut marks = vec![BTreeSet::new(); self.disks.len()];
        for _ in 0..1 + self.dice.below(3) {
            let taken = self.take_marks();
            let passed = self.pass(&mut following, &taken);
            marks.iter_mut().zip(taken).for_each(|(all, taken)| all.extend(taken));
            if let Err(trouble) = passed.and_then(|()| Ok(self.scribble()?)) {
                self.put_back(marks);
                return Err(trouble);
            }
        }
        // Writers are held still from here on.
        let taken = self.take_marks();
        let passed = self.pass(&mut following, &taken);
        marks.iter_mut().zip(taken).for_each(|(all, taken)| all.extend(taken));
        if let Err(trouble) = passed {
            self.put_back(marks);
            return Err(trouble);
        }
        match self.dice.below(10) {
            8 if !self.is_calm => self.set_down(following, marks),
            9 if !self.is_calm => {
                drop(following);
                self.note("abandoned");
                self.put_back(marks);
                Ok(())
            }
            _ => self.publish(following, marks),
        }
    }

    fn pass(&self, following: &mut Following, marks: &[BTreeSet<u64>]) -> Result<(), Trouble> {
        let ranges = |pages: &BTreeSet<u64>| -> Vec<Pages> { pages.iter().map(|page| (*page, page + 1)).collect() };
        let marked = marks.iter().enumerate().filter(|(_, pages)| !pages.is_empty());
        let changed: Vec<(u32, Vec<Pages>)> = marked.map(|(disk, pages)| (disk as u32, ranges(pages))).collect();
        let read = AtomicU64::new(0);
        let seen = |_, bytes| {
            read.fetch_add(bytes, Ordering::Relaxed);
        };
        following.pass((changed, &readings(&self.disks)), (&NEVER, &seen))?;
        let (read, most) = (read.into_inner(), marks.iter().map(|pages| pages.len() as u64 * PAGE).sum::<u64>());
        if read > most && !self.is_lawless {
            return Err(Violation(format!("machine {}: {read} bytes were read, {most} had changed", self.name)).into());
        }
        Ok(())
    }

    fn publish(&mut self, following: Following, marks: Vec<BTreeSet<u64>>) -> Result<(), Trouble> {
        let (number, begun) = following.in_making();
        let shot = Arc::new(self.shot());
        let kept = if self.bug == Some(Bug::ClearsMarksEarly) { Vec::new() } else { marks };
        self.unanswered = Some(Unanswered { number, begun, shot: shot.clone(), marks: kept });
        let made = following.publish(self.words());
        if self.bug == Some(Bug::BelievesSilence) && matches!(made, Err(AgentError::Lost(_))) {
            self.is_safe(number, shot.clone());
        }
        let MadeTold { at, .. } = made?;
        self.unanswered = None;
        if (at.number, at.begun) != (number, Some(begun)) && !self.is_lawless {
            let why = format!("machine {}: point {number} was begun, point {} was made", self.name, at.number);
            return Err(Violation(why).into());
        }
        self.note(&format!("point {number}"));
        self.is_safe(at.number, shot);
        self.known = Some(at);
        Ok(())
    }

    fn set_down(&mut self, following: Following, marks: Vec<BTreeSet<u64>>) -> Result<(), Trouble> {
        self.is_blind = true;
        match following.set_down() {
            Ok(at) => {
                self.note(&format!("set down at {}", at.number));
                (self.known, self.is_blind) = (Some(at), false);
                Ok(())
            }
            Err(error) => {
                self.put_back(marks);
                Err(error.into())
            }
        }
    }

    fn task(&self) -> Task {
        let disk = |disk: &Disk| DiskTold {
            name: disk.name.clone(),
            origin: "simulated".into(),
            size: disk.volume.size(),
            sector: 512,
            used: disk.volume.size(),
            exclusions: Vec::new(),
        };
        let disks = self.disks.iter().map(disk).collect();
        Task { disks, note: String::new(), now: self.clock.now().0, every: 0, causes: Vec::new() }
    }

    fn words(&self) -> Told {
        let time = self.clock.now().0;
        let stamps = vec![vec![2]; self.disks.len()];
        Told {
            now: self.clock.now().0,
            time,
            still: true,
            held: 1,
            note: String::new(),
            stamps,
            every: 0,
            causes: vec![],
        }
    }
}

/// Nobody cancels.
static NEVER: AtomicBool = AtomicBool::new(false);

fn readings(disks: &[Disk]) -> Vec<Reading<'_>> {
    disks.iter().enumerate().map(|(number, disk)| reading(number, disk)).collect()
}

fn reading(number: usize, disk: &Disk) -> Reading<'_> {
    let used = std::iter::once(0..disk.volume.size()).collect();
    Reading { disk: number as u32, volume: &*disk.volume, used, excluded: Vec::new() }
}
