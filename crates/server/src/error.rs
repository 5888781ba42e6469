//! Why a server does not start.
//!
//! Never knows: what the one who started it does about it.

use std::io;
use std::path::PathBuf;

use backstay_audit::AuditError;
use backstay_env::objects::ObjectError;
use backstay_env::real::folder::FolderError;
use backstay_vault::VaultError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its data folder cannot be read or written.
    #[error("{} cannot be used", place.display())]
    Place {
        /// Which file or folder.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server has the data folder.
    #[error("another server is at work in {}", .0.display())]
    Busy(PathBuf),
    /// A file of the data folder is not what it must be.
    #[error("{} is not what it must be: {why}", place.display())]
    Bad {
        /// Which file.
        place: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another server serves the vault.
    #[error("vault {vault} is served by another server, {name}, since {since}")]
    Claimed {
        /// The vault.
        vault: String,
        /// What the other server is called.
        name: String,
        /// Since when, as RFC 3339.
        since: String,
    },
    /// The log in the data folder is not the one that the store knows, or is an older state of it.
    #[error("the audit log in {} does not go on from its copy in the store: the folder is older than that, or another's", .0.display())]
    OldLog(PathBuf),
    /// A server is to be brought back where there is one.
    #[error("{} has a server's data already", .0.display())]
    NotNew(PathBuf),
    /// Nothing is there to bring a server back from.
    #[error("no server has kept anything of itself in vault {0} that can be read")]
    NothingKept(String),
    /// The copy of the log in the store.
    #[error("the copy of the audit log in the store cannot be read")]
    Copy(#[source] ObjectError),
    /// The port cannot be had.
    #[error("nothing can listen at {address}")]
    Port {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store's folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The log of what people do: without it nothing may be done.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The catalogue.
    #[error("the catalogue cannot be used")]
    Catalogue(#[from] sqlx::Error),
    /// The catalogue is of a newer version of this program.
    #[error("the catalogue is of a newer version than this one, {own}, which does not know its part {0:?}", own = env!("CARGO_PKG_VERSION"))]
    Newer(String),
    /// A name that certificates cannot have.
    #[error("{0:?} cannot be the name of a server")]
    Name(String),
}
