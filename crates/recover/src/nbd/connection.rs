//! One client: the handshake, then requests answered by a few workers, out of order.
//!
//! Never knows: listeners, or other clients.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use backstay_env::volume::{Content, Span, Volume};

use super::extents;
use super::handshake::{Agreed, Handshake, Step};
use super::pipeline::{Limits, Pipeline};
use super::reply;
use super::request::{Action, Request};
use super::server::{BusyGuard, Shared};
use super::stream::Stream;
use super::wire::*;

/// Bytes that are read and sent at once when a read may be answered in pieces.
const PIECE: u32 = 1 << 20;
/// Runs in one answer to "which bytes are holes?".
const MAX_RUNS: usize = 8192;
/// Runs that a read asks its volume for at once.
const MAX_CHUNKS: usize = 64;
/// Requests of one connection that are read and not answered.
const MAX_JOBS: usize = 256;

/// Serves one client to the end. An error is how the connection ended, if not by a goodbye.
pub(super) fn serve(shared: &Shared, stream: &Stream) -> io::Result<()> {
    stream.prepare()?;
    let Some(agreed) = shake_hands(shared, stream)? else {
        return Ok(());
    };
    stream.set_timeouts(None)?;
    let limits = Limits { workers: shared.options.workers, jobs: MAX_JOBS, bytes: shared.options.in_flight_bytes };
    let client = Client { shared, stream, agreed, pipeline: Pipeline::new(limits), sending: Mutex::new(()) };
    client.run()
}

fn shake_hands(shared: &Shared, stream: &Stream) -> io::Result<Option<Agreed>> {
    let deadline = Instant::now() + shared.options.handshake_timeout;
    let mut handshake = Handshake::new(&shared.offers);
    stream.set_timeouts(Some(shared.options.handshake_timeout))?;
    stream.write_all(&Handshake::greeting())?;
    loop {
        let mut input = vec![0; handshake.wants()];
        match stream.read_exact_until(&mut input, deadline) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None), // only looked whether we are there
            read => read?,
        }
        match handshake.step(&input) {
            Step::Continue(reply) => stream.write_all(&reply)?,
            Step::Transmit(reply, agreed) => {
                stream.write_all(&reply)?;
                return Ok(Some(agreed));
            }
            Step::Close(reply) => {
                stream.write_all(&reply)?;
                return Ok(None);
            }
        }
    }
}

struct Job<'a> {
    cookie: u64,
    action: Action,
    /// Counts it as unanswered until it is dropped.
    _busy: BusyGuard<'a>,
}

struct Client<'a> {
    shared: &'a Shared,
    stream: &'a Stream,
    agreed: Agreed,
    pipeline: Pipeline<Job<'a>>,
    /// Held while a reply is being sent.
    sending: Mutex<()>,
}

impl<'a> Client<'a> {
    fn volume(&self) -> &dyn Volume {
        &*self.shared.exports[self.agreed.offer].volume
    }

    fn run(&self) -> io::Result<()> {
        thread::scope(|scope| {
            let ended = self.read_requests(|| {
                let worker = thread::Builder::new().name("nbd-worker".into());
                worker.spawn_scoped(scope, || self.work()).map(drop)
            });
            self.pipeline.close();
            ended
        })
    }

    /// Reads requests until the client leaves.
    fn read_requests(&self, start_worker: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let size = self.shared.offers[self.agreed.offer].size;
        let mut header = [0; REQUEST_HEADER];
        loop {
            match self.stream.read_exact(&mut header) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let lost = || io::Error::new(io::ErrorKind::InvalidData, "the client sent what is no request");
            let request = Request::parse(&header).ok_or_else(lost)?;
            let mut action = request.judge(&self.agreed, size);
            match action {
                Action::Disconnect => return Ok(()),
                Action::Abandon => return Err(lost()),
                _ => self.skip(request.payload())?,
            }
            if self.shared.draining.load(Ordering::SeqCst) {
                action = Action::Refuse(NbdError::ShuttingDown, "the server is stopping");
            }
            let job = Job { cookie: request.cookie, action, _busy: self.shared.busy.begin() };
            if self.pipeline.submit(job, cost(&action)) {
                start_worker()?;
            }
        }
    }

    fn skip(&self, mut left: u32) -> io::Result<()> {
        let mut scrap = [0; 8192];
        while left > 0 {
            let take = scrap.len().min(left as usize);
            self.stream.read_exact(&mut scrap[..take])?;
            left -= take as u32;
        }
        Ok(())
    }

    fn work(&self) {
        let mut buf = Vec::new();
        self.pipeline.work(|job| {
            let _closing = CloseOnPanic(self.stream);
            if let Err(gone) = self.answer(&job, &mut buf) {
                drop(gone); // the reader sees the end of the stream, too
                self.stream.shutdown(Shutdown::Both);
            }
        });
    }

