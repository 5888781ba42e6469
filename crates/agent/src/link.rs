//! Getting to the server, and why that failed.
//!
//! Never knows: what is said there.

use std::io;
use std::sync::Arc;

use backstay_env::link::Link;
use backstay_env::real::link::{ConnectError, Identity, Peer, SERVER, connect};
use backstay_format::DecodeError;
use backstay_format::wire::v1::{PROTOCOL, Refusal};

/// What a machine got when it was enrolled.
#[derive(Clone)]
pub struct Enrolled {
    /// Host and port of the server.
    pub address: String,
    /// The certificate of its authority, as PEM.
    pub authority: String,
    /// This machine's certificate and key.
    pub identity: Identity,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The server cannot be reached, or is not the one.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The link broke.
    #[error("the connection to the server was lost")]
    Lost(#[source] io::Error),
    /// The server said what it must not say.
    #[error("the server does not keep to the protocol")]
    Protocol(#[source] DecodeError),
    /// The server refused.
    #[error("{why}")]
    Refused {
        /// What kind of reason it is.
        kind: Refusal,
        /// One sentence.
        why: String,
    },
    /// Stopped by the caller.
    #[error("cancelled")]
    Cancelled,
}

impl Enrolled {
    /// Connects.
    ///
    /// # Errors
    /// [`AgentError::Connect`].
    pub(crate) fn link(&self) -> Result<Arc<dyn Link>, AgentError> {
        let peer = Peer {
            address: self.address.clone(),
            name: SERVER.to_owned(),
            authority: self.authority.clone(),
            protocol: PROTOCOL.to_vec(),
        };
        Ok(connect(&peer, &self.identity)?)
    }
}
