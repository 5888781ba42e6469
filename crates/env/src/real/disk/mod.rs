//! Real disks: block devices and image files, behind one `open`.
//!
//! Never knows: what is on them, or why someone wants to know.

mod aligned;
mod buffers;
mod device;
mod file;
mod mounts;
mod stack;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use self::aligned::AlignedBuf;
pub use self::buffers::{Buffer, Buffers};
pub use self::device::BlockDevice;
pub use self::file::FileVolume;
pub use self::mounts::mounts;
pub use self::stack::holds_path;
use crate::volume::{Span, Volume, VolumeMut};

/// Why a path could not be opened as a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Nothing there.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// Something is there already; only [`FileVolume::create`] says so.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A folder, a pipe or something else.
    #[error("{} is {what}: name a block device or an image file", .path.display())]
    NotADisk {
        /// What was named.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A drive without a medium, or a loop device without a file.
    #[error("{} has no size: nothing is in it or behind it", .0.display())]
    Empty(PathBuf),
    /// Opened for writing while mounted, or part of something that is.
    #[error("{} is in use: it is mounted, or part of a volume group, an array or swap", .0.display())]
    InUse(PathBuf),
    /// Rights missing, or read-only.
    #[error("not permitted to access {}", .path.display())]
    Denied {
        /// What was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel does not tell here what lies on what: `/proc` or `/sys` is not mounted, as in a bare chroot.
    #[error("what lies on which disk cannot be told without {place}")]
    Blind {
        /// What is missing.
        place: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No space for a new file.
    #[error("no space left for {}", .0.display())]
    NoSpace(PathBuf),
    /// Anything else.
    #[error("{} could not be accessed", .path.display())]
    Io {
        /// What was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DiskError {
    fn of(path: &Path, error: Errno) -> DiskError {
        let path = path.to_path_buf();
        match error {
            Errno::NOENT | Errno::NXIO | Errno::NODEV => DiskError::Missing(path),
            Errno::NOTDIR => DiskError::Missing(path),
            Errno::EXIST => DiskError::Exists(path),
            Errno::ISDIR => DiskError::NotADisk { path, what: "a folder" },
            Errno::BUSY => DiskError::InUse(path),
            Errno::NOSPC | Errno::DQUOT => DiskError::NoSpace(path),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => DiskError::Denied { path, source: error.into() },
            _ => DiskError::Io { path, source: error.into() },
        }
    }
}

/// Which disk something is, and for a file in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An image file. Equal identities: the same file, and unchanged as far as its file system tells.
    File {
        /// The device number of its file system.
        device: u64,
        /// Its inode.
        inode: u64,
        /// Bytes.
        size: u64,
        /// When its bytes were last changed, in nanoseconds since 1970.
        modified: i128,
        /// When anything about it was last changed, in nanoseconds since 1970.
        changed: i128,
    },
    /// A block device. Equal identities: the same device; nothing is said of its content.
    Device {
        /// Its numbers.
        major: u32,
        /// Its numbers.
        minor: u32,
        /// Counts what was ever plugged in since the system started, so that numbers used again do not deceive.
        /// `None`: a kernel before 5.15.
        sequence: Option<u64>,
        /// Bytes.
        size: u64,
    },
}

impl Identity {
    /// The same file or device, changed or not.
    pub fn is_same(&self, other: &Identity) -> bool {
        match (self, other) {
            (Identity::File { device, inode, .. }, Identity::File { device: other_device, inode: other_inode, .. }) => {
                (device, inode) == (other_device, other_inode)
            }
            (
                Identity::Device { major, minor, sequence, .. },
                Identity::Device { major: other_major, minor: other_minor, sequence: other_sequence, .. },
            ) => (major, minor, sequence) == (other_major, other_minor, other_sequence),
            _ => false,
        }
    }
}

/// A block device or an image file.
#[derive(Debug)]
pub enum Disk {
    /// An image file.
    File(FileVolume),
    /// A block device.
    Device(BlockDevice),
}

/// Opens a disk for reading.
///
/// # Errors
/// [`DiskError`]: every case but `Exists`, `InUse` and `NoSpace`.
pub fn open(path: impl AsRef<Path>) -> Result<Disk, DiskError> {
    open_as(path.as_ref(), OFlags::RDONLY)
}

/// Opens a disk for reading and writing. A block device is then ours alone: the kernel refuses one that is mounted or
/// otherwise in use, and refuses others as long as it is open. A file keeps its size and content.
///
/// # Errors
/// [`DiskError`]: every case but `Exists` and `NoSpace`.
pub fn open_for_writing(path: impl AsRef<Path>) -> Result<Disk, DiskError> {
    open_as(path.as_ref(), OFlags::RDWR)
}

/// Whether two paths lead to one file or one device. One that is not there is the same as nothing.
///
/// # Errors
/// [`DiskError::Denied`], [`DiskError::Io`].
pub fn is_same(one: impl AsRef<Path>, other: impl AsRef<Path>) -> Result<bool, DiskError> {
    let numbers = |path: &Path| match rustix::fs::stat(path) {
        Ok(about) if is_block(about.st_mode) => Ok(Some((true, about.st_rdev, 0))),
        Ok(about) => Ok(Some((false, about.st_dev, about.st_ino))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(DiskError::of(path, e)),
    };
    let one = numbers(one.as_ref())?;
    Ok(one.is_some() && one == numbers(other.as_ref())?)
}

/// Whether a file system on the disk, on one of its partitions, or on anything built from them, is mounted here.
/// Swap counts too.
///
/// # Errors
/// [`DiskError::Missing`], [`DiskError::Denied`], [`DiskError::Blind`], [`DiskError::Io`].
pub fn is_mounted(path: impl AsRef<Path>) -> Result<bool, DiskError> {
    mounts(path).map(|mounts| !mounts.is_empty())
}

fn is_block(mode: u32) -> bool {
    rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::BlockDevice
}

fn open_as(path: &Path, access: OFlags) -> Result<Disk, DiskError> {
    let about = std::fs::metadata(path).map_err(|e| DiskError::of(path, errno(&e)))?;
    let kind = about.file_type();
    let not_a_disk = |what| Err(DiskError::NotADisk { path: path.to_path_buf(), what });
    let disk = match () {
        () if kind.is_file() => FileVolume::open_as(path, access).map(Disk::File)?,
        () if kind.is_block_device() => BlockDevice::open_as(path, access).map(Disk::Device)?,
        () if kind.is_dir() => return not_a_disk("a folder"),
        () if kind.is_char_device() => return not_a_disk("a character device"),
        () if kind.is_fifo() => return not_a_disk("a pipe"),
        () => return not_a_disk("neither file nor disk"),
    };
    Ok(disk)
}

/// Opens a path and checks that it is still the kind of thing it was looked up as.
fn open_fd(path: &Path, flags: OFlags, block: bool) -> Result<(OwnedFd, std::fs::Metadata), DiskError> {
    // NONBLOCK: a pipe that took the name must not hold us up. It changes nothing for files and disks.
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| DiskError::of(path, e))?;
    let file = std::fs::File::from(fd);
    let about = file.metadata().map_err(|e| DiskError::of(path, errno(&e)))?;
    let kind = about.file_type();
    match kind.is_block_device() == block && (block || kind.is_file()) {
        true => Ok((file.into(), about)),
        false => Err(DiskError::NotADisk { path: path.to_path_buf(), what: "not what it was a moment ago" }),
    }
}

fn file_identity(about: &std::fs::Metadata) -> Identity {
    const BILLION: i128 = 1_000_000_000;
    Identity::File {
        device: about.dev(),
        inode: about.ino(),
        size: about.len(),
        modified: i128::from(about.mtime()) * BILLION + i128::from(about.mtime_nsec()),
        changed: i128::from(about.ctime()) * BILLION + i128::from(about.ctime_nsec()),
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Reads until `buf` is full; `UnexpectedEof` when the disk ends before.
fn read_full(fd: impl AsFd, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match rustix::io::pread(&fd, &mut buf[done..], offset + done as u64) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Writes all of `buf`.
fn write_full(fd: impl AsFd, offset: u64, buf: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match rustix::io::pwrite(&fd, &buf[done..], offset + done as u64) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

impl Disk {
    /// Which disk this is, and in which state, now.
    ///
    /// # Errors
    /// What the system says.
    pub fn identity(&self) -> io::Result<Identity> {
        match self {
            Disk::File(file) => file.identity(),
            Disk::Device(device) => device.identity(),
        }
    }

    fn volume(&self) -> &dyn VolumeMut {
        match self {
            Disk::File(file) => file,
            Disk::Device(device) => device,
        }
    }
}

impl Volume for Disk {
    fn size(&self) -> u64 {
        self.volume().size()
    }

    fn sector_size(&self) -> u32 {
        self.volume().sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.volume().read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        self.volume().spans(offset, len)
    }
}

impl VolumeMut for Disk {
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.volume().write_at(offset, buf)
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.volume().zero(offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.volume().flush()
    }
}
