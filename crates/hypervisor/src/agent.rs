//! The guest agent: file systems in the guest are held still for a moment.
//!
//! Never knows: why.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::qmp::{AskError, Channel, Socket, Virsh, nonsense};

/// How a monitor or an agent is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// A socket in the file system.
    Socket(PathBuf),
    /// A domain of libvirt's.
    Domain(String),
}

impl Way {
    /// Opens it as a monitor.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn monitor(&self) -> Result<Box<dyn Channel>, AskError> {
        Ok(match self {
            Way::Socket(path) => Box::new(Socket::monitor(path)?),
            Way::Domain(name) => Box::new(Virsh::monitor(name)),
        })
    }

    /// Opens it as a guest agent.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn agent(&self) -> Result<Agent, AskError> {
        let channel: Box<dyn Channel> = match self {
            Way::Socket(path) => Box::new(Socket::agent(path)?),
            Way::Domain(name) => Box::new(Virsh::agent(name)),
        };
        Ok(Agent { channel })
    }
}

/// An agent that answers.
pub struct Agent {
    channel: Box<dyn Channel>,
}

impl Agent {
    /// Holds the guest's file systems still; how many.
    ///
    /// # Errors
    /// [`AskError`]: they may be held still all the same, now or a little later. Whoever gets one thaws.
    pub fn freeze(&mut self, limit: Duration) -> Result<u64, AskError> {
        let said = self.channel.ask_within("guest-fsfreeze-freeze", json!({}), limit)?;
        said.as_u64().ok_or_else(|| nonsense("guest-fsfreeze-freeze", "it is no number"))
    }

    /// Lets the guest's file systems go; how many were held until now. A freeze that is under way is waited for.
    ///
    /// # Errors
    /// [`AskError`]: try again.
    pub fn thaw(&mut self, limit: Duration) -> Result<u64, AskError> {
        let said = self.channel.ask_within("guest-fsfreeze-thaw", json!({}), limit)?;
        said.as_u64().ok_or_else(|| nonsense("guest-fsfreeze-thaw", "it is no number"))
    }
}
