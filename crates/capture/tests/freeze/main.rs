//! Freezing real file systems on loop devices: what holds still, what breaks a freeze, and that nothing stays frozen
//! whatever dies. Needs root. Only file systems that the tests made are ever frozen.
//!
//! Never knows: private parts of the room.

mod death;
mod kinds;
mod others;
mod role;
mod stacks;
#[allow(dead_code)] // the tests of hooks share this file
mod world;
