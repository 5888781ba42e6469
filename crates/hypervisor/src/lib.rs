//! Machines captured from outside: their hypervisor is asked which blocks changed, and for disks as they were at one instant.
//!
//! ```text
//!   guest writes ──▶ disk ◀── backing ── fleece ──▶ NBD ──▶ volume
//!                     │ copy before write ──▲ (a block is saved there before the guest changes it)
//!                     └ dirty bitmap: what changed since the point before
//! ```
//!
//! Guarantee: what is left in a hypervisor when this ends, or is killed, are dirty bitmaps, which go on marking; everything else
//! is taken away by the watchdog, and if that dies too, by whoever comes next.
//! Whoever answers may be hostile: every length and count is bounded, every answer checked.
//! Never knows: the store, points, servers, or what the bytes mean.

pub mod agent;
pub mod bitmaps;
pub mod claim;
pub mod disks;
pub mod held;
pub mod leftovers;
pub mod libvirt;
pub mod names;
pub mod nbd;
pub mod qmp;
pub mod watchdog;
