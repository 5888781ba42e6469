//! Asking a monitor or a guest agent: one command, one answer, within a time.
//!
//! Never knows: what the commands do.

mod command;
mod message;
mod socket;

use std::io;
use std::time::Duration;

use serde_json::Value;

pub use command::Virsh;
pub(crate) use command::run;
pub use message::{Message, parse};
pub use socket::Socket;

/// An answer may take so long; a monitor that is busy answers when it is done.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Longer answers are taken for nonsense.
pub const LONGEST: usize = 16 << 20;

/// A way to a monitor, or to a guest agent.
pub trait Channel: Send {
    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// [`AskError`]; after any but [`AskError::Refused`] the channel is of no more use.
    fn ask_within(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value, AskError>;

    /// As [`Channel::ask_within`], with ordinary patience.
    ///
    /// # Errors
    /// As [`Channel::ask_within`].
    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, AskError> {
        self.ask_within(command, arguments, PATIENCE)
    }
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It was understood and declined.
    #[error("{command}: {text}")]
    Refused {
        /// What was asked.
        command: String,
        /// The kind of the error, such as `CommandNotFound`.
        class: String,
        /// Why, in the other side's words.
        text: String,
    },
    /// The other side is gone.
    #[error("the hypervisor's monitor or agent went away")]
    Lost(#[source] io::Error),
    /// No answer in time.
    #[error("no answer to {0} in time")]
    Late(String),
    /// What came is no answer.
    #[error("the answer to {command} makes no sense: {why}")]
    Nonsense {
        /// What was asked.
        command: String,
        /// What is wrong with it.
        why: String,
    },
}

impl AskError {
    /// Whether the other side was heard declining, so that it may be asked something else.
    pub fn is_refusal(&self) -> bool {
        matches!(self, AskError::Refused { .. })
    }
}

/// Something in an answer is not as it should be.
pub(crate) fn nonsense(command: &str, why: impl Into<String>) -> AskError {
    AskError::Nonsense { command: command.to_owned(), why: why.into() }
}
