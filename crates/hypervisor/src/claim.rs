//! That one process at a time captures a machine, however many monitors the machine has.
//!
//! A claim is a character device in the hypervisor, listening on a socket, and our connection to it. The hypervisor tells whether
//! somebody is connected, and the kernel ends the connection with the process: so a claim ends with whoever made it, killed or not,
//! and is seen from other monitors and other containers.
//!
//! ```text
//!   add a device of our own, connect, look ─▶ nobody else is connected: it is ours, and devices of the dead are removed
//!                                          └▶ somebody is: take back our own, wait a little, try again, give up
//! ```
//!
//! Invariant: everybody adds before looking, so that of any two at least one sees the other, and at most one goes on.
//! Never knows: what is captured.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::names::Names;
use crate::qmp::{AskError, Channel};

/// How long to try: an end that just came is not seen at once, and two that begin at once see each other.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the hypervisor may take to see our connection.
const SEEING: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// The ending of a claim's socket, which has a name only until we are connected.
const SOCKET: &str = ".claim";

/// Why a machine is not ours.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process has it.
    #[error("another process captures this machine, and there can be one at a time")]
    Taken,
    /// The monitor declines or is gone.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The hypervisor's socket is out of our reach.
    #[error("the hypervisor's socket {path}")]
    Socket {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A machine that is ours to capture, until this is released or dropped.
#[derive(Debug)]
pub struct Claim {
    id: String,
    /// Closed, by us or by our end, it tells that the claim is over.
    connection: UnixStream,
}

impl Claim {
    /// Claims a machine. `folder`: where its hypervisor may make a socket.
    ///
    /// # Errors
    /// [`ClaimError`]; then nothing of ours is left.
    pub fn take(channel: &mut dyn Channel, names: &Names, folder: &Path) -> Result<Claim, ClaimError> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(claim) = attempt(channel, names, folder)? {
                return Ok(claim);
            }
            if Instant::now() > end {
                return Err(ClaimError::Taken);
            }
            std::thread::sleep(pause(names));
        }
    }

    /// Gives it back. If the monitor is gone, so is the claim.
    pub fn release(self, channel: &mut dyn Channel) {
        drop(self.connection);
        drop(channel.ask("chardev-remove", json!({ "id": self.id })));
    }

    /// Whether it is ours alone.
    fn stands(&self, channel: &mut dyn Channel, prefix: &str) -> Result<bool, AskError> {
        let end = Instant::now() + SEEING;
        loop {
            let claims = claims(channel, prefix)?;
            let own = claims.iter().find(|claim| claim.id == self.id);
            match own {
                Some(own) if own.is_alive => {
                    let is_ours = !claims.iter().any(|claim| claim.is_alive && claim.id != self.id);
                    return Ok(is_ours);
                }
                // Not seen yet; or somebody took it for one of the dead, as it was not connected yet.
                Some(_) if Instant::now() < end => std::thread::sleep(LOOK),
                _ => return Ok(false),
            }
        }
    }
}

/// One try; nothing if somebody else has the machine, or tries as well.
fn attempt(channel: &mut dyn Channel, names: &Names, folder: &Path) -> Result<Option<Claim>, ClaimError> {
    let id = names.claim();
    let path = folder.join(format!("{id}{SOCKET}"));
    let address = json!({ "type": "unix", "data": { "path": path } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": true, "wait": false } });
    channel.ask("chardev-add", json!({ "id": id, "backend": backend }))?;
    let connected = UnixStream::connect(&path);
    // Nobody else is to connect. The hypervisor does not miss it.
    drop(std::fs::remove_file(&path));
    let claim = match connected {
        Ok(connection) => Claim { id, connection },
        Err(source) => {
            let was_there = channel.ask("chardev-remove", json!({ "id": id })).is_ok();
            return if was_there { Err(ClaimError::Socket { path, source }) } else { Ok(None) };
        }
    };
    match claim.stands(channel, &names.claims()) {
        Ok(true) => {
            sweep(channel, &names.claims())?;
            Ok(Some(claim))
        }
        Ok(false) => {
            claim.release(channel);
            Ok(None)
        }
        Err(error) => {
            claim.release(channel);
            Err(error.into())
        }
    }
}

/// Removes what is left of claims whose processes are gone.
///
/// # Errors
/// [`AskError`], but for a refusal: another was quicker.
pub fn sweep(channel: &mut dyn Channel, prefix: &str) -> Result<(), AskError> {
    for dead in claims(channel, prefix)?.into_iter().filter(|claim| !claim.is_alive) {
        match channel.ask("chardev-remove", json!({ "id": dead.id })) {
            Err(error) if !error.is_refusal() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A claim as the hypervisor sees it.
struct Seen {
    id: String,
    is_alive: bool,
}

fn claims(channel: &mut dyn Channel, prefix: &str) -> Result<Vec<Seen>, AskError> {
    let devices = channel.ask("query-chardev", json!({}))?;
    Ok(devices.as_array().into_iter().flatten().filter_map(|device| seen(device, prefix)).collect())
}

fn seen(device: &Value, prefix: &str) -> Option<Seen> {
    let id = device["label"].as_str().filter(|label| label.starts_with(prefix))?;
    let is_alive = !device["filename"].as_str()?.starts_with("disconnected:");
    Some(Seen { id: id.to_owned(), is_alive })
}

/// Different for each process, so that two do not meet again and again.
fn pause(names: &Names) -> Duration {
    let number = names.claim().bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    Duration::from_millis(40 + number % 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living() {
        let device = |filename: &str| json!({ "label": "bs-1-claim-2", "filename": filename, "frontend-open": false });
        let alive = |filename: &str| seen(&device(filename), "bs-1-claim-").map(|seen| seen.is_alive);
        assert_eq!(alive("unix:/run/x.claim,server=on"), Some(true));
        assert_eq!(alive("disconnected:unix:/run/x.claim,server=on"), Some(false));
        assert!(seen(&device("unix:x"), "bs-3-claim-").is_none());
        assert!(seen(&json!({}), "bs-1-claim-").is_none());
    }
}
