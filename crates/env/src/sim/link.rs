//! A link inside one process.
//!
//! Never knows: what the messages mean.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::link::{Link, MOST};

/// Messages that wait in one direction.
const WAITING: usize = 4;

/// One end of a link.
pub struct SimLink {
    /// `None`: closed.
    out: Mutex<Option<SyncSender<Vec<u8>>>>,
    arrived: Mutex<Receiver<Vec<u8>>>,
}

/// The two ends of a link.
pub fn pair() -> (SimLink, SimLink) {
    let (one, to_other) = sync_channel(WAITING);
    let (other, to_one) = sync_channel(WAITING);
    let end = |out, arrived| SimLink { out: Mutex::new(Some(out)), arrived: Mutex::new(arrived) };
    (end(one, to_one), end(other, to_other))
}

impl Link for SimLink {
    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        let message = parts.concat();
        if message.len() > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = out.map(|out| out.send(message).is_ok());
        if sent == Some(true) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.arrived.lock().unwrap_or_else(PoisonError::into_inner).recv().ok())
    }

    fn receive_within(&self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        match self.arrived.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn close(&self) {
        drop(self.out.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
