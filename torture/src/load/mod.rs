//! What keeps file systems busy, and what it can swear to afterwards.
//!
//! Never knows: how points are made.

pub(crate) mod databases;
pub(crate) mod fio;
pub(crate) mod mariadb;
pub(crate) mod model;
pub(crate) mod postgres;
pub(crate) mod scratch;
pub(crate) mod shape;
pub(crate) mod stress;
pub(crate) mod tree;

use std::path::{Path, PathBuf};

use crate::fail::{Fail, Result};

/// Something at work. Ended, with all it started, when dropped.
pub(crate) trait Load {
    /// # Errors
    /// It ended by itself.
    fn check(&mut self) -> Result<()>;

    /// Ends it in order.
    ///
    /// # Errors
    /// It had failed, or does not end.
    fn stop(&mut self) -> Result<()>;
}

/// What a load knows of what a point must hold.
pub(crate) trait Witness {
    /// For the report.
    fn name(&self) -> &'static str;

    /// Looks at a point of a time, whose file systems are mounted. `false`: it knows nothing of that time.
    ///
    /// # Errors
    /// The point is not what it must be; or it cannot be looked at.
    fn judge(&mut self, at: i64, mounted: &Mounted) -> Result<bool>;
}

/// The file systems of a restored point, by the order of the world's.
pub(crate) struct Mounted {
    folders: Vec<PathBuf>,
    /// For what is needed for a moment.
    pub(crate) scratch: PathBuf,
    /// The restored scratch partition, if there is one.
    pub(crate) loose: Option<PathBuf>,
}

impl Mounted {
    pub(crate) fn new(folders: Vec<PathBuf>, scratch: PathBuf, loose: Option<PathBuf>) -> Mounted {
        Mounted { folders, scratch, loose }
    }

    /// Where one is mounted.
    ///
    /// # Errors
    /// There is none of that number.
    pub(crate) fn folder(&self, volume: usize) -> Result<&Path> {
        let folder = self.folders.get(volume).map(PathBuf::as_path);
        folder.ok_or_else(|| Fail::new(format!("there is no file system {volume}")))
    }
}
