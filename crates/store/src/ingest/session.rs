//! One ingest: the state between segments.
//!
//! Never knows: threads (the pool does), or what is known elsewhere (the sink does).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_env::random::Random;
use backstay_env::real::disk::Buffer;
use backstay_env::time::Clock;
use backstay_format::names;
use backstay_format::rows::PackRow;
use backstay_format::units::{ChunkId, ChunkNo, FrameNo, ObjectId, PAGE_SIZE, PackId, StoreId};
use backstay_seal::Secret;
use backstay_seal::compress::Compressor;
use backstay_seal::frame::FrameKey;

use super::pool::{Pool, Urgency, Workers};
use super::{ChunkAt, IngestError, NewPack, Packed, Placed, Scanned, Scanner, Sink};
use crate::pack::{BlobPlace, FinishedPack, OpenPack, SealedFrame, aged_id};

/// Sizes and numbers that decide speed and space, not correctness.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Threads; 0: everything on the caller's, in the same order every time.
    pub threads: usize,
    /// Level of zstd.
    pub level: i32,
    /// A frame ends when it has so many pages.
    pub frame_pages: u32,
    /// A pack ends when it has so many bytes of plaintext.
    pub pack_plain: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Tuning { threads, level: 3, frame_pages: 64, pack_plain: 32 << 20 }
    }
}

/// Where packs are written, and with what.
pub struct Ingest {
    home: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    store: StoreId,
    vault: String,
    tuning: Tuning,
    /// Packs that are not written yet, by the order in which they were opened.
    packs: BTreeMap<usize, OpenPack>,
    next_pack: usize,
    pending: Vec<Pending>,
    pending_pages: u32,
    /// Chunks placed in packs that are not written yet.
    own: HashMap<ChunkId, ChunkAt>,
}

/// A chunk that has a place in a frame that is not complete.
struct Pending {
    id: ChunkId,
    pages: u32,
    buffer: Arc<Buffer>,
    range: Range<usize>,
}

enum Job {
    Scan(usize),
    Seal { pack: usize, frame: FrameNo, key: Arc<FrameKey>, chunks: Vec<Pending> },
    SealPacked { pack: usize, frame: FrameNo, key: Arc<FrameKey>, bytes: Vec<u8>, compressed: bool },
    Put { pack: Box<FinishedPack>, object: ObjectId },
}

enum Done<N, E> {
    Scanned(usize, Result<Scanned<N>, E>),
    Sealed(usize, SealedFrame),
    Put(Box<FinishedPack>, ObjectId, Result<(), ObjectError>),
}

impl Ingest {
    /// An ingest into a vault of a store.
    pub fn new(
        home: Arc<dyn Objects>,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        (store, vault): (StoreId, &str),
        tuning: Tuning,
    ) -> Self {
        Ingest {
            home,
            clock,
            random,
            store,
            vault: vault.to_owned(),
            tuning,
            packs: BTreeMap::new(),
            next_pack: 0,
            pending: Vec::new(),
            pending_pages: 0,
            own: HashMap::new(),
        }
    }

    /// Scans segments `0..count` and writes what is new in them. Packs that are full are written on the way; the last
    /// one waits for [`Ingest::finish`].
    ///
    /// # Errors
    /// [`IngestError`]; packs reported as durable stay written, others may be too.
    pub fn run<S: Scanner + ?Sized>(
        &mut self,
        scanner: &S,
        count: usize,
        sink: &mut impl Sink<S::Note, S::Error>,
    ) -> Result<(), IngestError<S::Error>> {
        let tuning = self.tuning;
        let scans = Scans::of(scanner, tuning.threads);
        let (home, vault) = (self.home.clone(), self.vault.clone());
        let work = |compressor: &mut Compressor, job: Job| match job {
            Job::Scan(number) => Done::Scanned(number, scanner.scan(number)),
            Job::Seal { pack, frame, key, chunks } => Done::Sealed(pack, seal(frame, &key, &chunks, compressor)),
            Job::SealPacked { pack, frame, key, bytes, compressed } => {
                Done::Sealed(pack, SealedFrame::seal_packed(frame, (bytes, compressed), &key))
            }
            Job::Put { pack, object } => {
                let outcome = put(&*home, &vault, &pack, object);
                Done::Put(pack, object, outcome)
            }
        };
        Pool::run(
            scans.threads,
            || Compressor::new(tuning.level),
            work,
            |workers| {
                Run { ingest: self, workers, scans, in_flight: 0, puts: 0, early: BTreeMap::new() }.go(count, sink)
            },
        )
    }

