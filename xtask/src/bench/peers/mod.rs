//! Who is measured: ourselves, the peers and the yardsticks, all behind one trait.
//!
//! Never knows: how figures are taken or judged.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fail::Result;

mod borg;
mod casync;
mod ours;
mod restic;
mod rustic;
mod yardsticks;

pub(super) use borg::Borg;
pub(super) use casync::Casync;
pub(super) use ours::Ours;
pub(super) use restic::Restic;
pub(super) use rustic::Rustic;
pub(super) use yardsticks::{QemuImg, Zstd};

/// The folders of one contender in one round; empty at its start.
pub(super) struct Place {
    /// Everything of this contender.
    pub(super) dir: PathBuf,
    /// The disk image to protect: the state before the change first, then the one after it, under the same name.
    pub(super) image: PathBuf,
    /// Where it stores. Not there at first.
    pub(super) store: PathBuf,
    /// For caches and settings; not counted as stored.
    pub(super) home: PathBuf,
    /// Where restores go. Not there at first.
    pub(super) out: PathBuf,
}

impl Place {
    /// The folders below `dir`; makes none.
    pub(super) fn below(dir: &Path) -> Place {
        Place {
            dir: dir.to_path_buf(),
            image: dir.join("disk.img"),
            store: dir.join("store"),
            home: dir.join("home"),
            out: dir.join("out"),
        }
    }

    /// A command that looks for its settings in our folder and nowhere else.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("HOME", &self.home).env("XDG_CACHE_HOME", self.home.join("cache"));
        command
    }
}

/// A program that stores disk images and gives them back. Every method only builds commands.
pub(super) trait Contender {
    /// As in the tables.
    fn name(&self) -> &'static str;
    /// Answers the program's version in one line.
    fn version(&self) -> Command;
    /// Whether it only shows what compression costs, and stores no second state.
    fn is_yardstick(&self) -> bool {
        false
    }
    /// Makes the store; not measured.
    fn init(&self, place: &Place) -> Option<Command>;
    /// Stores the image as it is now.
    fn protect(&self, place: &Place) -> Command;
    /// Restores the newest state.
    fn restore(&self, place: &Place) -> Command;
    /// Where the image lies after [`Contender::restore`].
    fn restored(&self, place: &Place) -> PathBuf;
    /// Ours alone: brings the file at `place.out` from the newest state back to the first one, in place.
    fn delta(&self, _place: &Place) -> Result<Option<Command>> {
        Ok(None)
    }
}
