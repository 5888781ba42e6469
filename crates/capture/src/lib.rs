//! Following what changes on the disks of a machine that is running, and holding its file systems still for the moment
//! of a point.
//!
//! Never knows: stores, points, servers, or what becomes of the bytes it names.

pub mod deep;
pub mod freeze;
pub mod heap;
pub mod hooks;
pub mod marks;
pub mod number;
pub mod point;
pub mod residue;
#[allow(unsafe_code)] // memory that the kernel writes to
mod ring;
pub mod saved;
pub mod tracker;
