//! Mounting and unmounting.
//!
//! Never knows: what is shown.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::mount::UnmountFlags;

use super::adapter::Adapter;
use super::parts::Disk;
use super::view::{Owner, View};
use crate::Log;

/// How to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// What `mount` and `df` show as the source, such as a machine and a moment.
    pub source: String,
    /// The times of the folders and files that are ours, such as the point's.
    pub time: SystemTime,
    /// Lets other users in, as far as the files' own permissions do.
    pub allow_other: bool,
    /// Threads that answer; at least 1.
    pub threads: usize,
    /// What could not be read.
    pub log: Log,
}

impl Default for Options {
    fn default() -> Self {
        let (source, time) = ("backstay".into(), SystemTime::now());
        Options { source, time, allow_other: false, threads: 8, log: Log::stderr() }
    }
}

/// Why nothing was mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There would be something hidden beneath.
    #[error("{0} is not an empty directory: mounting needs one")]
    NotEmpty(PathBuf),
    /// It is not there.
    #[error("there is no directory {0}: make it first")]
    Missing(PathBuf),
    /// The directory cannot be looked at.
    #[error("cannot look into {path}")]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system says; `NotConnected` for a mount whose process died.
        source: io::Error,
    },
    /// Not a file's name, or twice the same.
    #[error("cannot show a disk under the name {0:?}")]
    Name(String),
    /// FUSE is missing, or not permitted.
    #[error("cannot mount on {path}")]
    Fuse {
        /// The directory.
        path: PathBuf,
        /// What FUSE or the system says.
        source: io::Error,
    },
}

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is left of it.
    Gone,
    /// It is gone from the folder, but programs still use files in it; they are served until they let go, or until
    /// this process ends.
    StillUsed,
}

/// Raised once.
#[derive(Default)]
pub(super) struct Flag(Mutex<bool>, Condvar);

impl Flag {
    pub(super) fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn wait_for(&self, time: Duration) -> bool {
        let raised = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.1.wait_timeout_while(raised, time, |raised| !*raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A mounted folder, served by threads of its own. Dropping it unmounts.
pub struct Mount {
    path: PathBuf,
    session: Option<BackgroundSession>,
    ended: Arc<Flag>,
    log: Log,
}

impl Mount {
    /// Shows the disks in an empty directory. Does not look into them yet.
    ///
    /// # Errors
    /// [`MountError`]; then nothing is mounted.
    pub fn start(directory: &Path, disks: Vec<Disk>, options: Options) -> Result<Mount, MountError> {
        check_empty(directory)?;
        let in_fuse = |source| MountError::Fuse { path: directory.to_owned(), source };
        let path = directory.canonicalize().map_err(in_fuse)?;
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let owner = Owner { uid, gid, time: options.time };
        let view = View::new(disks, owner, options.log.clone()).map_err(MountError::Name)?;
        let ended = Arc::new(Flag::default());
        let session = Session::new(Adapter::new(view, ended.clone()), &path, &config(&options)).map_err(in_fuse)?;
        let session = session.spawn().map_err(in_fuse)?;
        Ok(Mount { path, session: Some(session), ended, log: options.log })
    }

    /// Waits until somebody else has unmounted it, but no longer than `time`; `true` if that happened.
    pub fn wait_for(&self, time: Duration) -> bool {
        self.ended.wait_for(time)
    }

    /// Unmounts, also while files are in use. Fine when somebody else already did.
    ///
    /// # Errors
    /// What the system says; it may still be mounted.
    pub fn unmount(mut self) -> io::Result<Ended> {
        self.end()
    }

    fn end(&mut self) -> io::Result<Ended> {
        let Some(session) = self.session.take() else {
            return Ok(Ended::Gone);
        };
        if self.ended.wait_for(Duration::ZERO) {
            // Somebody else unmounted it. The session would do so once more when dropped, and could hit a newer mount
            // on the same directory.
            std::mem::forget(session);
            return Ok(Ended::Gone);
        }
        match session.umount_and_join() {
            Ok(()) => Ok(Ended::Gone),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(Ended::Gone), // not mounted: just unmounted by others
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
                rustix::mount::unmount(&self.path, UnmountFlags::DETACH)?;
                Ok(Ended::StillUsed)
            }
            Err(e) => Err(e),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            self.log.line(&format!("mount: cannot unmount {}: {e}", self.path.display()));
        }
    }
}

fn check_empty(directory: &Path) -> Result<(), MountError> {
    let not_empty = || MountError::NotEmpty(directory.to_owned());
    match fs::read_dir(directory) {
        Ok(mut names) => {
            if names.next().is_none() {
                Ok(())
            } else {
                Err(not_empty())
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(MountError::Missing(directory.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(not_empty()),
        Err(source) => Err(MountError::Unreadable { path: directory.to_owned(), source }),
    }
}

fn config(options: &Options) -> Config {
    let mut config = Config::default();
    let name = options.source.replace(',', " "); // a comma would begin another option
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::FSName(name),
        MountOption::Subtype("backstay".into()),
    ];
    if options.allow_other {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.n_threads = Some(options.threads.max(1));
    config.clone_fd = true;
    config
}
