//! The desk: questions go out over the link, answers come back in any order, each to whoever asked.
//!
//! There is no thread for the link: of those who wait, one receives for all. So it runs with one thread as with many.
//!
//! Never knows: what is done with the answers.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backstay_env::link::Link;
use backstay_format::units::ChunkId;
use backstay_format::wire;
use backstay_format::wire::v1::{PageKind, ToAgent, ToServer};
use backstay_scan::Page;
use backstay_vault::protect::{Far, FarFrame, FarSegment, Offer};

use crate::limits::PAGES;

/// An agent at the other end of a link.
pub(crate) struct Desk<'a> {
    link: &'a dyn Link,
    /// How long nothing may come while an answer is due: others may be waiting for their turn.
    patience: Duration,
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    /// Segments of which an answer is due. Nothing else is taken: so no more is held in memory than was asked for.
    due: HashSet<u64>,
    /// Answers that nobody took yet, by segment.
    answers: HashMap<u64, Answer>,
    /// Somebody is receiving.
    receiving: bool,
    /// Why nothing will come any more.
    over: Option<String>,
    /// What the agent says of the point, when asked.
    verdict: Option<(bool, Vec<Vec<u8>>)>,
}

enum Answer {
    Offer(Offer),
    Frames(Vec<FarFrame>),
    Failed(String),
}

impl<'a> Desk<'a> {
    pub(crate) fn new(link: &'a dyn Link, patience: Duration) -> Self {
        Desk { link, patience, state: Mutex::default(), came: Condvar::new() }
    }

    pub(crate) fn say(&self, told: &ToAgent) -> io::Result<()> {
        self.link.send(&[&wire::encode(told)])
    }

    /// The next request; `None`: the agent has ended the session. To be asked only while no answers are due. Who owes one
    /// is not heard any more.
    pub(crate) fn request(&self) -> io::Result<Option<ToServer>> {
        self.lock().sound()?;
        let Some(message) = self.link.receive()? else { return Ok(None) };
        wire::decode::<ToServer>(&message).map(|(request, _)| Some(request)).map_err(|_| nonsense())
    }

    /// What the agent says of the point.
    pub(crate) fn verdict(&self) -> io::Result<(bool, Vec<Vec<u8>>)> {
        self.say(&ToAgent::AskVerdict)?;
        self.wait(|state| state.verdict.take())
    }

    /// Waits until there is what is looked for, receiving if nobody else does.
    fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> io::Result<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            state.sound()?;
            if state.receiving {
                state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.receiving = true;
            drop(state);
            let received = self.link.receive_within(self.patience);
            state = self.lock();
            state.receiving = false;
            match received {
                Ok(Some(message)) => match read(&message) {
                    Ok(told) => state.take(told),
                    Err(error) => state.over = Some(error.to_string()),
                },
                Ok(None) => state.over = Some("the agent has ended the connection".into()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    state.over = Some("the agent does not answer".into())
                }
                Err(error) => state.over = Some(error.to_string()),
            }
            self.came.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came during a request.
enum Came {
    Answer(u64, Answer),
    Verdict(bool, Vec<Vec<u8>>),
}

impl State {
    fn sound(&self) -> io::Result<()> {
        match &self.over {
            Some(why) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone())),
            None => Ok(()),
        }
    }

    fn take(&mut self, came: Came) {
        match came {
            Came::Answer(segment, answer) if self.due.remove(&segment) => drop(self.answers.insert(segment, answer)),
            Came::Verdict(still, stamps) => self.verdict = Some((still, stamps)),
            Came::Answer(..) => self.over = Some(nonsense().to_string()),
        }
    }
}

fn read(message: &[u8]) -> io::Result<Came> {
    let (told, body) = wire::decode::<ToServer>(message).map_err(|_| nonsense())?;
    match told {
        ToServer::Offer { segment, state, chunks, absent_behind } => {
            let pages: usize = state.iter().map(|(_, run)| usize::from(*run)).sum();
            if pages > PAGES || chunks.len() > PAGES {
                return Err(nonsense());
            }
            let state = state.iter().flat_map(|(kind, run)| std::iter::repeat_n(page(*kind), usize::from(*run)));
            let chunks = chunks.into_iter().map(|(id, pages)| (ChunkId(id), usize::from(pages)));
            let offer = Offer { state: state.collect(), chunks: chunks.collect(), absent_behind };
            Ok(Came::Answer(segment, Answer::Offer(offer)))
        }
        ToServer::Failed { segment, why } => Ok(Came::Answer(segment, Answer::Failed(why))),
        ToServer::Frames { segment, frames } => {
            if frames.len() > PAGES {
                return Err(nonsense());
            }
            let mut rest = body;
            let mut out = Vec::with_capacity(frames.len());
            for (chunks, length, compressed) in frames {
                let (bytes, more) = rest.split_at_checked(length as usize).ok_or_else(nonsense)?;
                rest = more;
                out.push(FarFrame { chunks: usize::from(chunks), bytes: bytes.to_vec(), compressed });
            }
            if rest.is_empty() { Ok(Came::Answer(segment, Answer::Frames(out))) } else { Err(nonsense()) }
        }
        ToServer::Verdict { still, stamps } => Ok(Came::Verdict(still, stamps)),
        _ => Err(nonsense()),
    }
}

fn page(kind: PageKind) -> Page {
    match kind {
        PageKind::Absent => Page::Absent,
        PageKind::Zero => Page::Zero,
        PageKind::Data => Page::Data,
        PageKind::Unreadable => Page::Unreadable,
        PageKind::Excluded => Page::Excluded,
    }
}

impl Desk<'_> {
    /// Asks something about a segment, and waits for the answer.
    fn answer(&self, segment: u64, question: &ToAgent) -> io::Result<Answer> {
        self.lock().due.insert(segment);
        self.say(question)?;
        match self.wait(|state| state.answers.remove(&segment))? {
            Answer::Failed(why) => Err(io::Error::other(why)),
            answer => Ok(answer),
        }
    }
}

impl Far for Desk<'_> {
    fn look(&self, segment: u64, asked: &FarSegment) -> io::Result<Offer> {
        let pieces = asked.pieces.iter().map(|piece| (piece.start, piece.end)).collect();
        match self.answer(segment, &ToAgent::Look { segment, disk: asked.disk as u32, pieces })? {
            Answer::Offer(offer) => Ok(offer),
            _ => Err(nonsense()),
        }
    }

    fn fetch(&self, segment: u64, wanted: &[bool]) -> io::Result<Vec<FarFrame>> {
        match self.answer(segment, &ToAgent::Fetch { segment, wanted: wanted.to_vec() })? {
            Answer::Frames(frames) => Ok(frames),
            _ => Err(nonsense()),
        }
    }

    fn forget(&self, segment: u64) -> io::Result<()> {
        self.say(&ToAgent::Forget { segment })
    }
}

pub(crate) fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the agent does not keep to the protocol")
}
