//! Chunks in packs, the index that finds them again, and the ledger that says what is committed.
//!
//! Never knows: disks, machines, points, or time: the rows of the ledger are opaque here, and which chunks are still wanted
//! is told by the caller.

pub mod index;
pub mod ingest;
pub mod ledger;
pub mod pack;
pub mod packs;
