//! One session, from the first word to the last.
//!
//! Never knows: how many sessions there are.

use std::cell::RefCell;
use std::io;
use std::ops::Range;

use backstay_env::link::Link;
use backstay_format::units::Timestamp;
use backstay_format::wire::v1::{Pages, Task, ToAgent, ToServer, Told};
use backstay_recover::left_out::Found;
use backstay_vault::protect::{
    Boundary, DiskFacts, FarCapture, FarChanged, Following, Made, Progress, Shown, Told as PointTold, Verdict,
};
use backstay_vault::{Vault, VaultError};

use crate::clock::Shift;
use crate::desk::{Desk, nonsense};
use crate::left_out::{self, Lacked, Looked};
use crate::sessions::{Intake, Watch};
use crate::{limits, told};

/// Pages of a pass from which on it is like comparing a whole disk: 256 MiB.
const MANY: u64 = 1 << 16;
/// Bytes of the name of an agent's program.
const PROGRAM: usize = 256;

struct Talk<'a> {
    intake: &'a Intake,
    desk: Desk<'a>,
    machine: &'a str,
    vault: &'a Vault,
    watch: &'a dyn Watch,
    shown: Shown,
    /// Where the timeline ended when this session wrote to it last: before the first point nothing else tells of its disks.
    at: RefCell<Option<Boundary>>,
    /// What it lacked there by choice, if that was asked.
    lacked: RefCell<Option<Lacked>>,
}

/// Talks with an agent until it has no more to say.
pub(crate) fn talk(
    intake: &Intake,
    link: &dyn Link,
    (machine, vault): (&str, &Vault),
    watch: &dyn Watch,
) -> io::Result<()> {
    let desk = Desk::new(link, intake.patience());
    match desk.request()? {
        Some(ToServer::Hello { program }) if program.len() <= PROGRAM => watch.came(machine, &program),
        None => return Ok(()),
        Some(_) => return Err(nonsense()),
    }
    let (cut, name) = vault.keys_for_agents();
    let (level, frame_pages) = vault.frames();
    let store = vault.store_id().0;
    desk.say(&ToAgent::Welcome { machine: machine.to_owned(), store, cut: cut.0, name: name.0, level, frame_pages })?;
    let talk = Talk {
        intake,
        desk,
        machine,
        vault,
        watch,
        shown: Shown::default(),
        at: RefCell::default(),
        lacked: RefCell::default(),
    };
    while let Some(request) = talk.desk.request()? {
        talk.answer(request)?;
    }
    Ok(())
}

