//! A session: requests to the server, one at a time, and its questions answered while they are under way.
//!
//! Never knows: how changes are noticed, or when points are due.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backstay_env::link::Link;
use backstay_format::DecodeError;
use backstay_format::rows::gap::SuspensionRow;
use backstay_format::units::{StoreId, Timestamp};
use backstay_format::wire;
use backstay_format::wire::v1::{BoundaryTold, MadeTold, Pages, Refusal, Task, ToAgent, ToServer};
use backstay_seal::Secret;

use crate::answer::{Answering, Asked, Reading, Seen};
use crate::following::Following;
use crate::link::{AgentError, Enrolled};
use crate::questions::{End, Questions, Takes};

/// What the server told at the beginning.
pub struct Welcome {
    /// The machine's name.
    pub machine: String,
    /// The store that its points go into.
    pub store: StoreId,
    pub(crate) cut: Secret,
    pub(crate) name: Secret,
    pub(crate) level: i32,
    pub(crate) frame_pages: u32,
}

/// A session with a server.
pub struct Session {
    link: Arc<dyn Link>,
    welcome: Welcome,
    /// Threads that read and compress; 0: the caller's does.
    threads: usize,
}

/// What a point says of itself at the end of a rescan: whether nothing wrote to the disks, and what their files look like.
pub type Verdict = (bool, Vec<Vec<u8>>);

