//! Agents' connections.
//!
//! Never knows: people, HTTP.

use std::sync::Arc;

use backstay_env::time::Clock;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::{Enrolled, Server};

/// What is kept of agents that are there.
pub struct Agents;

impl Agents {
    /// None yet.
    pub fn new(_clock: &Arc<dyn Clock>) -> Agents {
        Agents
    }

    /// Ends the session of a machine that lost its rights.
    pub fn end(&self, _machine: &str) {}

    /// Machines whose agents are there now.
    pub fn present(&self) -> Vec<String> {
        Vec::new()
    }

    /// Ends all sessions.
    pub fn stop(&self) {}
}

/// Serves an agent's connection until it ends. The certificate was checked: `who` has not lost its rights.
pub async fn serve(stream: TlsStream<TcpStream>, who: Enrolled, server: Arc<Server>) {
    drop((stream, who, server));
}
