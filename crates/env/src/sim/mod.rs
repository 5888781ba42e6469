//! The simulated halves of the seams: a world in memory where one seed replays one run, faults included.
//!
//! Never knows: the real halves, real time, real randomness, or what is stored.

pub mod clock;
pub mod link;
pub mod net;
pub mod objects;
pub mod random;
pub mod volume;
