//! The real halves of the seams.
//!
//! Never knows: the simulated halves.

pub mod disk;
pub mod folder;
pub mod system;
