//! Looking after held disks while they are read: that they hold, and that the machine does not suffer from it.
//!
//! Never knows: what is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::Held;
use crate::leftovers;
use crate::qmp::{AskError, Channel};

/// How often to look. The free space that is kept back is what a fast disk writes in some of these.
const PACE: Duration = Duration::from_millis(250);

/// Looks after held disks until `over`. When they hold no more, or there is no space left to hold them, reading fails from then on,
/// the machine is relieved of them and, if it had to wait for space, goes on. Says why.
pub fn attend(held: &Held, channel: &Mutex<Box<dyn Channel>>, over: &AtomicBool) -> Option<String> {
    while !over.load(Ordering::Relaxed) {
        std::thread::park_timeout(PACE);
        let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = waits(channel.as_mut());
        let why = match held.check(channel.as_mut()) {
            Ok(Ok(())) if !waits => continue,
            Ok(Ok(())) => "the machine stopped at a write that failed".to_owned(),
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        held.doom.come();
        let cleaned = leftovers::clean(channel.as_mut(), &held.place.names.own(), &held.place.sockets);
        if waits && cleaned.is_ok() {
            drop(channel.ask("cont", json!({}))); // if it cannot, whoever watches the machine sees it stand
        }
        return Some(why);
    }
    None
}

/// Whether the machine stands still because of a write that failed, perhaps for want of space for saved blocks.
fn waits(channel: &mut dyn Channel) -> bool {
    let status: Result<_, AskError> = channel.ask("query-status", json!({}));
    status.is_ok_and(|status| status["status"] == "io-error")
}
