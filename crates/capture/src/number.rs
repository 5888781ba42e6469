//! The numbers by which the kernel knows devices.
//!
//! Never knows: what a device is, or whether there is one.

use std::fmt;

use rustix::fs::{major, minor};

/// The number of a block device, and of a superblock: those without a block device have one of the major number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// From `8:1`, as in `/sys/class/block/NAME/dev`.
    pub fn parse(text: &str) -> Option<DeviceNumber> {
        let (major, minor) = text.trim_end().split_once(':')?;
        Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// From the number that `stat` gives.
    pub fn of(number: u64) -> DeviceNumber {
        DeviceNumber { major: major(number), minor: minor(number) }
    }

    /// Whether the number stands for a superblock only.
    pub fn is_anonymous(self) -> bool {
        self.major == 0
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}
