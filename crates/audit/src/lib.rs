//! The tamper-evident log of what people and machines did with a server (`docs/format/audit.md`): an RFC 6962 tree in the tile
//! layout of C2SP, signed checkpoints, records whose names can expire, and a verifier that needs nothing but the folder.
//!
//! Never knows: the store, vaults, people's passwords, HTTP; or who decides what must be logged.
//! Decoders are total: any bytes give a value or an error.

mod base64;
pub mod cbor;
pub mod checkpoint;
mod error;
mod event;
pub mod journal;
pub mod log;
pub mod names;
pub mod note;
pub mod proof;
pub mod proof_file;
mod reader;
pub mod record;
pub mod tile;
pub mod tree;
pub mod verify;

pub use error::AuditError;
pub use event::{Event, What};
pub use log::{Keys, Log, Receipt, Seams};
pub use reader::{Reader, Shown};
pub use record::Kind;
pub use verify::{Expected, Finding, HEARTBEAT, Report, verify};