impl Session {
    /// Connects, and says who is there. `threads` read and compress; with none, nothing is done but on the caller's thread.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn open(enrolled: &Enrolled, program: String, threads: usize) -> Result<Session, AgentError> {
        Session::over(enrolled.link()?, program, threads)
    }

    /// As [`Session::open`], over a link that is there.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn over(link: Arc<dyn Link>, program: String, threads: usize) -> Result<Session, AgentError> {
        let welcome = match ask(&*link, &ToServer::Hello { program })? {
            ToAgent::Welcome { machine, store, cut, name, level, frame_pages } => Welcome {
                machine,
                store: StoreId(store),
                cut: Secret(cut),
                name: Secret(name),
                level: level.clamp(1, 19),
                frame_pages: frame_pages.clamp(1, 256),
            },
            other => return Err(unexpected(other)),
        };
        Ok(Session { link, welcome, threads })
    }

    /// What the server told at the beginning.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Where the machine's timeline ends; `None`: it has no points.
    ///
    /// # Errors
    /// [`AgentError`], as of all requests: after [`AgentError::Lost`] and [`AgentError::Protocol`] the session is of no more use.
    pub fn boundary(&self) -> Result<Option<BoundaryTold>, AgentError> {
        match self.ask(&ToServer::Boundary)? {
            ToAgent::At(boundary) => Ok(boundary),
            other => Err(unexpected(other)),
        }
    }

    /// Since when and until when no points are wanted, by the server's clock, and why; if so.
    ///
    /// # Errors
    /// As [`Session::boundary`].
    pub fn suspended(&self) -> Result<Option<SuspensionRow>, AgentError> {
        match self.ask(&ToServer::Status)? {
            ToAgent::Status { suspended } => Ok(suspended.map(|(since, until, reason)| SuspensionRow {
                since: Timestamp(since),
                until: Timestamp(until),
                reason,
            })),
            other => Err(unexpected(other)),
        }
    }

    /// Takes back the promise of further points.
    ///
    /// # Errors
    /// As [`Session::boundary`].
    pub fn promise_nothing(&self) -> Result<(), AgentError> {
        self.ask(&ToServer::PromiseNothing).and_then(done)
    }

    /// Has disks compared with the timeline and what differs put down, without a point.
    ///
    /// # Errors
    /// As [`Session::boundary`]; [`AgentError::Cancelled`].
    pub fn catch_up(
        &self,
        (task, disks): (Task, &[Reading<'_>]),
        (cancel, seen): (&AtomicBool, Seen<'_>),
    ) -> Result<BoundaryTold, AgentError> {
        match self.run(&ToServer::CatchUp(task), (disks, &|| (false, Vec::new())), (cancel, seen))? {
            ToAgent::CaughtUp(boundary) => Ok(boundary),
            other => Err(unexpected(other)),
        }
    }

    /// Has disks compared with the timeline, and a point made.
    ///
    /// # Errors
    /// As [`Session::catch_up`].
    pub fn protect(
        &self,
        (task, disks, verdict): (Task, &[Reading<'_>], &dyn Fn() -> Verdict),
        (cancel, seen): (&AtomicBool, Seen<'_>),
    ) -> Result<MadeTold, AgentError> {
        match self.run(&ToServer::Protect(task), (disks, verdict), (cancel, seen))? {
            ToAgent::Made(made) => Ok(made),
            other => Err(unexpected(other)),
        }
    }

    /// Begins a point that goes on from where a span ends. `disks`: their numbers.
    ///
    /// # Errors
    /// As [`Session::boundary`].
    pub fn follow(self: &Arc<Self>, number: u64, disks: Vec<u32>) -> Result<Following, AgentError> {
        match self.ask(&ToServer::Follow { number, disks })? {
            ToAgent::Following { next, begun } => Ok(Following::begun(self.clone(), (next, begun))),
            other => Err(unexpected(other)),
        }
    }

    /// Which pages the timeline lacks by choice where a span ends, for each disk; not all, should they be in very many pieces.
    ///
    /// # Errors
    /// As [`Session::boundary`].
    pub fn lacks(&self, number: u64, disks: Vec<u32>) -> Result<Vec<Vec<Range<u64>>>, AgentError> {
        let mut lacks = vec![Vec::new(); disks.len()];
        let told = match self.ask(&ToServer::Lacks { number, disks })? {
            ToAgent::Lacking { disks } => disks,
            other => return Err(unexpected(other)),
        };
        for (disk, pages) in told {
            let lacking = lacks.get_mut(disk as usize).ok_or(AgentError::Protocol(DecodeError::Invalid("disk")))?;
            *lacking = ordered(pages)?;
        }
        Ok(lacks)
    }

    pub(crate) fn ask(&self, request: &ToServer) -> Result<ToAgent, AgentError> {
        ask(&*self.link, request)
    }

    /// A request during which the server asks for segments.
    pub(crate) fn run(
        &self,
        request: &ToServer,
        (disks, verdict): (&[Reading<'_>], &dyn Fn() -> Verdict),
        (cancel, seen): (&AtomicBool, Seen<'_>),
    ) -> Result<ToAgent, AgentError> {
        let outcome = self.try_run(request, (disks, verdict), (cancel, seen));
        if matches!(outcome, Err(AgentError::Lost(_) | AgentError::Protocol(_) | AgentError::Cancelled)) {
            // The server cannot go on without answers.
            self.link.close();
        }
        outcome
    }

    fn try_run(
        &self,
        request: &ToServer,
        (disks, verdict): (&[Reading<'_>], &dyn Fn() -> Verdict),
        (cancel, seen): (&AtomicBool, Seen<'_>),
    ) -> Result<ToAgent, AgentError> {
        let answering = Answering::new(disks, (&*self.link, &self.welcome), (cancel, seen));
        self.link.send(&[&wire::encode(request)]).map_err(AgentError::Lost)?;
        if self.threads == 0 {
            let mut compressor = answering.compressor();
            return self.questions((verdict, cancel), |next| {
                let failed = |error| {
                    if cancel.load(Ordering::Relaxed) { AgentError::Cancelled } else { AgentError::Lost(error) }
                };
                answering.answer(next, &mut compressor).map_err(failed)
            });
        }
        let (asked, failed) = (Questions::default(), Mutex::new(None));
        let outcome = std::thread::scope(|scope| {
            let serve = |takes| serve(&answering, (&asked, takes), &failed, &*self.link);
            (0..self.threads).for_each(|_| drop(scope.spawn(move || serve(Takes::All))));
            scope.spawn(move || serve(Takes::Looks));
            // When this ends, so do the threads.
            let _end = End(&asked);
            self.questions((verdict, cancel), |next| match next {
                // Before anything that is asked later: there must be room for that.
                Asked::Forget { segment } => answering.forget(segment).map_err(AgentError::Lost),
                next => match asked.put(next) {
                    true => Ok(()),
                    false => Err(AgentError::Protocol(DecodeError::Invalid("number of questions"))),
                },
            })
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(_) if cancel.load(Ordering::Relaxed) => Err(AgentError::Cancelled),
            Some(error) => Err(AgentError::Lost(error)),
            None => outcome,
        }
    }

    /// Hands the server's questions to `answer` until there is a reply.
    fn questions(
        &self,
        (verdict, cancel): (&dyn Fn() -> Verdict, &AtomicBool),
        mut answer: impl FnMut(Asked) -> Result<(), AgentError>,
    ) -> Result<ToAgent, AgentError> {
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(AgentError::Cancelled);
            }
            match receive(&*self.link)? {
                ToAgent::Look { segment, disk, pieces } => answer(Asked::Look { segment, disk, pieces })?,
                ToAgent::Fetch { segment, wanted } => answer(Asked::Fetch { segment, wanted })?,
                ToAgent::Forget { segment } => answer(Asked::Forget { segment })?,
                ToAgent::AskVerdict => {
                    let (still, stamps) = verdict();
                    let told = ToServer::Verdict { still, stamps };
                    self.link.send(&[&wire::encode(&told)]).map_err(AgentError::Lost)?;
                }
                reply => return Ok(reply),
            }
        }
    }
}

/// Answers until nobody asks any more. After a failure the link is closed, so that nobody waits for what does not come.
fn serve(
    answering: &Answering<'_>,
    (asked, takes): (&Questions, Takes),
    failed: &Mutex<Option<io::Error>>,
    link: &dyn Link,
) {
    let mut compressor = answering.compressor();
    while let Some(next) = asked.next(takes) {
        if let Err(error) = answering.answer(next, &mut compressor) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            link.close();
            return;
        }
    }
}

fn ask(link: &dyn Link, request: &ToServer) -> Result<ToAgent, AgentError> {
    link.send(&[&wire::encode(request)]).map_err(AgentError::Lost)?;
    match receive(link)? {
        ToAgent::Refused { kind, why } => Err(AgentError::Refused { kind, why }),
        other => Ok(other),
    }
}

fn receive(link: &dyn Link) -> Result<ToAgent, AgentError> {
    let message = link.receive().map_err(AgentError::Lost)?;
    let ended = || AgentError::Lost(io::ErrorKind::UnexpectedEof.into());
    let message = message.ok_or_else(ended)?;
    Ok(wire::decode::<ToAgent>(&message).map_err(AgentError::Protocol)?.0)
}

fn done(reply: ToAgent) -> Result<(), AgentError> {
    match reply {
        ToAgent::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// Ranges of pages as they must be: none empty, in order, apart from each other.
pub(crate) fn ordered(pages: Vec<Pages>) -> Result<Vec<Range<u64>>, AgentError> {
    let sound = pages.iter().all(|(from, to)| from < to) && pages.windows(2).all(|w| w[0].1 < w[1].0);
    match sound {
        true => Ok(pages.into_iter().map(|(from, to)| from..to).collect()),
        false => Err(AgentError::Protocol(DecodeError::Invalid("pages"))),
    }
}

pub(crate) fn unexpected(reply: ToAgent) -> AgentError {
    match reply {
        ToAgent::Refused { kind, why } => AgentError::Refused { kind, why },
        _ => AgentError::Protocol(DecodeError::Invalid("answer")),
    }
}

impl AgentError {
    /// Whether the session is of no more use.
    pub fn ends_session(&self) -> bool {
        match self {
            AgentError::Refused { kind, .. } => *kind == Refusal::Ending,
            _ => true,
        }
    }
}