    /// Puts a blob into the open pack.
    pub fn put_blob(&mut self, blob: &[u8]) -> BlobPlace {
        assert!(self.pending.is_empty(), "a blob amid the chunks of a frame");
        self.open_pack();
        let level = self.tuning.level;
        let pack = self.packs.get_mut(&(self.next_pack - 1)).expect("just opened");
        pack.add_blob(blob, &mut Compressor::new(level))
    }

    /// Whether the open pack has reached its size.
    pub fn is_full(&self) -> bool {
        self.packs.values().next_back().is_some_and(|p| p.plain() >= self.tuning.pack_plain)
    }

    /// Writes the packs that are still open.
    ///
    /// # Errors
    /// [`ObjectError`]; packs written so far are not reported.
    pub fn finish(&mut self) -> Result<Vec<NewPack>, ObjectError> {
        self.finish_beside(|_| ()).map(|(packs, ())| packs)
    }

    /// As [`Ingest::finish`], and meanwhile does something with what the packs will be that does not need them durable.
    ///
    /// # Errors
    /// As [`Ingest::finish`]; the other thing may have been done.
    pub fn finish_beside<T: Send>(
        &mut self,
        beside: impl FnOnce(&[NewPack]) -> T + Send,
    ) -> Result<(Vec<NewPack>, T), ObjectError> {
        assert!(self.pending.is_empty(), "an ingest ended amid a frame");
        self.own.clear();
        let open = std::mem::take(&mut self.packs);
        let (mut last, mut packs) = (Vec::new(), Vec::new());
        for pack in open.into_values().filter(|p| !p.is_empty()) {
            let pack = pack.finish(self.store, self.salt());
            let object = ObjectId(aged_id(&*self.clock, &*self.random));
            packs.push(new_pack(&pack, object));
            last.push((pack, object));
        }
        let (home, vault) = (&*self.home, &self.vault);
        let write = || last.iter().try_for_each(|(pack, object)| put(home, vault, pack, *object));
        if self.tuning.threads == 0 || last.is_empty() {
            write()?;
            let done = beside(&packs);
            return Ok((packs, done));
        }
        let (written, done) = std::thread::scope(|scope| {
            let other = scope.spawn(|| beside(&packs));
            (write(), other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        written.map(|()| (packs, done))
    }

    fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        salt
    }

    /// Makes sure that the newest pack can take more.
    fn open_pack(&mut self) -> usize {
        let newest = self.next_pack.wrapping_sub(1);
        let usable = self.packs.get(&newest).is_some_and(|p| p.plain() < self.tuning.pack_plain);
        if usable {
            return newest;
        }
        let mut secret = Secret([0; 32]);
        self.random.fill(&mut secret.0);
        let id = PackId(aged_id(&*self.clock, &*self.random));
        self.packs.insert(self.next_pack, OpenPack::new(id, secret));
        self.next_pack += 1;
        self.next_pack - 1
    }

    /// Gives a chunk its place; the frame is made when enough are together.
    fn place(&mut self, id: ChunkId, buffer: &Arc<Buffer>, range: Range<usize>) -> ChunkAt {
        let number = self.open_pack();
        let pack = &self.packs[&number];
        let at = ChunkAt { pack: pack.id(), chunk: ChunkNo(pack.next_chunk().0 + self.pending.len() as u32) };
        let pages = (range.len() / PAGE_SIZE) as u32;
        self.pending.push(Pending { id, pages, buffer: buffer.clone(), range });
        self.pending_pages += pages;
        self.own.insert(id, at);
        at
    }

    /// The job that seals the pending chunks.
    fn close_frame(&mut self) -> Option<Job> {
        if self.pending.is_empty() {
            return None;
        }
        let number = self.next_pack - 1;
        let pack = self.packs.get_mut(&number).expect("pending chunks are of the newest pack");
        let chunks = std::mem::take(&mut self.pending);
        self.pending_pages = 0;
        let frame = pack.add_frame(&chunks.iter().map(|c| (c.id, c.pages)).collect::<Vec<_>>());
        Some(Job::Seal { pack: number, frame, key: pack.key(), chunks })
    }

    /// Gives the chunks of a frame that is made already their places, and the job that seals it.
    fn place_packed(&mut self, chunks: &[(ChunkId, Range<usize>)], packed: Packed) -> Job {
        assert!(self.pending.is_empty(), "a frame amid the chunks of another");
        let number = self.open_pack();
        let pack = self.packs.get_mut(&number).expect("just opened");
        let first = pack.next_chunk().0;
        let Packed { chunks: inside, bytes, compressed } = packed;
        let inside = inside.into_iter().map(|index| &chunks[index]);
        let ids: Vec<_> = inside.map(|(id, range)| (*id, (range.len() / PAGE_SIZE) as u32)).collect();
        let frame = pack.add_frame(&ids);
        let at = |number| ChunkAt { pack: pack.id(), chunk: ChunkNo(number) };
        self.own.extend(ids.iter().zip(first..).map(|((id, _), number)| (*id, at(number))));
        Job::SealPacked { pack: number, frame, key: pack.key(), bytes, compressed }
    }

    /// Packs that are full and sealed, ready to be written.
    fn take_full(&mut self) -> Vec<OpenPack> {
        let most = self.tuning.pack_plain;
        let newest = self.next_pack.wrapping_sub(1);
        let pending = !self.pending.is_empty();
        let full = self.packs.extract_if(.., |n, p| p.plain() >= most && p.is_sealed() && !(pending && *n == newest));
        full.map(|(_, p)| p).collect()
    }
}

fn seal(frame: FrameNo, key: &FrameKey, chunks: &[Pending], compressor: &mut Compressor) -> SealedFrame {
    // Chunks that follow each other in one buffer need no copy.
    let follow = |w: &[Pending]| Arc::ptr_eq(&w[0].buffer, &w[1].buffer) && w[0].range.end == w[1].range.start;
    if chunks.windows(2).all(follow) {
        let range = chunks[0].range.start..chunks[chunks.len() - 1].range.end;
        return SealedFrame::seal(frame, &chunks[0].buffer[range], key, compressor);
    }
    let plain = chunks.iter().map(|c| &c.buffer[c.range.clone()]).collect::<Vec<&[u8]>>().concat();
    SealedFrame::seal(frame, &plain, key, compressor)
}

fn put(home: &dyn Objects, vault: &str, pack: &FinishedPack, object: ObjectId) -> Result<(), ObjectError> {
    let key = Key::new(names::pack_object(vault, object)).expect("names of pack objects are keys");
    pack.with_parts(|parts| home.put_new(&key, parts))
}

fn new_pack(pack: &FinishedPack, object: ObjectId) -> NewPack {
    let row = PackRow {
        object,
        offset: 0,
        len: pack.total_len(),
        footer: pack.footer_len(),
        frames: pack.table.frames.len() as u32,
        chunks: pack.table.chunks.len() as u32,
    };
    NewPack { id: pack.id, secret: pack.secret.clone(), row, table: pack.table.clone() }
}

/// Packs being written at once: more would only cost memory.
const MOST_PUTS: usize = 2;

/// How far scanning may be ahead of what comes after it.
#[derive(Clone, Copy)]
struct Scans {
    /// Threads for everything.
    threads: usize,
    /// Scans under way at most.
    most: usize,
    under_way: usize,
    /// Segments whose scan began and whose turn has not come, at most.
    window: usize,
}

impl Scans {
    fn of<S: Scanner + ?Sized>(scanner: &S, threads: usize) -> Scans {
        // With no threads there is nothing to wait beside.
        let at_once = scanner.at_once().filter(|_| threads > 0);
        let more = at_once.unwrap_or(0);
        Scans {
            threads: threads + more,
            most: at_once.unwrap_or(usize::MAX),
            under_way: 0,
            window: 2 * threads + 1 + more,
        }
    }
}

/// The lead of a run.
struct Run<'a, N, E> {
    ingest: &'a mut Ingest,
    workers: &'a mut dyn Workers<Job, Done<N, E>>,
    scans: Scans,
    in_flight: usize,
    puts: usize,
    /// Segments scanned before their turn.
    early: BTreeMap<usize, Scanned<N>>,
}

impl<N, E> Run<'_, N, E> {
    fn go(mut self, count: usize, sink: &mut impl Sink<N, E>) -> Result<(), IngestError<E>> {
        let (mut given, mut taken) = (0, 0);
        while taken < count || self.in_flight > 0 {
            while given < count.min(taken + self.scans.window) && self.may_scan() {
                self.submit(Urgency::Third, Job::Scan(given));
                self.scans.under_way += 1;
                given += 1;
            }
            let done = self.workers.wait();
            self.in_flight -= 1;
            self.handle(done, sink)?;
            while let Some(scanned) = self.early.remove(&taken) {
                taken += 1;
                self.take(scanned, sink)?;
            }
            if taken == count {
                self.close_frame();
            }
            self.write_full();
        }
        Ok(())
    }

