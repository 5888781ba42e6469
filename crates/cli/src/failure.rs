//! What went wrong, in one sentence for people, with what to do and the exit status.
//!
//! Never knows: where it went wrong.

use std::error::Error;
use std::fmt;

use backstay_env::objects::ObjectError;
use backstay_env::real::disk::DiskError;
use backstay_vault::VaultError;

/// Exit statuses of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Something failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Damaged data was found.
    Damaged = 3,
    /// Refused by rights or policy.
    Refused = 4,
}

/// A failure to be told to people.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    status: Status,
}

impl Failure {
    /// Something failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Failure { what: what.into(), status: Status::Failed }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Failure { what: what.into(), status: Status::Usage }
    }

    /// Damaged data was found.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Failure { what: what.into(), status: Status::Damaged }
    }

    /// Refused before anything was changed.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Failure { what: what.into(), status: Status::Refused }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        self.status as u8
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

fn hint(error: &VaultError) -> Option<&'static str> {
    Some(match error {
        VaultError::NoStore => "make one with `backstay init`, or name another with --store",
        VaultError::StoreExists => "name an empty folder",
        VaultError::WrongPassphrase(_) => "check the passphrase",
        VaultError::NoVault(_) => "name another with --vault",
        VaultError::NoMachine(_) => "`backstay machines` lists them",
        VaultError::NoPoint(_) => "`backstay points` lists them",
        VaultError::NoDisk { .. } => "name the disk as MACHINE:DISK; `backstay show` lists them",
        VaultError::LastSlot(_) => "add another passphrase first",
        VaultError::Home(ObjectError::NoSpace(_)) => "free some space and run the same command again: it goes on where it was",
        VaultError::Home(ObjectError::Denied { .. }) => "check the rights on the store",
        error if error.is_damage() => "`backstay check` lists all damage; everything else still restores",
        _ => return None,
    })
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let mut what = sentence(&error);
        if let Some(hint) = hint(&error) {
            what = format!("{what}; {hint}");
        }
        let status = match &error {
            VaultError::StoreExists | VaultError::WrongPassphrase(_) | VaultError::LastSlot(_) => Status::Refused,
            VaultError::StalePlan => Status::Refused,
            VaultError::BadName(_) => Status::Usage,
            error if error.is_damage() => Status::Damaged,
            _ => Status::Failed,
        };
        Failure { what, status }
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        let status = if matches!(error, DiskError::InUse(_)) { Status::Refused } else { Status::Failed };
        Failure { what: sentence(&error), status }
    }
}
