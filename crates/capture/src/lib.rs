//! Following what changes on the disks of a machine that is running, and holding its file systems still for the moment
//! of a point.
//!
//! Never knows: stores, points, servers, or what becomes of the bytes it names.

pub mod freeze;
pub mod hooks;
pub mod marks;
pub mod number;
pub mod point;
pub mod residue;
pub mod saved;
pub mod tracker;
