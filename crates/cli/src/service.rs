//! What a service manager is told (`sd_notify`), if one started this program and wants to know.
//!
//! Never knows: what the service does.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// It does its work from now on.
pub(crate) fn ready() {
    tell("READY=1");
}

/// It was asked to end, and does.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// It is alive.
pub(crate) fn alive() {
    tell("WATCHDOG=1");
}

/// How often somebody wants to know that it is alive.
pub(crate) fn pulse() -> Option<Duration> {
    let whole: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    // Half of it, as systemd's manual wants: one that is late is not dead.
    (whole > 0).then(|| Duration::from_micros(whole) / 2)
}

/// Nobody waits for it, and nobody minds if it does not arrive.
fn tell(word: &str) {
    let Ok(place) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&place),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        drop(socket.send_to_addr(word.as_bytes(), &address));
    }
}
