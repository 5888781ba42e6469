//! A disk that nothing can write to any more.
//!
//! Never knows: marks.

use std::io;
use std::path::Path;

use backstay_env::real::disk::{BlockDevice, Disk, DiskError, open, open_for_writing};

use super::ioctl::set_read_only;
use crate::freeze::facts::{self, FactsError};
use crate::freeze::mounts::plan;
use crate::number::DeviceNumber;

/// Why something may still write to a disk.
#[derive(Debug, thiserror::Error)]
pub enum NotQuiet {
    /// Mounted, swapped to, part of a volume group, an array or an encrypted volume that is open; or not there.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An image file.
    #[error("it is no block device")]
    NotADevice,
    /// Something of it is mounted to be written.
    #[error("{0} is mounted to be written")]
    Mounted(String),
    /// It cannot be seen who uses it.
    #[error(transparent)]
    Facts(#[from] FactsError),
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

    /// A disk of which nothing is mounted but to be read, as the one that the system is on at the very end. It is not read-only yet:
    /// [`Quiet::seal`].
    ///
    /// # Errors
    /// [`NotQuiet`].
    pub fn among_readers(path: &Path, number: DeviceNumber) -> Result<Quiet, NotQuiet> {
        let plan = plan(&facts::gather()?, &[number]);
        if let Some(fs) = plan.file_systems.iter().find(|fs| !fs.read_only) {
            return Err(NotQuiet::Mounted(fs.name().display().to_string()));
        }
        if let Some(unseen) = plan.unseen.first() {
            return Err(NotQuiet::Mounted(format!("{} on {}", unseen.kind, unseen.device)));
        }
        let device = BlockDevice::open_in_use(path)?;
        rustix::fs::sync();
        Ok(Quiet { device, stays: false })
    }

    /// From now on the kernel refuses to write to it.
    ///
    /// # Errors
    /// [`NotQuiet::Io`].
    pub fn seal(&self) -> Result<(), NotQuiet> {
        set_read_only(&self.device, true).map_err(|e| NotQuiet::Io(e.into()))
    }

    /// The contrary of [`Quiet::seal`].
    ///
    /// # Errors
    /// [`NotQuiet::Io`].
    pub fn unseal(&self) -> Result<(), NotQuiet> {
        set_read_only(&self.device, false).map_err(|e| NotQuiet::Io(e.into()))
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
