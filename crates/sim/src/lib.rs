//! The simulator: the real vault in a simulated world, from one seed, held to a model that knows nothing of vaults.
//!
//! A run makes a store (or takes one that has a history), writes to simulated disks, and lets one process, or two at once, do
//! all that a vault can: protect, follow what changes, forget, settle, consolidate, reclaim, check. The power fails, processes are killed, disks
//! are full, operations fail, clocks jump, disks rot: at every operation on the home, as the dice say.
//!
//! # The oracle
//!
//! Model: (machine, point) -> the bytes of its disks when they were captured, and which pages could not be read then.
//! A point is *there* (its capture said `Ok`), *gone* (a forget that dropped it said `Ok`), or *in doubt* (either of them failed
//! on the way): then it may be there or not, but whole if it is. After each step, from a vault opened anew:
//!
//! 1. every point that is there restores bit for bit; pages that the source could not read are named, and no others;
//! 2. no point is listed that is gone or that nobody captured; a number never means two points;
//! 3. what the map of changes between two points does not mention did not change;
//! 4. nothing that was not harmed is reported as damaged: `check` of all data finds nothing;
//! 5. a step without faults does what it was asked, whatever happened before it;
//! 6. `verify`, the reader that was written from the format pages alone, finds nothing either and reads the same bytes;
//! 7. when all points are forgotten and their age has passed, reclaim leaves no pack;
//! 8. a point tells of a gap exactly if there was one by what was promised, or a suspension where nothing was, from the moment of
//!    the point before to its own; a suspension is told at every moment of it, and never after it;
//! 9. the image of a point in the making is what the point will be.
//!
//! If the world exceeded what costs nothing (below), then instead of 1, 4, 5, 7 and 9:
//!
//! 10. no wrong byte is ever given out: what cannot be vouched for is an error, and `check` names it.
//!
//! # The fault table
//!
//! It is the durability contract: no run exceeds it, so each red seed is a bug. *Nothing*: the fault costs nothing.
//!
//! ```text
//! zone               power loss,    a block of one copy   torn put under way     Ok, and undone by
//!                    kill, failure  flipped, overwritten  (the disk lied)        a power loss (it lied)
//! store header, keys nothing        nothing               -                      -
//! ledger entries     nothing        nothing               detect                 detect, but for the newest
//! states, parts      nothing        nothing               nothing                detect
//! packs              nothing        detect and name       nothing                detect and name
//! dedup index        nothing        nothing               nothing                nothing
//! ```
//!
//! Deletions that are undone by a power loss, jumping clocks and full disks cost nothing anywhere.
//!
//! Never knows: threads, real time, or how a vault does what it does; it sees what users see.

mod act;
mod climate;
mod disk;
pub mod flip;
mod follow;
mod home;
mod model;
mod oracle;
mod pauses;
mod ripe;
mod run;
pub mod server;
mod tally;
mod witness;

pub use home::Bug;
pub use run::{Options, Report, run, taken_back};
pub use tally::Tally;

/// The oracle was contradicted: what was seen, and what should have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);
