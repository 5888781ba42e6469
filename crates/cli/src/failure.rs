//! What went wrong, in one sentence for people, with what to do and the exit status.
//!
//! Never knows: where it went wrong.

use std::error::Error;
use std::fmt;

use backstay_env::objects::ObjectError;
use backstay_env::real::disk::DiskError;
use backstay_env::real::folder::FolderError;
use backstay_format::DecodeError;
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

    /// Says first what it is about, unless it says so already.
    pub(crate) fn about(self, thing: &dyn fmt::Display) -> Self {
        let thing = thing.to_string();
        let said = self.what.contains(&thing);
        Failure { what: if said { self.what } else { format!("{thing}: {}", self.what) }, ..self }
    }

    /// What was asked makes no sense or is not allowed: the same will not work later either.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.status, Status::Usage | Status::Refused)
    }

    /// Data that was asked for is damaged.
    pub(crate) fn is_damage(&self) -> bool {
        self.status == Status::Damaged
    }

    /// Rights or policy refused it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status == Status::Refused
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
        VaultError::WrongPassphrase(_) => "check it, or name another file with --passphrase-file",
        VaultError::Paper(_) => "compare what was typed with what `backstay key paper` printed",
        VaultError::NoVault(_) => "name another with --vault, or run `backstay init` again if it was interrupted",
        VaultError::NoMachine(_) => "`backstay machines` lists them",
        VaultError::NoPoint(_) => "`backstay points` lists them",
        VaultError::NoDisk { .. } => "name the disk as MACHINE:DISK; `backstay show` lists them",
        VaultError::LastSlot(_) => "add another passphrase first",
        VaultError::Home(ObjectError::NoSpace(_)) => {
            "free some space and run the same command again: it goes on where it was"
        }
        VaultError::Home(ObjectError::Denied { .. }) => {
            "check the rights on the store, and whether it is mounted read-only"
        }
        VaultError::Source { .. } => "it shrank or went away while it was read; see to it, and protect it again",
        VaultError::Header(DecodeError::Version { .. } | DecodeError::Features { .. }) => "use a newer Backstay",
        VaultError::Header(DecodeError::Magic(_)) => "name another with --store",
        VaultError::StalePlan => "run the same command again",
        error if error.is_damage() => "`backstay check` lists all damage; everything else still restores",
        _ => return None,
    })
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let mut what = match &error {
            VaultError::Header(DecodeError::Version { found, newest, .. }) => {
                format!("this store is of version {found}, and this program knows versions up to {newest}")
            }
            VaultError::Header(newer @ DecodeError::Features { .. }) => format!("this store cannot be read: {newer}"),
            VaultError::WrongPassphrase(_) => "the passphrase does not open the vault".to_owned(),
            VaultError::Header(DecodeError::Magic(_)) => "this is not a store".to_owned(),
            error => sentence(error),
        };
        if let Some(hint) = hint(&error) {
            what = format!("{what}; {hint}");
        }
        let status = match &error {
            VaultError::StoreExists | VaultError::WrongPassphrase(_) | VaultError::LastSlot(_) => Status::Refused,
            VaultError::StalePlan | VaultError::Home(ObjectError::Denied { .. }) => Status::Refused,
            VaultError::BadName(_) | VaultError::Paper(_) => Status::Usage,
            VaultError::Header(DecodeError::Version { .. } | DecodeError::Features { .. } | DecodeError::Magic(_)) => {
                Status::Failed
            }
            error if error.is_damage() => Status::Damaged,
            _ => Status::Failed,
        };
        Failure { what, status }
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        let what = sentence(&error);
        match error {
            DiskError::InUse(_) => Failure::refused(what),
            DiskError::Denied { .. } => {
                Failure::refused(format!("{what}; check the rights on it, or run this as root"))
            }
            DiskError::Blind { place, .. } => Failure::new(format!("{what}; mount {place}")),
            _ => Failure::new(what),
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let what = sentence(&error);
        match error {
            FolderError::Missing(_) | FolderError::NotFolder(_) => {
                Failure::new(format!("{what}; make a store with `backstay init`, or name another with --store"))
            }
            FolderError::Denied { .. } => Failure::refused(format!("{what}; check the rights on it")),
            FolderError::Io { .. } => Failure::new(what),
        }
    }
}

/// What is wrong with a command line, out of the many lines that clap says.
pub(crate) fn of_command_line(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let words: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect();
    let words = words.join(" ").replace(" tip: ", "; ").replace("invalid digit found in string", "not a number");
    let words = words.strip_prefix("error: ").unwrap_or(&words);
    Failure::usage(format!("{words}; --help tells more"))
}
