//! An NBD client that reads: fixed newstyle, structured replies, metadata contexts.
//!
//! Written from the protocol's document. What it does not do: TLS, writing, simple reads.
//! Never knows: who serves, or what the bytes mean.

mod client;
mod dirty;
pub mod fuzz;
mod handshake;
mod volume;
mod wire;

pub use client::{Client, Extent};
pub use dirty::Dirty;
pub use volume::{Doom, NbdVolume};

/// The context that tells holes from data.
pub const ALLOCATION: &str = "base:allocation";

/// Why nothing more can be had of a connection, or why this was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NbdError {
    /// The server says so of this range; another may be read.
    #[error("the server answers with error {0}")]
    Said(u32),
    /// The connection is of no more use.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// What came is not what the protocol allows.
    #[error("the server does not keep to the protocol: {0}")]
    Protocol(&'static str),
    /// The server declines.
    #[error("the server declines: {0}")]
    Declined(&'static str),
}
