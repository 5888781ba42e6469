//! The world behind seams: disks, object homes, clock, randomness; each with a real and a simulated half, so that
//! everything above runs in one process from one seed, with faults.
//!
//! Never knows: what the bytes mean.

pub mod link;
pub mod objects;
pub mod random;
pub mod real;
pub mod sim;
pub mod suite;
pub mod time;
pub mod volume;
