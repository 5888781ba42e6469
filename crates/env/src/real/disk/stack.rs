//! How disks are built from each other: partitions of disks, logical volumes and arrays of disks, loop devices of
//! files, file systems of devices.
//!
//! Never knows: why someone asks.
//! Invariant: every walk goes down, from what is used to what it lies on, through each thing once, so that it ends.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{major, makedev, minor};

use super::mounts::{self, Mount};
use super::{DiskError, errno, is_block};

/// A file or a device that others may lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A block device, by its number.
    Device(u64),
    /// A file: the device number of its file system, and its inode.
    File(u64, u64),
}

impl Target {
    pub(super) fn of(path: &Path) -> Result<Target, DiskError> {
        Target::look(path).map_err(|e| DiskError::of(path, errno(&e)))
    }

    fn look(path: &Path) -> io::Result<Target> {
        let about = std::fs::metadata(path)?;
        Ok(match is_block(about.mode()) {
            true => Target::Device(about.rdev()),
            false => Target::File(about.dev(), about.ino()),
        })
    }
}

/// Whether the disk at `path`, or a partition of it, holds the file system that the folder `dir` is in; through logical
/// volumes, arrays, loop devices and the file systems under those, in any depth.
///
/// # Errors
/// [`DiskError::Missing`] for either; [`DiskError::Denied`], [`DiskError::Blind`], [`DiskError::Io`].
pub fn holds_path(path: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<bool, DiskError> {
    let (path, dir) = (path.as_ref(), dir.as_ref());
    let target = Target::of(path)?;
    let all = mounts::all()?;
    let answer = || {
        let mut walk = Walk::new(target, &all);
        walk.folder(dir)?;
        walk.run()
    };
    answer().map_err(|e: io::Error| DiskError::of(dir, errno(&e)))
}

/// Whether `target` holds what is mounted.
pub(super) fn holds_mount(target: Target, mount: &Mount, all: &[Mount]) -> io::Result<bool> {
    let mut walk = Walk::new(target, all);
    walk.mount(mount)?;
    walk.run()
}

/// Whether `target` is, or holds, the device or file at `path`.
pub(super) fn holds_thing(target: Target, path: &Path, all: &[Mount]) -> io::Result<bool> {
    let mut walk = Walk::new(target, all);
    walk.thing(path)?;
    walk.run()
}

/// Counts what was plugged in, for a device or the disk that a partition is of. `None`: the kernel does not.
pub(super) fn sequence(device: u64) -> io::Result<Option<u64>> {
    let folder = folder_of(device);
    for file in [folder.join("diskseq"), folder.join("../diskseq")] {
        if let Some(text) = read_if_there(&file)? {
            return Ok(text.trim().parse().ok());
        }
    }
    Ok(None)
}

/// A walk down from something to all that it lies on.
struct Walk<'a> {
    target: Target,
    mounts: &'a [Mount],
    seen: BTreeSet<Target>,
    to_do: Vec<u64>,
    found: bool,
}

impl<'a> Walk<'a> {
    fn new(target: Target, mounts: &'a [Mount]) -> Walk<'a> {
        Walk { target, mounts, seen: BTreeSet::new(), to_do: Vec::new(), found: false }
    }

    fn run(&mut self) -> io::Result<bool> {
        while let Some(device) = self.to_do.pop().filter(|_| !self.found) {
            self.below_device(device)?;
        }
        Ok(self.found)
    }

    /// Comes to a device or file. `true`: for the first time.
    fn visit(&mut self, thing: Target) -> bool {
        self.found |= thing == self.target;
        self.seen.insert(thing)
    }

    fn device(&mut self, device: u64) {
        if self.visit(Target::Device(device)) {
            self.to_do.push(device);
        }
    }

    /// A device or a file, by its path.
    fn thing(&mut self, path: &Path) -> io::Result<()> {
        match Target::look(path)? {
            Target::Device(device) => self.device(device),
            file => {
                if self.visit(file) {
                    self.folder(path)?;
                }
            }
        }
        Ok(())
    }

    /// What the file system around `path` lies on.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let device = std::fs::metadata(path)?.dev();
        if major(device) != 0 {
            self.device(device);
            return Ok(());
        }
        // btrfs and overlays have numbers of their own: the mount tells more. Of several on one path the last is on top.
        let path = std::fs::canonicalize(path)?;
        let around = self.mounts.iter().filter(|mount| path.starts_with(&mount.point));
        match around.max_by_key(|mount| mount.point.components().count()).cloned() {
            Some(mount) => self.mount(&mount),
            None => Ok(()),
        }
    }

    fn mount(&mut self, mount: &Mount) -> io::Result<()> {
        if mount.device.0 != 0 {
            self.device(makedev(mount.device.0, mount.device.1));
            return Ok(());
        }
        match mount.kind.as_str() {
            "btrfs" => self.btrfs(&mount.source),
            "overlay" => self.overlay(&mount.options),
            _ => Ok(()),
        }
    }

    /// All devices of a btrfs, given one of them.
    fn btrfs(&mut self, source: &Path) -> io::Result<()> {
        let Some(Target::Device(device)) = gone_is_none(Target::look(source))? else {
            return Ok(());
        };
        self.device(device);
        for entry in read_dir("/sys/fs/btrfs")? {
            let devices = read_dir(entry.join("devices"))?;
            let numbers: Vec<u64> = devices
                .iter()
                .map(|device| number(device))
                .collect::<io::Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect();
            if numbers.contains(&device) {
                numbers.into_iter().for_each(|device| self.device(device));
            }
        }
        Ok(())
    }

    fn overlay(&mut self, options: &str) -> io::Result<()> {
        for option in options.split(',') {
            let folders = match option.split_once('=') {
                Some(("upperdir" | "lowerdir" | "workdir", folders)) => folders,
                _ => continue,
            };
            for folder in folders.split(':').filter(|folder| folder.starts_with('/')) {
                gone_is_none(self.folder(Path::new(folder)))?;
            }
        }
        Ok(())
    }

    fn below_device(&mut self, device: u64) -> io::Result<()> {
        let folder = folder_of(device);
        let disk = match folder.join("partition").exists() {
            true => number(&folder.join(".."))?,
            false => None,
        };
        disk.into_iter().for_each(|disk| self.device(disk));
        for slave in read_dir(folder.join("slaves"))? {
            if let Some(slave) = number(&slave)? {
                self.device(slave);
            }
        }
        match read_if_there(&folder.join("loop/backing_file"))? {
            // A file that was deleted since has no path; nobody can name it as a target either.
            Some(file) => gone_is_none(self.thing(Path::new(file.trim_end_matches('\n')))).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// What the kernel tells of a device.
fn folder_of(device: u64) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{}:{}", major(device), minor(device)))
}

/// The number of the device that a folder of the kernel is about.
fn number(folder: &Path) -> io::Result<Option<u64>> {
    let text = read_if_there(&folder.join("dev"))?;
    let numbers = text.as_deref().and_then(|text| text.trim().split_once(':'));
    Ok(numbers.and_then(|(major, minor)| Some(makedev(major.parse().ok()?, minor.parse().ok()?))))
}

fn read_dir(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    match gone_is_none(std::fs::read_dir(folder))? {
        Some(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        None => Ok(Vec::new()),
    }
}

fn read_if_there(file: &Path) -> io::Result<Option<String>> {
    gone_is_none(std::fs::read_to_string(file))
}

/// Devices come and go while we look.
fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e)
            if [Some(rustix::io::Errno::NODEV), Some(rustix::io::Errno::NXIO)]
                .contains(&rustix::io::Errno::from_io_error(&e)) =>
        {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}
