//! The real halves of the seams.
//!
//! Never knows: the simulated halves.

pub mod folder;
pub mod system;
