//! Links over TLS 1.3.
//!
//! Each message is its length, a u32 in little-endian order, and its bytes. A runtime of its own moves the bytes, so that callers may
//! block; how much waits in either direction is bounded.
//!
//! Never knows: what the messages mean.

mod connect;
mod pinned;
mod pump;

pub use connect::{ConnectError, Identity, Peer, client_config, connect};
pub use pinned::{SERVER, known_by, look_at};
pub use pump::over;
