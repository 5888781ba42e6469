//! Copies of disks, made while `protect` itself holds their file systems still.
//!
//! It is stopped amid its freeze; the files behind the disks are cloned, which takes next to no time; then it goes on, and makes its
//! point: of the very state that was copied.
//!
//! Never knows: how copy and point are compared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::Disturber;
use crate::chance::Chance;
use crate::fail::Result;
use crate::tools::{finish, now, patiently, program, run, text};

/// Copies that are kept in one round: each differs more and more from the disk.
const MOST: usize = 3;
/// Freezes in which it is tried, one after the other.
const TRIES: u32 = 4;
/// How long a process that is told to stop may be in the kernel.
const STOPS: Duration = Duration::from_millis(700);

/// Disks whose files can be cloned, and what is mounted of them.
pub(crate) struct Copier {
    pub(crate) mounted: Vec<PathBuf>,
    pub(crate) images: Vec<PathBuf>,
    pub(crate) copied: Vec<Copied>,
}

/// Disks as they were amid a freeze.
pub(crate) struct Copied {
    /// The freeze began after this moment, by the clock of points, and was over before the other.
    pub(crate) moments: (i64, i64),
    pub(crate) images: Vec<PathBuf>,
}

impl Copier {
    /// Whether all file systems are frozen. One that is not is left as it is.
    fn is_still(&self) -> Result<bool> {
        for folder in &self.mounted {
            let said = finish(program("fsfreeze").args(["--freeze", text(folder)]))?;
            if said.status.success() {
                run("fsfreeze", ["--unfreeze", text(folder)])?;
                return Ok(false);
            }
            if !String::from_utf8_lossy(&said.stderr).contains("busy") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies, if all is still, and is still afterwards.
    fn copy(&self) -> Result<Option<Vec<PathBuf>>> {
        if !self.is_still()? {
            return Ok(None);
        }
        let number = self.copied.len();
        let name = |image: &PathBuf| PathBuf::from(format!("{}-copy{number}", image.display()));
        let images: Vec<PathBuf> = self.images.iter().map(name).collect();
        for (image, copy) in self.images.iter().zip(&images) {
            run("cp", ["--reflink=always", text(image), text(copy)])?;
        }
        Ok(self.is_still()?.then_some(images))
    }
}

impl Disturber<'_> {
    /// Copies the disks while they are held still.
    pub(super) fn copy_held(&mut self, chance: &mut Chance) -> Result<&'static str> {
        if self.copier.as_ref().is_none_or(|copier| copier.copied.len() == MOST) {
            return Ok("left alone");
        }
        for _ in 0..TRIES {
            if self.copy_in_a_freeze(chance)? {
                return Ok("copied while held");
            }
        }
        Ok("not all was held, or not for long enough, to be copied")
    }

    /// In the next freeze that comes, if all goes well.
    fn copy_in_a_freeze(&mut self, chance: &mut Chance) -> Result<bool> {
        let held = |all: &Self| all.probe.as_ref().is_some_and(super::still::Probe::held);
        patiently(STOPS, || !held(self));
        let after = now();
        if held(self) || !self.wait_held() {
            return Ok(false);
        }
        // Other file systems are frozen after the one that is watched.
        std::thread::sleep(chance.millis(0, 6));
        self.agent.signal(Signal::STOP);
        let id = self.agent.id();
        let stopped = patiently(STOPS, || is_stopped(id));
        let copied = match &self.copier {
            Some(copier) if stopped => copier.copy(),
            _ => Ok(None),
        };
        self.agent.signal(Signal::CONT);
        self.is_thawed()?;
        match (copied?, &mut self.copier) {
            (Some(images), Some(copier)) => {
                copier.copied.push(Copied { moments: (after, now()), images });
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// Whether no thread of a process runs.
fn is_stopped(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let stopped = |thread: &Path| {
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    threads.map(|thread| thread.path()).all(|thread| stopped(&thread))
}
