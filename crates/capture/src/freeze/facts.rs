//! Gathering [`Facts`] from `/proc` and `/sys`. What vanishes while it is looked at is left out: it is not mounted any
//! more. What comes meanwhile is found by gathering again, see [`Plan::covers`](super::mounts::Plan::covers).
//!
//! Never knows: which disks are asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::ioctl;
use super::mountinfo::{Malformed, Mount, parse};
use super::mounts::{Alive, Backing, Block, Facts, Place, View};
use crate::number::DeviceNumber;

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// A file that must be there could not be read.
    #[error("{} could not be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel's list of mounts is not as documented.
    #[error("the mounts of {} are not as expected", path.display())]
    Malformed {
        /// The list.
        path: PathBuf,
        /// Where in it.
        source: Malformed,
    },
}

/// Gathers what all processes see and all block devices. Needs root to see other processes' mounts.
///
/// # Errors
/// [`FactsError`] if anything but another process, or a device that is going away, cannot be looked at.
pub fn gather() -> Result<Facts, FactsError> {
    let mut facts = Facts { views: views()?, blocks: blocks()?, ..Facts::default() };
    facts.pools = pools(&facts);
    let files = loop_files()?;
    for (device, file) in files {
        let backing = backing(&facts, device, &file);
        if let Some(block) = facts.blocks.get_mut(&device) {
            block.backing = backing;
        }
    }
    facts.alive = alive();
    Ok(facts)
}

/// The superblock that a path lies on, by the mounts of these facts.
///
/// # Errors
/// What the kernel says of the path; `NotFound` if its mount is not among the facts.
pub fn superblock_of(facts: &Facts, path: &Path) -> io::Result<DeviceNumber> {
    let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let id = mount_of(&file)?;
    let mounts = facts.views.iter().flat_map(|view| &view.mounts);
    let found = mounts.into_iter().find(|mount| mount.id == id).map(|mount| mount.device);
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Opens a way to a file system, and makes sure that it leads there: the path may be hidden by another mount, or
/// changed by now. Never opens a device or a pipe.
///
/// # Errors
/// What the kernel says; `NotFound` if the path leads elsewhere.
pub(super) fn open(place: &Place) -> io::Result<OwnedFd> {
    let path = match place.process {
        None => place.path.clone(),
        Some(id) => Path::new(&format!("/proc/{id}/root")).join(place.path.strip_prefix("/").unwrap_or(&place.path)),
    };
    let there = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let plain = matches!(
        FileType::from_raw_mode(rustix::fs::fstat(&there)?.st_mode),
        FileType::Directory | FileType::RegularFile
    );
    if !plain || mount_of(&there)? != place.mount {
        return Err(io::ErrorKind::NotFound.into());
    }
    let again = format!("/proc/self/fd/{}", there.as_raw_fd());
    Ok(rustix::fs::open(again, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?)
}

fn mount_of(file: &OwnedFd) -> io::Result<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Own mounts, then one view for each other pair of mount namespace and root folder.
fn views() -> Result<Vec<View>, FactsError> {
    let own = Path::new("/proc/self/mountinfo");
    let bytes = fs::read(own).map_err(|source| FactsError::Io { path: own.into(), source })?;
    let mut views = vec![View { process: None, mounts: mounts(own, &bytes)? }];
    let mut seen = Vec::from_iter(standpoint(Path::new("/proc/self")));
    for (id, folder) in processes()? {
        let Some(standpoint) = standpoint(&folder).filter(|standpoint| !seen.contains(standpoint)) else { continue };
        let list = folder.join("mountinfo");
        // A process that ends now says nothing, and another may be standing where it stood.
        let Ok(bytes) = fs::read(&list) else { continue };
        views.push(View { process: Some(id), mounts: mounts(&list, &bytes)? });
        seen.push(standpoint);
    }
    Ok(views)
}

fn mounts(path: &Path, bytes: &[u8]) -> Result<Vec<Mount>, FactsError> {
    parse(bytes).map_err(|source| FactsError::Malformed { path: path.into(), source })
}

/// Where a process looks from. Kernel threads and processes that are gone look from nowhere.
fn standpoint(process: &Path) -> Option<(PathBuf, PathBuf)> {
    Some((fs::read_link(process.join("ns/mnt")).ok()?, fs::read_link(process.join("root")).ok()?))
}

fn processes() -> Result<Vec<(u32, PathBuf)>, FactsError> {
    let all = entries(Path::new("/proc"))?;
    Ok(all.into_iter().filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path))).collect())
}

const BLOCKS: &str = "/sys/class/block";

