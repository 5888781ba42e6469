//! Kinds of file systems: how they are made, mounted, grown, and judged by their own tools.
//!
//! Never knows: where they lie.

use std::path::Path;

use crate::fail::{Fail, Result};
use crate::tools::{complaint, finish, must, program, run, shown, text};

/// The right to go past limits, among those of a process.
const SYS_RESOURCE: u64 = 1 << 24;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    pub(crate) const ALL: &[Kind] = &[Kind::Ext4, Kind::Xfs, Kind::Btrfs];

    /// As `mount` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }

    /// Makes one that takes so many bytes of its device.
    pub(crate) fn make(self, device: &Path, size: u64) -> Result<()> {
        let (device, mib) = (text(device), size >> 20);
        let made = match self {
            // What ext4 puts off until it is mounted would be written after the loads have ended.
            Kind::Ext4 => {
                run("mkfs.ext4", ["-qF", "-E", "lazy_itable_init=0,lazy_journal_init=0", device, &format!("{mib}M")])
            }
            Kind::Xfs => run("mkfs.xfs", ["-qf", "-d", &format!("size={mib}m"), device]),
            Kind::Btrfs => run("mkfs.btrfs", ["-qf", "-b", &size.to_string(), device]),
        };
        made.map(drop)
    }

    /// The least that one takes.
    pub(crate) fn least(self) -> u64 {
        match self {
            Kind::Ext4 => 32 << 20,
            Kind::Xfs => 300 << 20,
            Kind::Btrfs => 128 << 20,
        }
    }

    /// Options for a copy, whose original may be mounted too.
    pub(crate) fn options(self) -> &'static str {
        if self == Kind::Xfs { "nouuid" } else { "rw" }
    }

    /// Whether a mounted one can be grown here: for ext4 the kernel wants a right that containers may lack.
    pub(crate) fn can_grow(self) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rights = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
        self != Kind::Ext4 || rights.is_some_and(|rights| rights & SYS_RESOURCE != 0)
    }

    /// Makes a mounted one take so many bytes.
    pub(crate) fn grow(self, device: &Path, mounted: &Path, size: u64) -> Result<()> {
        let (device, mounted) = (text(device), text(mounted));
        let grown = match self {
            Kind::Ext4 => run("resize2fs", [device, &format!("{}M", size >> 20)]),
            Kind::Xfs => run("xfs_growfs", ["-D", &(size / 4096).to_string(), mounted]),
            Kind::Btrfs => run("btrfs", ["filesystem", "resize", &size.to_string(), mounted]),
        };
        grown.map(drop)
    }

    /// Whether its checker wants the log to be replayed by a mount before.
    pub(crate) fn replays_by_mount(self) -> bool {
        self == Kind::Xfs
    }

    /// What its own checker says of an unmounted one. May replay an ext4's journal.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn judge(self, device: &Path) -> Result<()> {
        let device = text(device);
        match self {
            Kind::Ext4 => {
                // Files that were open and unlinked are cleared with the journal's replay: not an error.
                let mut replay = program("e2fsck");
                replay.args(["-f", "-p", device]);
                let said = finish(&mut replay)?;
                if !matches!(said.status.code(), Some(0 | 1)) {
                    return Err(complaint(&shown(&replay), &said));
                }
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                if let Some(line) = text.lines().find(|line| repaired(line)) {
                    return Err(Fail::new(format!("e2fsck had to repair: {line}")));
                }
                run("e2fsck", ["-f", "-n", device]).map(drop)
            }
            Kind::Xfs => run("xfs_repair", ["-n", device]).map(drop),
            Kind::Btrfs => must(program("btrfs").args(["check", "--readonly", device])).map(drop),
        }
    }
}

/// Whether a line of `e2fsck -p` tells more than a replay, its orphans and sums.
fn repaired(line: &str) -> bool {
    let harmless = ["recovering journal", "Clearing orphaned inode", "non-contiguous", "Truncating orphaned inode"];
    // Counts in the superblock are set when it is unmounted.
    let sums = ["Free blocks count wrong", "Free inodes count wrong", "Setting free"];
    // Advice: a tree of extents that shrank is as right as before.
    let advice = ["extent tree (at level"];
    !line.trim().is_empty() && !harmless.iter().chain(&sums).chain(&advice).any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_are_told_from_replays() {
        assert!(!repaired("disk: recovering journal"));
        assert!(!repaired("disk: 11/64 files (0.0% non-contiguous), 10/64 blocks"));
        assert!(!repaired("disk: Inode 32793 extent tree (at level 1) could be shorter.  IGNORED."));
        assert!(repaired("disk: Inode 12, i_blocks is 8, should be 16.  FIXED."));
    }
}
