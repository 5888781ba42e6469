//! Points, maps and what becomes of them: pure functions from facts to plans.
//!
//! Never knows: packs beyond their names, I/O, or the clock: callers pass `now`.

pub mod ahead;
pub mod extent;
pub mod gap;
pub mod pages;
pub mod path;
pub mod run;
pub mod schedule;
pub mod summary;
pub mod thin;
