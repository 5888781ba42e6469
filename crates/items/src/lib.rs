//! What is on a volume: partitions, file systems, which bytes they use, and the files in them. Every parser here
//! reads bytes that an attacker may have written.
//!
//! Never knows: keys, the store, the network, or what a point is.

#![allow(clippy::single_range_in_vec_init, reason = "this crate is about ranges: a list of one is meant as one")]

pub mod allocation;
mod bits;
pub mod btrfs;
mod bytes;
mod cache;
pub mod detect;
pub mod disk;
pub mod exclude;
pub mod ext4;
mod names;
pub mod ntfs;
pub mod partition;
pub mod swap;
pub mod tree;
pub mod vfat;
pub mod xfs;
