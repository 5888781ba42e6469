//! The other end of a session: an agent that says what a fuzzer's bytes tell it to. Some of it is honest, so that it comes far.
//!
//! Never knows: what is made of it.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use backstay_env::link::{Link, MOST};
use backstay_format::wire;
use backstay_format::wire::v1::{CauseTold, DiskTold, PageKind, Pages, Task, ToAgent, ToServer, Told, WhyTold};
use backstay_intake::Watch;
use backstay_scan::Cutting;
use backstay_seal::Secret;
use backstay_vault::VaultError;
use backstay_vault::protect::Made;

/// Messages of a session.
const SAID: usize = 64;
/// Pages of the disks that it speaks of, when it is honest about them.
const PAGES: u64 = 64;

/// What it says next.
#[derive(Arbitrary)]
enum Next {
    Hello,
    Boundary,
    Status,
    PromiseNothing,
    Abandon,
    SetDown,
    CatchUp(Disks),
    Protect(Disks),
    Follow { number: u8, disks: Vec<u8> },
    Pass(Vec<(u8, Vec<(u8, u8)>)>),
    Publish { now: i64, time: i64, still: bool, held: u64, stamps: Vec<Vec<u8>>, every: u64, causes: Vec<(i64, u8)> },
    Verdict { still: bool, stamps: Vec<Vec<u8>> },
    Honest(u8),
    Offer { which: u8, state: Vec<(u8, u16)>, chunks: Vec<([u8; 2], u8)>, absent_behind: u16 },
    Frames { which: u8, frames: Vec<(u8, u16, bool)>, body: Vec<u8> },
    Failed { which: u8 },
    Lacks { number: u8, disks: Vec<u8> },
    LookUp(Vec<String>),
    Absent(Vec<(u8, Vec<(u8, u8)>)>),
    Noise(Vec<u8>),
}

/// Disks as they are told of.
#[derive(Arbitrary)]
struct Disks {
    disks: Vec<(u8, u16, bool)>,
    now: i64,
    every: u64,
    huge: Option<u64>,
}

/// What is wanted of it.
enum Due {
    Look { segment: u64, pieces: Vec<Pages> },
    Fetch { segment: u64, wanted: Vec<bool> },
    Verdict,
}

struct State {
    bytes: Vec<u8>,
    at: usize,
    said: usize,
    due: Vec<Due>,
    /// The pieces of segments that were looked at, for what is fetched of them.
    looked: Vec<(u64, Vec<Pages>)>,
}

/// The agent.
pub struct Liar {
    cutting: Cutting,
    state: Mutex<State>,
}

impl Liar {
    /// One that says what `bytes` tell it to, with the keys that all agents get.
    pub fn new(bytes: &[u8], (cut, name): (&Secret, &Secret)) -> Liar {
        let state = State { bytes: bytes.to_vec(), at: 0, said: 0, due: Vec::new(), looked: Vec::new() };
        Liar { cutting: Cutting::new(cut, name), state: Mutex::new(state) }
    }

