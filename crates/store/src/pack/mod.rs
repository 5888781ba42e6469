//! Packs: built once, read in frames (`docs/format/pack.md`).
//!
//! Never knows: which chunks are wanted, or where keys are kept.

mod build;
mod ends;
mod read;
mod shrink;

pub use build::{BlobPlace, FinishedPack, OpenPack, SealedFrame};
pub use ends::check_ends;
pub use read::{PackReader, ReadError, parse_table};
pub use shrink::{Shrunk, shrink};

use backstay_env::random::Random;
use backstay_env::time::Clock;

/// Sixteen bytes that sort by age and are otherwise random: for ids of packs and objects.
pub fn aged_id(clock: &dyn Clock, random: &dyn Random) -> [u8; 16] {
    let mut id = [0; 16];
    random.fill(&mut id);
    let millis = u64::try_from(clock.now().0 / 1_000_000).unwrap_or(0);
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    id
}
