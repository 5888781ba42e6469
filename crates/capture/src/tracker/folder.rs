//! The folder in which the kernel keeps what must outlive this process, and who has it.
//!
//! Never knows: what the pins are of.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open, statfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{TrackError, failed};

/// The file system that holds pins.
const BPF_FS: i64 = 0xcafe_4a11;
/// Where systems have it.
const USUAL: &str = "/sys/fs/bpf";

/// A folder of pins that only root can enter, locked for one process at a time.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: OwnedFd,
}

impl Folder {
    /// Opens the folder, made and mounted where that is needed.
    ///
    /// # Errors
    /// [`TrackError::InUse`]; what the system says.
    pub(crate) fn open(path: &Path) -> Result<Folder, TrackError> {
        let during = || failed(format!("opening {}", path.display()));
        make(path).map_err(during())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = open(path, flags, Mode::empty()).map_err(io::Error::from).map_err(during())?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(TrackError::InUse(path.to_path_buf())),
            locked => locked.map_err(io::Error::from).map_err(during())?,
        }
        Ok(Folder { path: path.to_path_buf(), _lock: lock })
    }

    /// The path of a pin.
    pub(crate) fn pin(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Names of all pins that begin so, without that beginning.
    pub(crate) fn names(&self, beginning: &str) -> io::Result<Vec<String>> {
        Ok(pins(&self.path)?.iter().filter_map(|name| name.strip_prefix(beginning)).map(str::to_owned).collect())
    }

    /// Removes a pin, if it is there.
    pub(crate) fn unpin(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.pin(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes the folder if nothing is in it, and the mount if it was one of its own.
    pub(crate) fn remove(self) -> io::Result<()> {
        let Folder { path, _lock } = self;
        drop(_lock);
        if !pins(&path)?.is_empty() || path == Path::new(USUAL) {
            return Ok(());
        }
        if is_own_mount(&path) {
            // Nothing is in it; someone may have it open all the same.
            unmount(&path, UnmountFlags::DETACH)?;
        }
        fs::remove_dir(&path)
    }
}

/// What people pinned. Names with a dot are the kernel's own.
fn pins(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<io::Result<_>>()?;
    Ok(names.into_iter().filter(|name| !name.contains('.')).collect())
}

fn make(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    if !holds_pins(there)? {
        if path.starts_with(USUAL) && Path::new(USUAL).exists() {
            mount_at(Path::new(USUAL))?;
        } else {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            mount_at(path)?;
        }
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn mount_at(path: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("bpf", path, "bpf", flags, c"mode=0700")?)
}

fn holds_pins(path: &Path) -> io::Result<bool> {
    #[allow(clippy::unnecessary_cast)] // the type differs between machines
    Ok(statfs(path)?.f_type as i64 == BPF_FS)
}

/// Whether the folder is where a file system of pins is mounted: `make` did that.
fn is_own_mount(path: &Path) -> bool {
    path.parent().is_some_and(|parent| !holds_pins(parent).unwrap_or(true))
}
