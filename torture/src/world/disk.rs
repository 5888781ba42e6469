//! Loop devices, their partitions, and mounts; gone when dropped.
//!
//! Never knows: what is on them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fail::{During, Fail, Result};
use crate::tools::{self, patiently, program, run, text};

/// How long something may hold on to a device or a mount after it ended.
const LETS_GO: Duration = Duration::from_secs(30);

/// A file as a block device, with its partitions.
#[derive(Debug)]
pub(crate) struct Loop {
    path: PathBuf,
}

impl Loop {
    /// Attaches a file; direct, past the page cache of what it lies on, where that can be.
    pub(crate) fn attach(file: &Path, sector: u32, direct: bool) -> Result<Loop> {
        let sector = sector.to_string();
        let direct = format!("--direct-io={}", if direct { "on" } else { "off" });
        let said = run("losetup", ["--find", "--show", "--sector-size", &sector, &direct, text(file)])?;
        Ok(Loop { path: PathBuf::from(said.trim()) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the machine.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Makes the kernel see the partitions that the table names.
    pub(crate) fn show_partitions(&self) -> Result<()> {
        run("partx", ["--update", text(&self.path)]).map(drop)
    }

    /// A partition by its number; 0 is the whole disk.
    pub(crate) fn part(&self, number: u32) -> PathBuf {
        match number {
            0 => self.path.clone(),
            number => PathBuf::from(format!("{}p{number}", self.path.display())),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(program("partx").args(["--delete", text(&self.path)]).output());
        let mut why = String::new();
        let gone = patiently(LETS_GO, || match run("losetup", ["--detach", text(&self.path)]) {
            Ok(_) => true,
            Err(cause) => {
                why = cause.to_string();
                false
            }
        });
        if !gone {
            eprintln!("torture: {} is left over: {why}", self.path.display());
        }
    }
}

/// A mounted file system.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts on a folder, which is made.
    pub(crate) fn new(device: &Path, folder: &Path, options: &str) -> Result<Mount> {
        std::fs::create_dir_all(folder).during(folder.display())?;
        run("mount", ["-o", options, text(device), text(folder)])?;
        Ok(Mount(folder.to_owned()))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// # Errors
    /// Something still uses it.
    pub(crate) fn unmount(self) -> Result<()> {
        if unmount(&self.0) { Ok(()) } else { Err(Fail::new(format!("{} stays in use", self.0.display()))) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if is_mounted(&self.0) && !unmount(&self.0) {
            eprintln!("torture: {} is left over", self.0.display());
        }
    }
}

fn unmount(folder: &Path) -> bool {
    patiently(LETS_GO, || run("umount", [text(folder)]).is_ok() || !is_mounted(folder))
}

fn is_mounted(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(text(folder)))
}

/// A file of zeros that takes no space.
pub(crate) fn sparse(path: &Path, size: u64) -> Result<()> {
    File::create(path).and_then(|file| file.set_len(size)).during(path.display())
}

/// Bytes of a device or file.
pub(crate) fn size_of(device: &Path) -> Result<u64> {
    let said = tools::run("blockdev", ["--getsize64", text(device)])?;
    said.trim().parse().during("blockdev")
}
