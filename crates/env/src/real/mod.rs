//! The real halves of the seams.
//!
//! Never knows: the simulated halves.

pub mod cache;
pub mod disk;
pub mod folder;
#[cfg(feature = "link")]
pub mod link;
#[cfg(feature = "s3")]
pub mod s3;
pub mod system;
