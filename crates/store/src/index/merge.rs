//! A merge: several runs read side by side, one run written, a part at each step.
//!
//! Never knows: why these runs, or what becomes of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use backstay_env::objects::ObjectError;

use super::entry::Entry;
use super::fault::Fault;
use super::root::Writing;
use super::run::Run;
use super::site::{Found, RunId, Site};
use super::write::RunWriter;

/// Blocks that are read from a run at once: 128 KiB.
const READ_AHEAD: u32 = 32;

/// A merge under way.
pub(super) struct Merge {
    inputs: Vec<Input>,
    /// The next entry of each input that has one, with the input's place.
    next: BinaryHeap<Reverse<(Entry, usize)>>,
    writer: RunWriter,
}

/// How far a merge is.
pub(super) enum Step {
    /// There is more to do.
    More(Merge),
    /// The run is durable, and takes the place of these.
    Done(RunId, Found, Vec<Arc<Run>>),
    /// An input failed, and says so itself; what there may be of the new run is to be deleted.
    Failed(RunId, Found),
}

/// A merge that could not write; what there may be of the new run is to be deleted.
pub(super) struct Unwritten {
    pub(super) run: RunId,
    pub(super) found: Found,
    pub(super) source: ObjectError,
}

struct Input {
    run: Arc<Run>,
    /// For each pack of the run its place in the new run, if it is not forgotten.
    places: Vec<Option<u32>>,
    part: usize,
    block: u32,
    ahead: std::vec::IntoIter<Entry>,
    last: Option<Entry>,
}

impl Merge {
    /// Merges `runs` into one named `id`, without what is forgotten by now.
    pub(super) fn new(site: &Site, id: RunId, runs: Vec<Arc<Run>>, part_entries: u64) -> Merge {
        let mut packs: Vec<Writing> = runs.iter().flat_map(|run| run.live_packs().map(|(_, w)| w)).collect();
        packs.sort_unstable();
        packs.dedup();
        let inputs = runs.into_iter().map(|run| Input::new(run, &packs)).collect();
        Merge { inputs, next: BinaryHeap::new(), writer: RunWriter::new(site, id, packs, part_entries) }
    }

    /// The run that is being written.
    pub(super) fn id(&self) -> RunId {
        self.writer.id
    }

    /// Goes on until a part was written.
    pub(super) fn step(mut self, site: &Site) -> Result<Step, Unwritten> {
        match self.advance(site) {
            Ok(true) => Ok(Step::More(self)),
            Ok(false) => self.finish(site),
            Err(Stop::Input) => Ok(Step::Failed(self.writer.id, self.writer.found())),
            Err(Stop::Output(source)) => Err(Unwritten { run: self.writer.id, found: self.writer.found(), source }),
        }
    }

    fn finish(self, site: &Site) -> Result<Step, Unwritten> {
        let (run, mut found) = (self.writer.id, self.writer.found());
        found.root = true; // in doubt it is there
        match self.writer.finish(site) {
            Ok(()) => Ok(Step::Done(run, found, self.inputs.into_iter().map(|input| input.run).collect())),
            Err(source) => Err(Unwritten { run, found, source }),
        }
    }

    /// Whether a part was written; if not, there is nothing left to read.
    fn advance(&mut self, site: &Site) -> Result<bool, Stop> {
        if self.next.is_empty() {
            self.start()?;
        }
        while let Some(mut top) = self.next.peek_mut() {
            let Reverse((entry, input)) = *top;
            let follower = self.inputs[input].next()?;
            match follower {
                Some(follower) => *top = Reverse((follower, input)),
                None => _ = PeekMut::pop(top),
            }
            if self.writer.push(site, entry).map_err(Stop::Output)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the first entry of each input. Does nothing when all are at their end.
    fn start(&mut self) -> Result<(), Stop> {
        for (place, input) in self.inputs.iter_mut().enumerate() {
            if let Some(entry) = input.next()? {
                self.next.push(Reverse((entry, place)));
            }
        }
        Ok(())
    }
}

/// Why a merge stopped.
enum Stop {
    /// The input knows.
    Input,
    /// The home did not take it.
    Output(ObjectError),
}

impl Input {
    fn new(run: Arc<Run>, packs: &[Writing]) -> Input {
        let mut places = vec![None; run.packs() as usize];
        for (at, writing) in run.live_packs() {
            places[at as usize] = packs.binary_search(&writing).ok().map(|place| place as u32);
        }
        Input { run, places, part: 0, block: 0, ahead: Vec::new().into_iter(), last: None }
    }

    /// The next entry that is not forgotten, for the new run.
    fn next(&mut self) -> Result<Option<Entry>, Stop> {
        self.try_next().map_err(|fault| {
            self.run.fail(fault);
            Stop::Input
        })
    }

    fn try_next(&mut self) -> Result<Option<Entry>, Fault> {
        loop {
            let Some(entry) = self.ahead.next() else {
                match self.read_ahead()? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            if self.last.replace(entry) > Some(entry) {
                return Err(Fault::Damaged("the order"));
            }
            let place = self.places.get(entry.pack as usize);
            if let Some(pack) = *place.ok_or(Fault::Damaged("a block"))? {
                return Ok(Some(Entry { pack, ..entry }));
            }
        }
    }

    /// Whether there was anything left.
    fn read_ahead(&mut self) -> Result<bool, Fault> {
        while let Some(part) = self.run.parts.get(self.part) {
            if u64::from(self.block) < part.facts.blocks() {
                let mut ahead = Vec::new();
                part.read(self.block, READ_AHEAD, &mut ahead)?;
                self.block = self.block.saturating_add(READ_AHEAD);
                self.ahead = ahead.into_iter();
                return Ok(true);
            }
            self.part += 1;
            self.block = 0;
        }
        Ok(false)
    }
}
