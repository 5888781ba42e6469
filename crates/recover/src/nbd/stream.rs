//! A connection's byte stream, TCP or Unix.
//!
//! Never knows: what is said on it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connected socket; readable and writable through `&self`, from different threads.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Sets what a long-lived connection needs.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => {
                s.set_nonblocking(false)?;
                s.set_nodelay(true)?;
                Ok(rustix::net::sockopt::set_socket_keepalive(s, true)?) // notices clients that lost power
            }
            Stream::Unix(s) => s.set_nonblocking(false),
        }
    }

    /// Fills `buf`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the client closed.
    pub(super) fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => (&mut &*s).read_exact(buf),
            Stream::Unix(s) => (&mut &*s).read_exact(buf),
        }
    }

    /// As [`Stream::read_exact`], and no longer than until `deadline`.
    pub(super) fn read_exact_until(&self, mut buf: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buf.is_empty() {
            self.set_timeouts(Some(remaining(deadline)?))?;
            let read = match self {
                Stream::Tcp(s) => (&mut &*s).read(buf),
                Stream::Unix(s) => (&mut &*s).read(buf),
            };
            match read {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(n) => buf = &mut buf[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Sends all of `bytes`.
    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => (&mut &*s).write_all(bytes),
            Stream::Unix(s) => (&mut &*s).write_all(bytes),
        }
    }

    /// Bounds every single read and write; `None`: for ever.
    pub(super) fn set_timeouts(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Tcp(s) => s.set_read_timeout(time).and(s.set_write_timeout(time)),
            Stream::Unix(s) => s.set_read_timeout(time).and(s.set_write_timeout(time)),
        }
    }

    /// Wakes whoever reads (and writes). A stream that is closed already stays so.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let closed = match self {
            Stream::Tcp(s) => s.shutdown(how),
            Stream::Unix(s) => s.shutdown(how),
        };
        drop(closed); // fails only when the peer was faster
    }

    /// Who is at the other end, for log lines.
    pub(super) fn peer(&self) -> String {
        match self {
            Stream::Tcp(s) => s.peer_addr().map_or_else(|_| "a client that left".into(), |a| a.to_string()),
            Stream::Unix(_) => "a local client".into(),
        }
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    }
}