impl Talk<'_> {
    fn answer(&self, request: ToServer) -> io::Result<()> {
        match request {
            ToServer::Boundary => {
                let at = self.vault.boundary(self.machine);
                self.reply(at, |at| ToAgent::At(at.as_ref().map(told::boundary)))
            }
            ToServer::Status => {
                let suspension = match self.vault.suspension(self.machine) {
                    Err(VaultError::NoMachine(_)) => Ok(None),
                    other => other,
                };
                self.reply(suspension, |now| ToAgent::Status {
                    suspended: now.map(|now| (now.since.0, now.until.0, now.reason)),
                })
            }
            ToServer::PromiseNothing => {
                let done = match self.vault.promise_nothing(self.machine) {
                    Err(VaultError::NoMachine(_)) => Ok(()),
                    other => other,
                };
                self.reply(done, |()| ToAgent::Done)
            }
            ToServer::CatchUp(task) => {
                let at = self.rescan(task, |capture| self.vault.catch_up_far(capture))?;
                self.set_down(at)
            }
            ToServer::Protect(task) => {
                let made = self.rescan(task, |capture| self.vault.protect_far(capture))?;
                self.made(made)
            }
            ToServer::Follow { number, disks } => self.follow(number, &disks),
            ToServer::Lacks { number, disks } => {
                let lacked = self.end(number, &disks).and_then(|at| Lacked::at(self.vault, &at));
                self.reply(lacked, |lacked| lacked.told())
            }
            // A point that failed is abandoned already.
            ToServer::Abandon => self.desk.say(&ToAgent::Done),
            _ => Err(nonsense()),
        }
    }

    fn reply<T>(&self, outcome: Result<T, VaultError>, told: impl FnOnce(T) -> ToAgent) -> io::Result<()> {
        match outcome {
            Ok(done) => self.desk.say(&told(done)),
            Err(error) => {
                self.watch.failed(self.machine, &error);
                self.desk.say(&told::refusal(&error))
            }
        }
    }

    /// The timeline goes on, without a point.
    fn set_down(&self, at: Result<Boundary, VaultError>) -> io::Result<()> {
        self.at.replace(at.as_ref().ok().cloned());
        self.lacked.take();
        self.reply(at, |at| ToAgent::CaughtUp(told::boundary(&at)))
    }

    /// A point: the agent hears of it first; upkeep comes after.
    fn made(&self, made: Result<Made, VaultError>) -> io::Result<()> {
        let machine = made.as_ref().map(|made| made.machine.id).ok();
        self.at.replace(made.as_ref().ok().map(Made::boundary));
        if let Ok(made) = &made {
            self.watch.made(made);
        }
        self.reply(made, |made| ToAgent::Made(told::made(&made)))?;
        if let Some(Err(error)) = machine.map(|machine| self.vault.settle(machine)) {
            self.watch.failed(self.machine, &error);
        }
        Ok(())
    }

    fn rescan<T>(
        &self,
        task: Task,
        run: impl FnOnce(&FarCapture<'_>) -> Result<T, VaultError>,
    ) -> io::Result<Result<T, VaultError>> {
        if !limits::disks(&task.disks) || !limits::words(&task.note, &task.causes, &[]) {
            return Err(nonsense());
        }
        let _room = self.intake.enter();
        let shift = self.shift(task.now);
        let disks: Vec<DiskFacts> = task.disks.into_iter().map(told::facts).collect();
        let verdict = || {
            let failed = |source| VaultError::Source { name: self.machine.to_owned(), source };
            let (still, stamps) = self.desk.verdict().map_err(failed)?;
            let sound = limits::words("", &[], &stamps);
            let verdict = Verdict { consistency: told::consistency(still), stamps };
            if sound { Ok(verdict) } else { Err(failed(nonsense())) }
        };
        Ok(run(&FarCapture {
            machine: self.machine,
            disks,
            far: &self.desk,
            shown: &self.shown,
            note: task.note,
            verdict: &verdict,
            cancel: self.intake.stopping(),
            progress: &Progress::default(),
            promise: told::promise(task.every, task.causes, shift),
        }))
    }

    fn shift(&self, there: i64) -> Shift {
        Shift::new(self.intake.clock().now(), there)
    }

    fn follow(&self, number: u64, disks: &[u32]) -> io::Result<()> {
        let begun = self.begin(number, disks);
        let (mut following, from) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.reply(Err(error), |()| ToAgent::Done),
        };
        let sizes: Vec<u64> = from.disks.iter().map(|disk| disk.size).collect();
        let mut looked = Looked::default();
        let in_making = following.in_making();
        let (next, begun) = in_making.map_or((0, 0), |made| (made.number.0, made.begun.0));
        self.desk.say(&ToAgent::Following { next, begun })?;
        loop {
            match self.desk.request()? {
                Some(ToServer::Pass { changed }) => {
                    if let Err(error) = self.pass(&mut following, changed, &sizes)? {
                        return self.reply(Err(error), |()| ToAgent::Done);
                    }
                    self.desk.say(&passed(&following))?;
                }
                Some(ToServer::Absent { pages }) => {
                    let pages = checked(pages, &sizes).filter(|_| following.extents() <= limits::EXTENTS);
                    following.absent(&pages.ok_or_else(nonsense)?);
                    self.desk.say(&passed(&following))?;
                }
                Some(ToServer::LookUp { rules }) => {
                    match self.look_up((&mut following, &from), (&mut looked, &rules))? {
                        Ok(found) => self.desk.say(&left_out::told(found))?,
                        Err(error) => return self.reply(Err(error), |()| ToAgent::Done),
                    }
                }
                Some(ToServer::Publish(told)) => return self.publish((following, &from), looked, told),
                Some(ToServer::SetDown) => {
                    return self.set_down(following.set_down());
                }
                Some(ToServer::Abandon) => return self.desk.say(&ToAgent::Done),
                None => return Ok(()),
                Some(_) => return Err(nonsense()),
            }
        }
    }

    /// Outside: the agent broke the protocol. Room is given back before the answer is sent: who does not listen keeps nobody waiting.
    fn look_up(
        &self,
        (following, from): (&mut Following<'_>, &Boundary),
        (looked, rules): (&mut Looked, &[String]),
    ) -> io::Result<Result<Vec<Found>, VaultError>> {
        let _room = self.intake.enter_to_look();
        let rules = looked.rules(rules).ok_or_else(nonsense)?;
        let image = (following, self.lacked.take());
        Ok(looked.look_up((self.vault, from), image, (&rules, self.intake.stopping())))
    }

    fn begin(&self, number: u64, disks: &[u32]) -> Result<(Following<'_>, Boundary), VaultError> {
        let from = self.end(number, disks)?;
        // What was shown for other points may not be stored any more.
        self.shown.clear();
        Ok((self.vault.follow(&from)?, from))
    }

    /// Where the timeline ends, if it does so at this number, with the disks in this order.
    fn end(&self, number: u64, disks: &[u32]) -> Result<Boundary, VaultError> {
        let here = |at: &Boundary| at.number.0 == number;
        let at = match self.at.borrow().clone().filter(here) {
            Some(at) => Some(at),
            None => self.vault.boundary(self.machine)?.filter(here),
        };
        let ordered = at.and_then(|at| Some(Boundary { disks: told::ordered(&at.disks, disks)?, ..at }));
        ordered.ok_or(VaultError::Overtaken)
    }

    /// Outside: the agent broke the protocol.
    fn pass(
        &self,
        following: &mut Following<'_>,
        changed: Vec<(u32, Vec<Pages>)>,
        sizes: &[u64],
    ) -> io::Result<Result<(), VaultError>> {
        let few = |changed: &Vec<(usize, Vec<Range<u64>>)>| {
            let ranges = changed.iter().flat_map(|(_, pages)| pages);
            ranges.map(|range| range.end - range.start).sum::<u64>() <= limits::PASSED
        };
        let changed = checked(changed, sizes).filter(few).ok_or_else(nonsense)?;
        let checked: Vec<_> = changed.into_iter().map(|(disk, pages)| FarChanged { disk, pages }).collect();
        if following.extents() > limits::EXTENTS {
            return Err(nonsense());
        }
        let pages: u64 = checked.iter().flat_map(|c| &c.pages).map(|range| range.end - range.start).sum();
        let _room = (pages >= MANY).then(|| self.intake.enter());
        Ok(following.pass_far(&checked, (&self.desk, &self.shown), self.intake.stopping()))
    }

    fn publish(&self, (mut following, from): (Following<'_>, &Boundary), looked: Looked, told: Told) -> io::Result<()> {
        if !limits::words(&told.note, &told.causes, &told.stamps) {
            return Err(nonsense());
        }
        let shift = self.shift(told.now);
        following.stamp(told.stamps);
        let time: Timestamp = shift.moment(told.time);
        let lacking = looked.lacking(&following);
        let made = following.publish(PointTold {
            time,
            consistency: told::consistency(told.still),
            held: told.held,
            note: told.note,
            exclusions: looked.exclusions,
            promise: told::promise(told.every, told.causes, shift),
        });
        let lacked = made.as_ref().ok().zip(lacking);
        self.lacked.replace(lacked.and_then(|(made, lacking)| Lacked::after(made.boundary(), from, lacking)));
        self.made(made)
    }
}

/// Pages of disks of these sizes, each disk once; `None`: there are no such.
fn checked(told: Vec<(u32, Vec<Pages>)>, sizes: &[u64]) -> Option<Vec<(usize, Vec<Range<u64>>)>> {
    let mut seen = vec![false; sizes.len()];
    let mut checked = Vec::with_capacity(told.len().min(sizes.len()));
    for (disk, told) in told {
        let disk = disk as usize;
        let fresh = seen.get_mut(disk).is_some_and(|seen| !std::mem::replace(seen, true));
        let pages = sizes.get(disk).and_then(|size| limits::pages(&told, *size)).filter(|_| fresh);
        checked.push((disk, pages?));
    }
    Some(checked)
}

/// What passes found so far.
fn passed(following: &Following<'_>) -> ToAgent {
    let (counters, extents) = (following.counters(), following.extents() as u64);
    ToAgent::Passed { extents, changed: counters.changed_pages, stored: counters.stored }
}
