//! From a stream of bytes to messages and back, between a runtime and threads that block.
//!
//! Never knows: what the stream runs over.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use crate::link::{Link, MOST};

/// Messages that wait in one direction.
const WAITING: usize = 4;

type Arrived = io::Result<Vec<u8>>;

struct Pump {
    /// `None`: closed.
    out: Mutex<Option<Out>>,
    arrived: Mutex<mpsc::Receiver<Arrived>>,
    reading: AbortHandle,
    runtime: Handle,
}

/// Messages to be sent.
#[derive(Clone)]
struct Out {
    /// Before the others.
    ahead: mpsc::Sender<Vec<u8>>,
    others: mpsc::Sender<Vec<u8>>,
}

/// A link over a stream, which `runtime` moves the bytes of. Neither end may be used from a thread of that runtime.
pub fn over(stream: impl AsyncRead + AsyncWrite + Send + 'static, runtime: &Handle) -> Arc<dyn Link> {
    moved(stream, runtime).0
}

/// As [`over`]; what is waited for with the link closed is that all has been sent, the end included.
pub(super) fn moved(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    runtime: &Handle,
) -> (Arc<dyn Link>, JoinHandle<()>) {
    let (reader, writer) = tokio::io::split(stream);
    let (ahead, sent_ahead) = mpsc::channel(WAITING);
    let (others, sent) = mpsc::channel(WAITING);
    let (arriving, arrived) = mpsc::channel(WAITING);
    let writing = runtime.spawn(write(writer, (sent_ahead, sent)));
    let reading = runtime.spawn(read(reader, arriving)).abort_handle();
    let runtime = runtime.clone();
    (
        Arc::new(Pump { out: Mutex::new(Some(Out { ahead, others })), arrived: Mutex::new(arrived), reading, runtime }),
        writing,
    )
}

type ToSend = mpsc::Receiver<Vec<u8>>;

async fn write(mut writer: impl AsyncWrite + Unpin, (mut ahead, mut others): (ToSend, ToSend)) {
    while let Some(message) = first(&mut ahead, &mut others).await {
        let written = writer.write_all(&message).await;
        // What follows at once may go with it.
        let none_waits = ahead.is_empty() && others.is_empty();
        let flushed = if none_waits { writer.flush().await } else { Ok(()) };
        if written.and(flushed).is_err() {
            return;
        }
    }
    // The other end sees either this, or that the stream broke.
    drop(writer.shutdown().await);
}

/// The next message; `None`: there will be no more.
async fn first(ahead: &mut ToSend, others: &mut ToSend) -> Option<Vec<u8>> {
    tokio::select! {
        biased;
        Some(message) = ahead.recv() => Some(message),
        Some(message) = others.recv() => Some(message),
        else => None,
    }
}

async fn read(mut reader: impl AsyncRead + Unpin, arriving: mpsc::Sender<Arrived>) {
    loop {
        let message = match next(&mut reader).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let is_over = message.is_err();
        if arriving.send(message).await.is_err() || is_over {
            return;
        }
    }
}

/// `None`: the stream ended between two messages, and the other end meant it to.
async fn next(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match reader.read(&mut length).await? {
        0 => return Ok(None),
        read => reader.read_exact(&mut length[read..]).await?,
    };
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes is too long")));
    }
    // Memory is taken as bytes arrive, not as they are announced.
    let mut message = Vec::new();
    let read = (&mut *reader).take(length as u64).read_to_end(&mut message).await?;
    if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(message)) }
}

impl Pump {
    fn send_by(&self, way: fn(Out) -> mpsc::Sender<Vec<u8>>, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > MOST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a message of {length} bytes is too long"),
            ));
        }
        let mut message = Vec::with_capacity(4 + length);
        message.extend_from_slice(&(length as u32).to_le_bytes());
        parts.iter().for_each(|part| message.extend_from_slice(part));
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the link is gone");
        way(out.ok_or_else(gone)?).blocking_send(message).map_err(|_| gone())
    }
}

impl Link for Pump {
    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.send_by(|out| out.others, parts)
    }

    fn send_ahead(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.send_by(|out| out.ahead, parts)
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv().transpose()
    }

    fn receive_within(&self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.runtime.block_on(async { tokio::time::timeout(patience, arrived.recv()).await });
        next.unwrap_or_else(|_| Some(Err(io::ErrorKind::TimedOut.into()))).transpose()
    }

    fn close(&self) {
        drop(self.out.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.reading.abort();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(runtime: &Handle) -> (Arc<dyn Link>, Arc<dyn Link>) {
        let (one, other) = tokio::io::duplex(1 << 16);
        (over(one, runtime), over(other, runtime))
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (one, other) = pair(runtime.handle());
        let sender = std::thread::spawn({
            let one = one.clone();
            move || (0..200u32).try_for_each(|n| one.send(&[&n.to_le_bytes(), &vec![7; n as usize * 1000]]))
        });
        for n in 0..200u32 {
            let message = other.receive().unwrap().unwrap();
            assert!(message[..4] == n.to_le_bytes() && message.len() == 4 + n as usize * 1000);
        }
        sender.join().unwrap().unwrap();
        other.send(&[b"and back"]).unwrap();
        assert_eq!(one.receive().unwrap().unwrap(), b"and back");
        let late = other.receive_within(Duration::from_millis(1)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        one.send(&[b"later"]).unwrap();
        assert_eq!(other.receive_within(Duration::from_secs(60)).unwrap().unwrap(), b"later");
        one.close();
        assert!(other.receive().unwrap().is_none());
        assert!(one.send(&[b"x"]).is_err());
    }

    #[test]
    fn what_is_sent_ahead_overtakes_what_waits() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (one, mut other) = tokio::io::duplex(1 << 10);
        let one = over(one, runtime.handle());
        // More than the stream holds: nobody reads yet, so that at most one message is under way and the rest waits.
        (0..WAITING).for_each(|_| one.send(&[&[0; 10_000]]).unwrap());
        one.send_ahead(&[b"ahead"]).unwrap();
        one.close();
        let lengths: Vec<usize> = runtime.block_on(async {
            let mut lengths = Vec::new();
            while let Some(message) = next(&mut other).await.unwrap() {
                lengths.push(message.len());
            }
            lengths
        });
        assert_eq!(lengths.len(), WAITING + 1);
        assert!(lengths[..2].contains(&5), "{lengths:?}");
    }

    #[test]
    fn what_is_too_long_is_refused_at_both_ends() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (one, other) = tokio::io::duplex(1 << 16);
        let link = over(one, runtime.handle());
        assert!(link.send(&[&vec![0; MOST + 1]]).is_err());
        runtime.block_on(async {
            let mut other = other;
            other.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        });
        assert!(link.receive().is_err());
    }
}