fn blocks() -> Result<BTreeMap<DeviceNumber, Block>, FactsError> {
    let mut blocks = BTreeMap::new();
    for path in entries(Path::new(BLOCKS))? {
        let Some(device) = number(&path) else { continue };
        let slaves = entries(&path.join("slaves")).unwrap_or_default();
        let slaves = slaves.iter().filter_map(|slave| number(slave)).collect();
        blocks.insert(device, Block { disk: disk(&path).unwrap_or(device), slaves, backing: Backing::None });
    }
    Ok(blocks)
}

fn number(block: &Path) -> Option<DeviceNumber> {
    DeviceNumber::parse(&fs::read_to_string(block.join("dev")).ok()?)
}

/// The disk of a partition: its folder lies in that of the disk.
fn disk(block: &Path) -> Option<DeviceNumber> {
    block.join("partition").exists().then(|| number(fs::canonicalize(block).ok()?.parent()?))?
}

/// Loop devices that have a file, and its name as the kernel knows it.
fn loop_files() -> Result<Vec<(DeviceNumber, PathBuf)>, FactsError> {
    let all = entries(Path::new(BLOCKS))?;
    let file = |block: &PathBuf| {
        let name = fs::read(block.join("loop/backing_file")).ok()?;
        let name = name.strip_suffix(b"\n").unwrap_or(&name).to_vec();
        Some((number(block)?, PathBuf::from(OsString::from_vec(name))))
    };
    Ok(all.iter().filter_map(file).collect())
}

fn backing(facts: &Facts, device: DeviceNumber, file: &Path) -> Backing {
    let Ok((number, inode)) = loop_status(device) else { return Backing::Unknown };
    let mounted = |wanted| facts.views.iter().flat_map(|view| &view.mounts).any(|mount| mount.device == wanted);
    if mounted(number) {
        return Backing::FileOn(number);
    }
    // btrfs gives every subvolume a number of its own: there only the path leads to the superblock.
    let same = fs::metadata(file).is_ok_and(|found| DeviceNumber::of(found.dev()) == number && found.ino() == inode);
    match superblock_of(facts, file) {
        Ok(host) if same => Backing::FileOn(host),
        _ => Backing::Unknown,
    }
}

fn loop_status(device: DeviceNumber) -> io::Result<(DeviceNumber, u64)> {
    let name = fs::read_link(format!("/sys/dev/block/{device}"))?;
    let name = name.file_name().ok_or(io::ErrorKind::NotFound)?;
    let node = Path::new("/dev").join(name);
    let file = rustix::fs::open(node, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    if DeviceNumber::of(rustix::fs::fstat(&file)?.st_rdev) != device {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(ioctl::loop_backing(file)?)
}

/// The members of each btrfs.
fn pools(facts: &Facts) -> BTreeMap<DeviceNumber, Vec<DeviceNumber>> {
    let mut pools = BTreeMap::new();
    for view in &facts.views {
        for mount in view.mounts.iter().filter(|mount| mount.kind == "btrfs") {
            if !pools.contains_key(&mount.device)
                && let Some(members) = btrfs_members(view.process, mount)
            {
                pools.insert(mount.device, members);
            }
        }
    }
    pools
}

fn btrfs_members(process: Option<u32>, mount: &Mount) -> Option<Vec<DeviceNumber>> {
    let place = Place { process, mount: mount.id, path: mount.point.clone() };
    let id = ioctl::btrfs_id(open(&place).ok()?).ok()?;
    Some(btrfs_devices(&Path::new("/sys/fs/btrfs").join(uuid(id))))
}

fn btrfs_devices(folder: &Path) -> Vec<DeviceNumber> {
    entries(&folder.join("devices")).unwrap_or_default().iter().filter_map(|member| number(member)).collect()
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Kinds that list their living superblocks, by the name of the block device.
const LISTED: &[&str] = &["ext4", "xfs", "f2fs"];

fn alive() -> Vec<Alive> {
    let mut alive = Vec::new();
    for kind in LISTED {
        for entry in entries(&Path::new("/sys/fs").join(kind)).unwrap_or_default() {
            let block = entry.file_name().map(|name| Path::new(BLOCKS).join(name));
            if let Some(device) = block.as_deref().and_then(number) {
                alive.push(Alive { kind: (*kind).into(), device });
            }
        }
    }
    for pool in entries(Path::new("/sys/fs/btrfs")).unwrap_or_default() {
        // A pool that is known but not mounted has no folder here.
        alive.extend(btrfs_devices(&pool).first().map(|device| Alive { kind: "btrfs".into(), device: *device }));
    }
    alive
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FactsError> {
    let failed = |source| FactsError::Io { path: folder.into(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}
