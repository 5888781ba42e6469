//! Holding still all file systems of some disks at one instant, so that what is read of the disks is one state.
//!
//! ```text
//! facts ─▶ plan ─▶ group ─▶ sync ─▶ freeze ──▶ (read the disks) ──▶ thaw
//!  /proc   order   open              │  arm                  disarm  │
//!  /sys            descriptors       └──────▶ watchdog: thaws at the limit, or when this process dies
//! ```
//!
//! A freeze does not end with the process that asked for it: a machine whose root is frozen by a dead process is lost.
//! So nothing is frozen but under the eyes of a [`watchdog`], a process of its own.
//!
//! Never knows: what is read while everything is still, or what a point is.
//! Invariant: whatever this process does or suffers, no file system stays frozen for longer than the limit.

pub mod facts;
pub mod group;
mod haste;
#[allow(unsafe_code)] // calls that no library wraps
mod ioctl;
pub mod locked;
pub mod mountinfo;
pub mod mounts;
mod reach;
pub mod watchdog;
