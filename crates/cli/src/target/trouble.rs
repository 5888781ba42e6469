//! Why a point did not get where it should.
//!
//! Never knows: what follows from that.

use std::fmt;

use backstay_agent::AgentError;
use backstay_format::rows::gap::Why;
use backstay_format::wire::v1::Refusal;
use backstay_vault::VaultError;

use crate::cause;
use crate::failure::{Failure, sentence};

/// Why a point did not get where it should.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The vault's.
    Vault(VaultError),
    /// The server's, or of the way there.
    Server(AgentError),
    /// It is not possible with a server.
    Impossible(&'static str),
    /// More changed at once than a point can be made of.
    TooMuch,
}

impl Trouble {
    /// What kind of reason it is, for the gap that it makes.
    pub(crate) fn why(&self) -> Why {
        match self {
            Trouble::Vault(error) => cause::why(error),
            Trouble::Server(AgentError::Refused {
                kind: Refusal::NoSpace | Refusal::Store | Refusal::Ending, ..
            }) => Why::Store,
            Trouble::Server(AgentError::Connect(_) | AgentError::Lost(_)) => Why::Store,
            Trouble::Server(_) | Trouble::Impossible(_) | Trouble::TooMuch => Why::Failed,
        }
    }

    /// The timeline does not end where it was thought to.
    pub(crate) fn is_overtaken(&self) -> bool {
        match self {
            Trouble::Vault(error) => matches!(error, VaultError::Overtaken),
            Trouble::Server(error) => matches!(error, AgentError::Refused { kind: Refusal::Overtaken, .. }),
            Trouble::Impossible(_) | Trouble::TooMuch => false,
        }
    }

    /// Stopped by the caller.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Trouble::Vault(VaultError::Cancelled) | Trouble::Server(AgentError::Cancelled))
    }
}

impl From<VaultError> for Trouble {
    fn from(error: VaultError) -> Self {
        Trouble::Vault(error)
    }
}

impl From<AgentError> for Trouble {
    fn from(error: AgentError) -> Self {
        Trouble::Server(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Vault(error) => error.into(),
            Trouble::Server(error @ AgentError::Refused { kind: Refusal::Denied, .. }) => {
                Failure::refused(error.to_string())
            }
            Trouble::Server(error) => Failure::new(sentence(&error)),
            Trouble::Impossible(why) => Failure::usage(why),
            Trouble::TooMuch => Failure::new(trouble.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Vault(error) => f.write_str(&sentence(error)),
            Trouble::Server(error) => f.write_str(&sentence(error)),
            Trouble::Impossible(why) => f.write_str(why),
            Trouble::TooMuch => f.write_str("too much changed at once"),
        }
    }
}

// Its words have its causes in them already.
impl std::error::Error for Trouble {}
