//! A disk that nothing can write to any more.
//!
//! Never knows: marks.

use std::io;
use std::path::Path;

use backstay_env::real::disk::{BlockDevice, Disk, DiskError, open, open_for_writing};

use super::ioctl::set_read_only;

/// Why something may still write to a disk.
#[derive(Debug, thiserror::Error)]
pub enum NotQuiet {
    /// Mounted, swapped to, part of a volume group, an array or an encrypted volume that is open; or not there.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An image file.
    #[error("it is no block device")]
    NotADevice,
    /// The kernel did not do it.
    #[error("it cannot be made read-only")]
    Io(#[source] io::Error),
}

/// A disk that was in nobody's use when it was made read-only, with nothing left to be written. It becomes writable again when
/// this is dropped, unless it is to stay.
pub struct Quiet {
    device: BlockDevice,
    stays: bool,
}

impl Quiet {
    /// Claims a disk, makes it read-only and writes out what programs may have left in memory to be written to it.
    ///
    /// # Errors
    /// [`NotQuiet`]; then the disk is as it was.
    pub fn begin(path: &Path) -> Result<Quiet, NotQuiet> {
        let Disk::Device(device) = open_for_writing(path)? else { return Err(NotQuiet::NotADevice) };
        set_read_only(&device, true).map_err(|e| NotQuiet::Io(e.into()))?;
        let quiet = Quiet { device, stays: false };
        // What was written through a partition lies in other caches than the disk's own.
        rustix::fs::sync();
        Ok(quiet)
    }

    /// The disk, to be read.
    pub fn device(&self) -> &BlockDevice {
        &self.device
    }

    /// It is to be read-only until the machine ends.
    pub fn stay(mut self) {
        self.stays = true;
    }

    /// Makes a disk writable again that stayed read-only.
    ///
    /// # Errors
    /// [`NotQuiet`].
    pub fn end(path: &Path) -> Result<(), NotQuiet> {
        match open(path)? {
            Disk::Device(device) => set_read_only(&device, false).map_err(|e| NotQuiet::Io(e.into())),
            Disk::File(_) => Err(NotQuiet::NotADevice),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if !self.stays {
            // It was made read-only by the same call a moment ago; nothing better can be done if this one fails.
            let _ = set_read_only(&self.device, false);
        }
    }
}