    /// Answers one request. An error is the client's: it cannot be reached any more.
    fn answer(&self, job: &Job, buf: &mut Vec<u8>) -> io::Result<()> {
        let cookie = job.cookie;
        match job.action {
            Action::Read { offset, length, whole: true } => self.read_whole(cookie, offset, length, buf),
            Action::Read { offset, length, whole: false } => self.read_pieces(cookie, offset, length, buf),
            Action::Status { offset, length, one } => self.status(cookie, offset, length, one),
            Action::Refuse(error, why) => self.refuse(cookie, error, None, why),
            Action::Acknowledge | Action::Disconnect | Action::Abandon => self.send(&reply::simple(cookie, 0)),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let _one_at_a_time = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        self.stream.write_all(bytes)
    }

    fn refuse(&self, cookie: u64, error: NbdError, offset: Option<u64>, why: &str) -> io::Result<()> {
        if self.agreed.structured {
            self.send(&reply::error(cookie, error, offset, why))
        } else {
            self.send(&reply::simple(cookie, error as u32))
        }
    }

    fn failed(&self, cookie: u64, offset: u64, length: u64, error: &io::Error) -> io::Result<()> {
        let name = &self.shared.offers[self.agreed.offer].name;
        let line = format!("nbd: export {name:?}: bytes {offset}+{length} could not be read: {error}");
        self.shared.options.log.line(&line);
        self.refuse(cookie, NbdError::Io, Some(offset), &format!("could not be read: {error}"))
    }

    /// One reply with all the bytes; nothing is sent before all were read.
    fn read_whole(&self, cookie: u64, offset: u64, length: u32, buf: &mut Vec<u8>) -> io::Result<()> {
        buf.clear();
        if self.agreed.structured && length == 0 {
            return self.send(&reply::done(cookie));
        } else if self.agreed.structured {
            reply::data_header(buf, cookie, true, offset, length);
        } else {
            reply::simple_header(buf, cookie, 0);
        }
        match self.fill(buf, offset, length) {
            Ok(()) => self.send(buf),
            Err(e) => self.failed(cookie, offset, length.into(), &e),
        }
    }

    /// Appends bytes of the volume.
    fn fill(&self, buf: &mut Vec<u8>, offset: u64, length: u32) -> io::Result<()> {
        let header = buf.len();
        buf.resize(header + length as usize, 0);
        self.volume().read_at(offset, &mut buf[header..])
    }

    /// Chunks of data and holes, sent as they are read.
    fn read_pieces(&self, cookie: u64, offset: u64, length: u32, buf: &mut Vec<u8>) -> io::Result<()> {
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            for span in self.spans(at, end - at) {
                let stop = span.offset + span.len;
                while at < stop {
                    let len = (stop - at).min(if span.content == Content::Hole { span.len } else { PIECE.into() });
                    let piece = Span { offset: at, len, ..span };
                    if let Err(e) = self.load(cookie, piece, end, buf) {
                        return self.failed(cookie, at, len, &e);
                    }
                    self.send(buf)?;
                    at += len;
                }
            }
        }
        if length == 0 { self.send(&reply::done(cookie)) } else { Ok(()) }
    }

    /// What is known of a first part of a range; all data if nothing.
    fn spans(&self, offset: u64, len: u64) -> Vec<Span> {
        extents::describe(self.volume(), offset, len, self.block(), MAX_CHUNKS)
            .unwrap_or_else(|_unknown| vec![Span { offset, len, content: Content::Data }])
    }

    /// Makes `buf` the chunk of a piece, the last one if it ends at `end`. An error is the volume's.
    fn load(&self, cookie: u64, piece: Span, end: u64, buf: &mut Vec<u8>) -> io::Result<()> {
        let (last, len) = (piece.offset + piece.len == end, piece.len as u32);
        buf.clear();
        if piece.content == Content::Hole {
            buf.extend(reply::hole(cookie, last, piece.offset, len));
            return Ok(());
        }
        reply::data_header(buf, cookie, last, piece.offset, len);
        self.fill(buf, piece.offset, len)
    }

    fn status(&self, cookie: u64, offset: u64, length: u32, one: bool) -> io::Result<()> {
        let runs = if one { 1 } else { MAX_RUNS };
        match extents::describe(self.volume(), offset, length.into(), self.block(), runs) {
            Ok(spans) => self.send(&reply::status(cookie, &spans)),
            Err(e) => self.failed(cookie, offset, length.into(), &e),
        }
    }

    fn block(&self) -> u64 {
        self.shared.offers[self.agreed.offer].minimum_block.into()
    }
}

/// The memory a job holds while it is worked on, in bytes.
fn cost(action: &Action) -> usize {
    match action {
        Action::Read { length, whole: true, .. } => *length as usize,
        Action::Read { length, .. } => (*length).min(PIECE) as usize,
        Action::Status { .. } => MAX_RUNS * 32,
        _ => 64,
    }
}

/// A client must not wait for ever for the answer of a volume that panicked.
struct CloseOnPanic<'a>(&'a Stream);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.shutdown(Shutdown::Both);
        }
    }
}
