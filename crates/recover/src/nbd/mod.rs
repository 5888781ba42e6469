//! A read-only NBD server: volumes as network block devices.
//!
//! - [`Server`] listens and serves; the rest of the module is its parts.
//! - `handshake` and `request` decide from bytes alone (no I/O); `connection` moves the bytes.
//! - Fixed newstyle handshake, structured replies, holes, `base:allocation`; no TLS yet, so other hosts are only let
//!   in when the caller says so ([`Options::allow_plain`]).
//!
//! The protocol is the NBD project's published document (doc/proto.md).
//!
//! Never knows: what is on a volume, or that it is a point.

mod connection;
mod extents;
mod handshake;
mod listen;
mod pipeline;
mod reply;
mod request;
mod server;
mod stream;
mod wire;

#[doc(hidden)]
pub mod fuzz;

pub use listen::{Address, Listen};
pub use server::{Export, Options, Server, StartError};
