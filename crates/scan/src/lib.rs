//! What a disk holds, segment by segment: read, cut into chunks, named.
//!
//! This is done where the disk is: beside the store on a machine that protects itself, or by the agent of one that sends what it
//! has to a server. Both must cut alike, so that what one has stored is found by the other.
//!
//! Never knows: what the store has, or what changed.

mod cutting;
mod segment;

pub use cutting::Cutting;
pub use segment::{Counts, Page, Segment, View};

/// Pages in a segment: 4 MiB. Chunks do not cross its ends.
pub const SEGMENT: u64 = 1024;
