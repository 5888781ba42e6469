//! Why a server does not start.
//!
//! Never knows: what the one who started it does about it.

use std::io;
use std::path::PathBuf;

use backstay_audit::AuditError;
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
    /// A name that certificates cannot have.
    #[error("{0:?} cannot be the name of a server")]
    Name(String),
}