    fn may_scan(&self) -> bool {
        self.scans.under_way < self.scans.most && self.puts < MOST_PUTS
    }

    fn handle(&mut self, done: Done<N, E>, sink: &mut impl Sink<N, E>) -> Result<(), IngestError<E>> {
        match done {
            Done::Scanned(number, scanned) => {
                self.scans.under_way -= 1;
                self.early.insert(number, scanned.map_err(IngestError::Caller)?);
            }
            Done::Sealed(pack, frame) => {
                self.ingest.packs.get_mut(&pack).expect("a pack waits for its frames").put_sealed(frame);
            }
            Done::Put(pack, object, outcome) => {
                self.puts -= 1;
                outcome.map_err(IngestError::Home)?;
                // From here on the sink answers for its chunks.
                let pack = new_pack(&pack, object);
                for chunk in &pack.table.chunks {
                    self.ingest.own.remove(&chunk.id);
                }
                sink.durable(pack).map_err(IngestError::Caller)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, scanned: Scanned<N>, sink: &mut impl Sink<N, E>) -> Result<(), IngestError<E>> {
        let Scanned { buffer, chunks, packed, note } = scanned;
        let mut places: Vec<ChunkAt> = Vec::with_capacity(chunks.len());
        let mut packed = packed.into_iter().peekable();
        while places.len() < chunks.len() {
            let next = places.len();
            if let Some(frame) = packed.next_if(|frame| frame.chunks[0] <= next) {
                if self.are_new(frame.chunks.iter().map(|index| &chunks[*index].0), sink)? {
                    self.close_frame();
                    let job = self.ingest.place_packed(&chunks, frame);
                    self.submit(Urgency::Second, job);
                }
                continue;
            }
            let (id, range) = &chunks[next];
            places.push(match self.known(id, sink)? {
                Some(at) => at,
                None if range.is_empty() => return Err(IngestError::Gone),
                None => self.place(*id, &buffer, range.clone()),
            });
        }
        let places = places.into_iter().zip(&chunks).map(|(at, (id, _))| Placed { at, tag: id.tag() });
        sink.placed(note, places.collect()).map_err(IngestError::Caller)
    }

    fn known(&self, id: &ChunkId, sink: &mut impl Sink<N, E>) -> Result<Option<ChunkAt>, IngestError<E>> {
        match self.ingest.own.get(id) {
            Some(at) => Ok(Some(*at)),
            None => sink.known(id).map_err(IngestError::Caller),
        }
    }

    /// Whether none of some chunks is known.
    fn are_new<'i>(
        &self,
        chunks: impl Iterator<Item = &'i ChunkId>,
        sink: &mut impl Sink<N, E>,
    ) -> Result<bool, IngestError<E>> {
        for id in chunks {
            if self.known(id, sink)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn place(&mut self, id: ChunkId, buffer: &Arc<Buffer>, range: Range<usize>) -> ChunkAt {
        let at = self.ingest.place(id, buffer, range);
        if self.ingest.pending_pages >= self.ingest.tuning.frame_pages {
            self.close_frame();
        }
        at
    }

    fn close_frame(&mut self) {
        if let Some(job) = self.ingest.close_frame() {
            self.submit(Urgency::Second, job);
        }
    }

    fn write_full(&mut self) {
        for pack in self.ingest.take_full() {
            let salt = self.ingest.salt();
            let object = ObjectId(aged_id(&*self.ingest.clock, &*self.ingest.random));
            let pack = Box::new(pack.finish(self.ingest.store, salt));
            self.puts += 1;
            self.submit(Urgency::First, Job::Put { pack, object });
        }
    }

    fn submit(&mut self, urgency: Urgency, job: Job) {
        self.in_flight += 1;
        self.workers.submit(urgency, job);
    }
}
