//! Why a vault did not do what it was asked.
//!
//! Never knows: what to tell the user to do about it.

use backstay_env::objects::ObjectError;
use backstay_format::DecodeError;
use backstay_store::ledger::{CommitError, LedgerError};
use backstay_store::pack::ReadError;

/// Why a vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no store in this home.
    #[error("there is no store here")]
    NoStore,
    /// The home holds something already.
    #[error("there is a store here already")]
    StoreExists,
    /// The store's header does not decode.
    #[error("this is not a store, or its header is damaged")]
    Header(#[source] DecodeError),
    /// No vault of that name.
    #[error("the store has no vault {0}")]
    NoVault(String),
    /// No key slot opens with the passphrase.
    #[error("the passphrase opens none of the vault's {0} key slots")]
    WrongPassphrase(usize),
    /// A key slot does not decode and no other opened.
    #[error("key slot {name} is damaged: {why}")]
    Slot {
        /// Which slot's object.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// What a server keeps of itself does not open.
    #[error("{name} is damaged: {why}")]
    Served {
        /// Which object.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Keys on paper that are mistyped or of another vault.
    #[error("these are not the keys on paper: {0}")]
    Paper(String),
    /// It is the last one: without it nobody could open the vault.
    #[error("key slot {0} is the only one left")]
    LastSlot(u16),
    /// No machine of that name.
    #[error("there is no machine {0}")]
    NoMachine(String),
    /// The machine has no disk of that name.
    #[error("machine {machine} has no disk {disk} at that point")]
    NoDisk {
        /// The machine.
        machine: String,
        /// What was asked for.
        disk: String,
    },
    /// The machine has no points, or none that early.
    #[error("machine {0} has no point that early")]
    NoPoint(String),
    /// Not a name for a machine or a disk.
    #[error("{0:?} cannot be a name: 1 to 64 bytes, no control characters, no / and no :")]
    BadName(String),
    /// The home failed.
    #[error("the store could not be accessed")]
    Home(#[source] ObjectError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(LedgerError),
    /// A row does not decode.
    #[error("a row of the ledger is damaged ({what})")]
    Row {
        /// Which row.
        what: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A pack or something in it could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A run of a map does not decode.
    #[error("the map of a point is damaged")]
    Map(#[source] DecodeError),
    /// Nothing is known of some pages: the part of the map that says what they hold is lost.
    #[error("what these pages hold is not known: {0}")]
    Unknown(String),
    /// Spans do not lead to the point.
    #[error("no spans lead to the point: the ledger contradicts itself")]
    NoWay,
    /// The dedup index could not be used. It can be deleted: it is made anew.
    #[error(transparent)]
    Index(backstay_store::index::IndexError),
    /// Stopped by the caller.
    #[error("cancelled")]
    Cancelled,
    /// Somebody else changed the machine, again and again, while we worked.
    #[error("others kept changing the machine meanwhile; try again")]
    Overtaken,
    /// A source of a capture failed.
    #[error("{name} could not be read")]
    Source {
        /// Which source.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The plan was made for a state of the vault that has changed.
    #[error("the vault changed after the plan was made; make it again")]
    StalePlan,
}

impl VaultError {
    /// Bytes are damaged or lost: reading again gives the same.
    pub fn is_damage(&self) -> bool {
        match self {
            VaultError::Header(_) | VaultError::Slot { .. } | VaultError::Served { .. } | VaultError::Row { .. } => {
                true
            }
            VaultError::Map(_) | VaultError::Unknown(_) | VaultError::NoWay => true,
            VaultError::Ledger(error) => error.is_damage(),
            VaultError::Read(error) => error.is_damage(),
            _ => false,
        }
    }
}

impl From<LedgerError> for VaultError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Home(error) => VaultError::Home(error),
            error => VaultError::Ledger(error),
        }
    }
}

impl From<CommitError<VaultError>> for VaultError {
    fn from(error: CommitError<VaultError>) -> Self {
        match error {
            CommitError::Refused(error) => error,
            CommitError::Ledger(error) => error.into(),
        }
    }
}

impl From<ObjectError> for VaultError {
    fn from(error: ObjectError) -> Self {
        VaultError::Home(error)
    }
}