    /// The next message; nothing: it has no more to say.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.said == 0 {
            state.said = 1;
            return Some(wire::encode(&ToServer::Hello { program: "liar".into() }));
        }
        let mut rest = Unstructured::new(state.bytes.get(state.at..).filter(|rest| !rest.is_empty())?);
        let (before, next) = (rest.len(), Next::arbitrary(&mut rest).ok()?);
        let used = before - rest.len();
        state.at += used.max(1);
        state.said += 1;
        if state.said > SAID {
            return None;
        }
        Some(self.message(&mut state, next))
    }

    fn message(&self, state: &mut State, next: Next) -> Vec<u8> {
        let segment = |state: &State, which: u8| match state.due.get(usize::from(which) % state.due.len().max(1)) {
            Some(Due::Look { segment, .. } | Due::Fetch { segment, .. }) => *segment,
            _ => which.into(),
        };
        let (told, body) = match next {
            Next::Honest(which) if !state.due.is_empty() => {
                let which = usize::from(which) % state.due.len();
                let due = state.due.remove(which);
                self.honest(state, due)
            }
            Next::Hello => (ToServer::Hello { program: "again".into() }, Vec::new()),
            Next::Boundary | Next::Honest(_) => (ToServer::Boundary, Vec::new()),
            Next::Status => (ToServer::Status, Vec::new()),
            Next::PromiseNothing => (ToServer::PromiseNothing, Vec::new()),
            Next::Abandon => (ToServer::Abandon, Vec::new()),
            Next::SetDown => (ToServer::SetDown, Vec::new()),
            Next::CatchUp(disks) => (ToServer::CatchUp(task(disks)), Vec::new()),
            Next::Protect(disks) => (ToServer::Protect(task(disks)), Vec::new()),
            Next::Follow { number, disks } => {
                let disks = disks.into_iter().map(u32::from).collect();
                (ToServer::Follow { number: number.into(), disks }, Vec::new())
            }
            Next::Pass(changed) => (ToServer::Pass { changed: pages_of_disks(changed) }, Vec::new()),
            Next::Publish { now, time, still, held, stamps, every, causes } => {
                let cause = |(since, why): (i64, u8)| CauseTold {
                    since,
                    why: WHYS[usize::from(why) % WHYS.len()],
                    text: "x".into(),
                };
                let causes = causes.into_iter().map(cause).collect();
                let note = "lies".into();
                (ToServer::Publish(Told { now, time, still, held, note, stamps, every, causes }), Vec::new())
            }
            Next::Verdict { still, stamps } => (ToServer::Verdict { still, stamps }, Vec::new()),
            Next::Offer { which, state: runs, chunks, absent_behind } => {
                let runs = runs.into_iter().map(|(kind, run)| (KINDS[usize::from(kind) % KINDS.len()], run)).collect();
                let chunks = chunks
                    .into_iter()
                    .map(|(id, pages)| (id.repeat(16).try_into().unwrap_or_default(), pages))
                    .collect();
                let (segment, absent_behind) = (segment(state, which), absent_behind.into());
                (ToServer::Offer { segment, state: runs, chunks, absent_behind }, Vec::new())
            }
            Next::Frames { which, frames, body } => {
                let frames =
                    frames.into_iter().map(|(chunks, length, packed)| (chunks.into(), length.into(), packed)).collect();
                (ToServer::Frames { segment: segment(state, which), frames }, body)
            }
            Next::Failed { which } => {
                (ToServer::Failed { segment: segment(state, which), why: "x".into() }, Vec::new())
            }
            Next::Lacks { number, disks } => {
                let disks = disks.into_iter().map(u32::from).collect();
                (ToServer::Lacks { number: number.into(), disks }, Vec::new())
            }
            Next::Absent(pages) => (ToServer::Absent { pages: pages_of_disks(pages) }, Vec::new()),
            Next::LookUp(rules) => (ToServer::LookUp { rules }, Vec::new()),
            Next::Noise(noise) => return noise,
        };
        [wire::encode(&told), body].concat()
    }

    /// What an agent says that means well.
    fn honest(&self, state: &mut State, due: Due) -> (ToServer, Vec<u8>) {
        match due {
            Due::Look { segment, pieces } => {
                let data = content(&pieces);
                let pages = data.len() / 4096;
                let chunks = self
                    .cutting
                    .chunks(&data, 0..pages)
                    .map(|(id, range)| (id.0, (range.len() / 4096) as u8))
                    .collect();
                state.looked.push((segment, pieces));
                let state = vec![(PageKind::Data, pages as u16)];
                (ToServer::Offer { segment, state, chunks, absent_behind: 0 }, Vec::new())
            }
            Due::Fetch { segment, wanted } => {
                let found = state.looked.iter().position(|(looked, _)| *looked == segment);
                let data = content(&found.map(|at| state.looked.remove(at).1).unwrap_or_default());
                let all = self.cutting.chunks(&data, 0..data.len() / 4096);
                let chunks: Vec<_> =
                    all.zip(&wanted).filter(|(_, wanted)| **wanted).map(|((_, range), _)| range).collect();
                let body: Vec<u8> = chunks.iter().flat_map(|range| data[range.clone()].to_vec()).collect();
                let frames = chunks.iter().map(|range| (1, range.len() as u32, false)).collect();
                (ToServer::Frames { segment, frames }, body)
            }
            Due::Verdict => (ToServer::Verdict { still: true, stamps: Vec::new() }, Vec::new()),
        }
    }
}

fn pages_of_disks(all: Vec<(u8, Vec<(u8, u8)>)>) -> Vec<(u32, Vec<Pages>)> {
    let pages = |all: Vec<(u8, u8)>| all.iter().map(|(from, to)| (u64::from(*from), u64::from(*to))).collect();
    all.into_iter().map(|(disk, all)| (disk.into(), pages(all))).collect()
}

/// What is on its disks: of every other page the same as on the honest machine's.
fn content(pieces: &[Pages]) -> Vec<u8> {
    let pages = pieces.iter().flat_map(|(from, to)| *from..(*to).min(from.saturating_add(4 * PAGES)));
    pages
        .flat_map(|page| {
            (0..4096_u32).map(move |at| (at.wrapping_add(page as u32 * 4096).wrapping_mul(2_654_435_761) >> 24) as u8)
        })
        .collect()
}

fn task(told: Disks) -> Task {
    let disk = |(name, pages, odd): (u8, u16, bool)| {
        let size = u64::from(pages) % PAGES * 4096 + u64::from(odd) * 512;
        let size = told.huge.unwrap_or(size);
        DiskTold {
            name: format!("d{}", name % 4),
            origin: "lies".into(),
            size,
            sector: 512,
            used: size,
            exclusions: Vec::new(),
        }
    };
    let disks = told.disks.into_iter().map(disk).collect();
    Task { disks, note: "lies".into(), now: told.now, every: told.every, causes: Vec::new() }
}

const KINDS: [PageKind; 5] =
    [PageKind::Absent, PageKind::Zero, PageKind::Data, PageKind::Unreadable, PageKind::Excluded];
const WHYS: [WhyTold; 4] = [WhyTold::Unknown, WhyTold::Suspended, WhyTold::Clock, WhyTold::Failed];

impl Link for Liar {
    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        let message = parts.concat();
        assert!(message.len() <= MOST, "no end of a link takes this");
        let (told, _) = wire::decode::<ToAgent>(&message).expect("a server keeps to the protocol");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            ToAgent::Look { segment, pieces, .. } => state.due.push(Due::Look { segment, pieces }),
            ToAgent::Fetch { segment, wanted } => state.due.push(Due::Fetch { segment, wanted }),
            ToAgent::AskVerdict => state.due.push(Due::Verdict),
            _ => state.due.clear(),
        }
        Ok(())
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.next())
    }

    fn receive_within(&self, _patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.receive()
    }

    fn close(&self) {}
}

/// Is told what happens, and does nothing.
pub struct Nobody;

impl Watch for Nobody {
    fn came(&self, _machine: &str, _program: &str) {}
    fn made(&self, _made: &Made) {}
    fn failed(&self, _machine: &str, _error: &VaultError) {}
    fn left(&self, _machine: &str, _why: Option<&str>) {}
}
