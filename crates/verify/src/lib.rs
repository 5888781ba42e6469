//! The independent witness: reads a store in a folder from its format pages
//! (docs/format) alone, and says what in it does not hold.
//!
//! Never knows: any other room of this workspace, how a store is written,
//! the dedup index, object storage. It imports none of our crates, and takes
//! other libraries than the product for ciphers and decompression, so that
//! a mistake made once is not made twice.
//! Invariant: bytes that do not hash to their chunk's id are never given out.

mod book;
mod bytes;
mod catalog;
mod check;
mod crypt;
mod extract;
mod folder;
mod overlay;
mod packs;
mod reader;
mod runs;

#[cfg(test)]
mod golden;

pub mod decode;
pub mod keys;
pub mod ledger;
pub mod map;
pub mod pack;
pub mod report;
pub mod rows;
pub mod twin;

pub use bytes::{Id, Malformed};
pub use crypt::{Key, NotOpened};
pub use extract::{FileSink, ReadError, SeqSink, Sink, Unvouched};
pub use reader::{OpenError, Reader};
pub use report::{Finding, Kind, Report};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
