//! A vault, opened: points are published into it and read out of it, and what is not wanted any more leaves it.
//!
//! This room joins `store` (chunks, packs, a ledger of opaque rows) and `timeline` (what rows mean, as pure functions): the
//! command line needs the two together without a server, and a server needs the same. It has a writing half
//! ([`protect`], [`forget`], [`upkeep`]) and a reading half ([`map`], [`disk`]); recovery is given the reading half.
//!
//! Never knows: people, processes, file systems, or where a disk's bytes come from and go to.

pub mod ahead;
mod catalogue;
pub mod check;
pub mod disk;
mod error;
pub mod figures;
pub mod forget;
pub mod gap;
mod index;
mod lacks;
pub mod map;
mod open;
pub mod points;
pub mod protect;
pub mod rows;
mod served;
pub mod slots;
mod spans;
pub mod upkeep;

pub use error::VaultError;
pub use open::{Opened, Seams, Vault};
