//! Long answers: read on a thread of their own, a few pieces ahead of whoever takes them. Who takes slowly holds nothing but these
//! pieces, and who takes nothing for a minute is given up. An answer that cannot be finished ends with the connection, never as if it
//! were whole.
//!
//! Never knows: what is sent.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;

use super::error::Failure;
use crate::Server;

/// An answer ends when nobody took anything of it for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the end of a broken answer waits for what came before it.
const MOMENT: Duration = Duration::from_secs(1);
/// Pieces that wait to be taken.
const AHEAD: usize = 2;
/// What is written in small parts is sent in pieces of so many bytes.
const PIECE: usize = 1 << 18;

/// Why an answer was not sent whole.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Nobody takes it any more.
    Gone,
    /// What it is made of cannot be read.
    Damaged(String),
}

/// Where an answer is put, piece by piece.
pub(super) struct Tap {
    send: mpsc::Sender<Bytes>,
    handle: Handle,
    /// What was written and is not yet a piece.
    rest: Vec<u8>,
}

impl Tap {
    /// Sends a piece, once there is room for it.
    pub(super) fn send(&mut self, piece: Bytes) -> Result<(), Stopped> {
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.handle.block_on(tokio::time::timeout(PATIENCE, self.send.send(piece)));
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Stopped::Gone) }
    }

    /// Waits for something else.
    pub(super) fn wait_for<T>(&self, what: impl Future<Output = T>) -> T {
        self.handle.block_on(what)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.rest);
        self.send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// What was put into a tap, as a body that fails at its end unless all of it was.
struct Poured {
    pieces: mpsc::Receiver<Bytes>,
    whole: Arc<AtomicBool>,
    /// It ends with the connection, a moment after the last piece was handed on: an answer that is broken off takes with it what
    /// was not yet sent.
    ending: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl Stream for Poured {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.ending.is_none() {
            match ready!(self.pieces.poll_recv(context)) {
                Some(piece) => return Poll::Ready(Some(Ok(piece))),
                None if self.whole.load(Ordering::Acquire) => {
                    self.over = true;
                    return Poll::Ready(None);
                }
                None => {}
            }
        }
        let ending = self.ending.get_or_insert_with(|| Box::pin(sleep(MOMENT)));
        ready!(ending.as_mut().poll(context));
        self.over = true;
        Poll::Ready(Some(Err(io::Error::other("the rest cannot be read"))))
    }
}

/// A body that `work` puts into a tap, on a thread of its own.
pub(super) fn body(
    seat: OwnedSemaphorePermit,
    work: impl FnOnce(&mut Tap) -> Result<(), Stopped> + Send + 'static,
) -> Body {
    let (send, pieces) = mpsc::channel(AHEAD);
    let whole = Arc::new(AtomicBool::new(false));
    let poured = Poured { pieces, whole: whole.clone(), ending: None, over: false };
    let mut tap = Tap { send, handle: Handle::current(), rest: Vec::new() };
    tokio::task::spawn_blocking(move || {
        let _seat = seat;
        let done = work(&mut tap).is_ok() && tap.flush().is_ok();
        whole.store(done, Ordering::Release);
    });
    Body::from_stream(poured)
}

/// The header of an answer that is to be kept as a file of this name. Names come from an image and may be anything.
pub(super) fn attachment(name: &str) -> HeaderMap {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let escaped = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let name: String = name.bytes().map(escaped).collect();
    let value = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{name}"));
    HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value.expect("it is made of plain characters"))])
}

impl Server {
    /// One of the downloads that may be under way at once: each keeps a thread.
    pub(super) fn download_seat(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let seat = self.downloads.clone().try_acquire_owned();
        seat.map_err(|_| Failure::too_many("too many downloads at once", 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_out_of_its_header() {
        let value = |name: &str| attachment(name)[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
        assert_eq!(value("b \"\r\nX: y"), "attachment; filename*=UTF-8''b%20%22%0D%0AX%3A%20y");
        assert_eq!(value(""), "attachment; filename*=UTF-8''");
    }
}
