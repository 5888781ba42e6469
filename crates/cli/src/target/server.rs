//! A server, reached over a session that is opened when it is needed and again when it was lost.
//!
//! Never knows: what the server does with points.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_agent::{AgentError, Enrolled, Following, Reading, Session};
use backstay_env::real::link::Identity;
use backstay_format::DecodeError;
use backstay_format::rows::gap::SuspensionRow;
use backstay_format::rows::{Consistency, DiskAt, Exclusion, MachineRow, PointRow};
use backstay_format::units::{DiskNo, MachineId, PointNo, Timestamp};
use backstay_format::wire::v1::{BoundaryTold, DiskTold, MadeTold, Task, Told as WireTold};
use backstay_items::exclude::Rule;
use backstay_recover::left_out::Found;
use backstay_vault::protect::{Boundary, Capture, Changed, InMaking, Made, Source, Told};
use backstay_vault::rows::{Machine, Point};

use super::{InTheMaking, Target, Trouble};

/// A server that this machine was enrolled with.
pub(crate) struct Server {
    /// Whom it is reached as: the certificate is renewed from time to time.
    enrolled: Mutex<Enrolled>,
    threads: usize,
    session: Mutex<Option<Arc<Session>>>,
    /// Somebody uses the session.
    busy: AtomicBool,
}

