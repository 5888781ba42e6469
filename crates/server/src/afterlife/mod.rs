//! What lets a server go on elsewhere when its machine is lost: all that is its own, in the store that it serves.
//!
//! ```text
//!   data folder                                    store, vault/V/server/
//!   catalogue, ca/, keys/, settings ──sealed──▶    kept/N     at most once a minute, when they changed
//!   audit/ ─────────as it is────────▶              audit/     within a second
//!   keys/claim ──────is the newest of──▶           claim/N    who serves the vault: another one ends when there is a newer
//! ```
//!
//! Never knows: what people or machines do with a server.

pub(crate) mod below;
pub(crate) mod claim;
pub(crate) mod keep;
pub(crate) mod mirror;
pub(crate) mod recover;
