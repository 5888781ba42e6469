//! The tracker on loop devices. Needs root, and a kernel with BPF and BTF.
//!
//! Never knows: how marks are kept.

mod death;
mod delay;
mod disks;
mod doubts;
mod kinds;
mod saved;
mod slow;
mod world;