/// The use of the session.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Server {
    /// Nothing is connected yet.
    pub(crate) fn new(enrolled: Enrolled, threads: usize) -> Self {
        Server { enrolled: Mutex::new(enrolled), threads, session: Mutex::default(), busy: AtomicBool::new(false) }
    }

    /// The machine's name, as the server knows it.
    pub(crate) fn machine(&self) -> Result<String, Trouble> {
        self.ask(|session| Ok(session.welcome().machine.clone()))
    }

    /// From the next connection on, this is who we are.
    pub(crate) fn renewed(&self, identity: Identity) {
        self.enrolled.lock().unwrap_or_else(PoisonError::into_inner).identity = identity;
    }

    fn session(&self) -> Result<Arc<Session>, AgentError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let program = format!("backstay {}", env!("CARGO_PKG_VERSION"));
        let enrolled = self.enrolled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let opened = Arc::new(Session::open(&enrolled, program, self.threads)?);
        Ok(session.insert(opened).clone())
    }

    fn busy(&self) -> Result<Busy<'_>, Trouble> {
        let free = self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        free.then(|| Busy(&self.busy)).ok_or(Trouble::Impossible("the connection to the server is in use"))
    }

    /// Something that takes one request. A session that fails is not used again; one that turns out to have ended since it was
    /// used last is opened once more.
    fn ask<T>(&self, request: impl Fn(&Arc<Session>) -> Result<T, AgentError>) -> Result<T, Trouble> {
        let _busy = self.busy()?;
        self.ask_alone(request)
    }

    /// As [`Server::ask`], for who has the session already.
    fn ask_alone<T>(&self, request: impl Fn(&Arc<Session>) -> Result<T, AgentError>) -> Result<T, Trouble> {
        let was_open = self.session.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let outcome = self.kept(|| self.session().and_then(|session| request(&session)));
        match outcome {
            Err(AgentError::Lost(_)) if was_open => {
                Ok(self.kept(|| self.session().and_then(|session| request(&session)))?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Does something, and forgets the session if that is of no more use.
    fn kept<T>(&self, work: impl FnOnce() -> Result<T, AgentError>) -> Result<T, AgentError> {
        let outcome = work();
        if outcome.as_ref().is_err_and(AgentError::ends_session) {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }
}

impl Target for Server {
    fn boundary(&self, _machine: &str) -> Result<Option<Boundary>, Trouble> {
        Ok(self.ask(|session| session.boundary())?.map(boundary))
    }

    fn protect(&self, capture: &Capture<'_>) -> Result<Made, Trouble> {
        let verdict = || {
            let verdict = (capture.verdict)();
            (verdict.consistency == Consistency::Still, verdict.stamps)
        };
        let seen = |used, read| capture.progress.looked_at(used, read);
        let readings = readings(&capture.sources);
        let made = self.ask(|session| {
            capture.progress.begin(bytes(capture));
            session.protect((task(capture), &readings, &verdict), (capture.cancel, &seen))
        })?;
        Ok(self::made(made))
    }

    fn catch_up(&self, capture: &Capture<'_>) -> Result<Boundary, Trouble> {
        let seen = |used, read| capture.progress.looked_at(used, read);
        let readings = readings(&capture.sources);
        let at = self.ask(|session| {
            capture.progress.begin(bytes(capture));
            session.catch_up((task(capture), &readings), (capture.cancel, &seen))
        })?;
        // In the order in which they were named.
        let mut at = boundary(at);
        let place = |disk: &DiskAt| capture.sources.iter().position(|source| source.name == disk.name);
        at.disks.sort_by_key(place);
        Ok(at)
    }

    fn follow<'t>(&'t self, from: &Boundary) -> Result<Box<dyn InTheMaking + 't>, Trouble> {
        let numbers: Vec<u32> = from.disks.iter().map(|disk| disk.disk.0).collect();
        let busy = self.busy()?;
        let following = self.ask_alone(|session| session.follow(from.number.0, numbers.clone()))?;
        let disks = from.disks.len();
        Ok(Box::new(AtServer { server: self, following, disks, _busy: busy }))
    }

    fn lacks(&self, from: &Boundary) -> Result<Vec<Vec<Range<u64>>>, Trouble> {
        let numbers: Vec<u32> = from.disks.iter().map(|disk| disk.disk.0).collect();
        self.ask(|session| session.lacks(from.number.0, numbers.clone()))
    }

    fn suspension(&self, _machine: &str) -> Result<Option<SuspensionRow>, Trouble> {
        self.ask(|session| session.suspended())
    }

    fn suspension_is_over(&self, _machine: &str) {
        // The server sees to it.
    }

    fn promise_nothing(&self, _machine: &str) -> Result<(), Trouble> {
        self.ask(|session| session.promise_nothing())
    }

    fn settle(&self, _made: &Made) -> Result<(), Trouble> {
        // The server does.
        Ok(())
    }

    fn rest(&self) {}
}

/// A point in the making at a server.
struct AtServer<'t> {
    server: &'t Server,
    // Dropped before others may use the session.
    following: Following,
    disks: usize,
    _busy: Busy<'t>,
}

impl InTheMaking for AtServer<'_> {
    fn pass(&mut self, changed: &[Changed<'_>], cancel: &AtomicBool) -> Result<(), Trouble> {
        let pages =
            changed.iter().map(|c| (c.disk as u32, c.pages.iter().map(|range| (range.start, range.end)).collect()));
        let readings: Vec<Reading<'_>> = changed.iter().map(of_changed).collect();
        let pages = pages.collect();
        Ok(self.server.kept(|| self.following.pass((pages, &readings), (cancel, &|_, _| ())))?)
    }

    fn absent(&mut self, disk: usize, pages: Vec<Range<u64>>) -> Result<(), Trouble> {
        let pages = pages.iter().map(|range| (range.start, range.end)).collect();
        Ok(self.server.kept(|| self.following.absent(disk as u32, pages))?)
    }

    fn look_up(
        &mut self,
        (rules, _lacks): (&[Rule], &[&[Range<u64>]]),
        _cancel: &AtomicBool,
    ) -> Result<Vec<Found>, Trouble> {
        // The server knows better what the timeline lacks.
        let texts: Vec<String> = rules.iter().map(|rule| rule.text.clone()).collect();
        let told = self.server.kept(|| self.following.look_up(texts))?;
        match told.len() == self.disks {
            true => told.into_iter().map(|told| found(told, rules)).collect(),
            false => Err(AgentError::Protocol(DecodeError::Invalid("number of disks")).into()),
        }
    }

    fn extents(&self) -> usize {
        usize::try_from(self.following.extents()).unwrap_or(usize::MAX)
    }

    fn in_making(&self) -> Option<InMaking> {
        let (number, begun) = self.following.in_making();
        Some(InMaking { number: PointNo(number), begun: Timestamp(begun) })
    }

    fn publish(self: Box<Self>, told: Told) -> Result<Made, Trouble> {
        let AtServer { server, following, _busy, .. } = *self;
        let told = WireTold {
            now: now(),
            time: told.time.0,
            still: told.consistency == Consistency::Still,
            held: told.held,
            note: told.note,
            stamps: Vec::new(),
            every: told.promise.every,
            causes: told.promise.causes.iter().map(Into::into).collect(),
        };
        Ok(made(server.kept(|| following.publish(told))?))
    }
}

fn found(told: backstay_agent::Found, rules: &[Rule]) -> Result<Found, Trouble> {
    let named = |(rule, bytes): &(u32, u64)| {
        let text = rules.get(*rule as usize)?.text.clone();
        Some((*rule as usize, Exclusion { rule: text, bytes: *bytes }))
    };
    let met: Option<Vec<_>> = told.met.iter().map(named).collect();
    let (met, exclusions) = met.ok_or(AgentError::Protocol(DecodeError::Invalid("rule")))?.into_iter().unzip();
    Ok(Found { excluded: told.excluded, lacking: told.lacking, exclusions, met, doubts: told.doubts })
}

fn of_changed<'c>(changed: &'c Changed<'c>) -> Reading<'c> {
    Reading {
        disk: changed.disk as u32,
        volume: changed.volume,
        used: std::iter::once(0..changed.volume.size()).collect(),
        excluded: changed.excluded.clone(),
    }
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

fn bytes(capture: &Capture<'_>) -> u64 {
    capture.sources.iter().flat_map(|source| &source.used).map(|range| range.end - range.start).sum()
}

fn task(capture: &Capture<'_>) -> Task {
    let disk = |source: &Source<'_>| DiskTold {
        name: source.name.clone(),
        origin: source.origin.clone(),
        size: source.volume.size(),
        sector: source.volume.sector_size(),
        used: source.used.iter().map(|range| range.end - range.start).sum(),
        exclusions: source.exclusions.iter().map(|e| (e.rule.clone(), e.bytes)).collect(),
    };
    Task {
        disks: capture.sources.iter().map(disk).collect(),
        note: capture.note.clone(),
        now: now(),
        every: capture.promise.every,
        causes: capture.promise.causes.iter().map(Into::into).collect(),
    }
}

fn readings<'s>(sources: &'s [Source<'s>]) -> Vec<Reading<'s>> {
    let reading = |(index, source): (usize, &'s Source<'s>)| Reading {
        disk: index as u32,
        volume: source.volume,
        used: source.used.clone(),
        excluded: source.excluded.clone(),
    };
    sources.iter().enumerate().map(reading).collect()
}

fn boundary(told: BoundaryTold) -> Boundary {
    let row = MachineRow {
        created: Timestamp(told.created),
        name: told.name,
        next_disk: DiskNo(told.next_disk),
        next_point: PointNo(told.next_point),
    };
    Boundary {
        machine: Machine { id: MachineId(told.machine), row },
        number: PointNo(told.number),
        begun: told.begun.map(Timestamp),
        disks: told.disks.into_iter().map(DiskAt::from).collect(),
    }
}

fn made(told: MadeTold) -> Made {
    let at = boundary(told.at);
    let row = PointRow {
        time: Timestamp(told.time),
        started: Timestamp(told.started),
        committed: Timestamp(told.committed),
        consistency: if told.still { Consistency::Still } else { Consistency::Fuzzy },
        note: told.note,
        disks: at.disks,
        read: told.read,
        changed: told.changed,
        stored: told.stored,
        held: told.held,
    };
    Made { machine: at.machine, point: Point { number: at.number, row }, started_over: told.started_over }
}
