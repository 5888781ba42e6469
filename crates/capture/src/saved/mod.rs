//! Marks over a restart of the machine: saved once nothing can write to their disk any more, taken up before anything does.
//!
//! ```text
//!  claim, make read-only, flush ─▶ take the marks, look at the disk ─▶ file ┈ power off, start ┈▶ file is removed ─▶
//!  mark anew ─▶ was anything written since the start? is it that disk, and as it was? ─▶ add the saved marks
//! ```
//!
//! [docs/capture/saved-marks.md] says what is promised, and gives the bytes of the file.
//!
//! [docs/capture/saved-marks.md]: https://github.com/backstay/backstay/blob/main/docs/capture/saved-marks.md
//!
//! Never knows: file systems, points, or where the file is kept.
//! Invariant: what was saved is given up before it is used, so it is used once at most; every doubt is a rescan.

mod bits;
mod file;
mod ioctl;
mod looks;
mod quiet;
mod slot;
mod take;

pub use self::bits::Bits;
pub use self::file::{FileError, Saved, SavedDisk};
pub use self::looks::Looks;
pub use self::quiet::{NotQuiet, Quiet};
pub use self::slot::Slot;
pub use self::take::{Doubt, candidates, is_there, take_up};

/// Names this run of the machine.
///
/// # Errors
/// What the system says.
pub fn boot() -> std::io::Result<[u8; 16]> {
    crate::tracker::boot()
}
