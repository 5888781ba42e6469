//! What the kernel says of a disk, and whether its changes can be followed.
//!
//! Never knows: marks, programs.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::refusal::Refusal;
use super::{TrackError, failed};
use crate::number::DeviceNumber;

/// Units of sizes and places in /sys, whatever the disk's sectors are.
const SYS_SECTOR: u64 = 512;

/// As the kernel keeps it.
pub(crate) fn packed(number: DeviceNumber) -> u32 {
    number.major << 20 | number.minor
}

fn folder_of(number: DeviceNumber) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{number}"))
}

/// What a disk is just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: u64,
    /// Counts what was plugged in. `None`: the kernel does not say (before 5.15).
    pub(crate) sequence: Option<u64>,
    /// Stands for where its partitions begin and end.
    pub(crate) partitions: u64,
}

/// The whole disk at `path`.
///
/// # Errors
/// [`Refusal::NotADisk`], [`Refusal::Partition`], or what the system says.
pub(crate) fn number(path: &Path) -> Result<DeviceNumber, TrackError> {
    let about = std::fs::metadata(path).map_err(failed(format!("looking at {}", path.display())))?;
    if !about.file_type().is_block_device() {
        return Err(Refusal::NotADisk(path.to_path_buf()).into());
    }
    let number = DeviceNumber::of(about.rdev());
    let folder = real_folder(number)?;
    if folder.join("partition").exists() {
        let disk = folder.parent().map(name_of).unwrap_or_default();
        return Err(Refusal::Partition { name: name_of(&folder), disk }.into());
    }
    Ok(number)
}

/// What the disk is now, if its changes can be followed.
///
/// # Errors
/// The [`Refusal`]s that are about a disk.
pub(crate) fn vouch(number: DeviceNumber) -> Result<Facts, TrackError> {
    let facts = facts(number).map_err(failed(format!("looking at disk {number}")))?;
    let name = || facts.name.clone();
    let folder = real_folder(number)?;
    let said = |file: &str| std::fs::read_to_string(folder.join(file)).map(|text| text.trim().to_owned());
    if !folder.join("mq").is_dir() {
        return Err(Refusal::WithoutRequests { name: name() }.into());
    }
    if said("queue/dax").is_ok_and(|dax| dax != "0") {
        return Err(Refusal::Dax { name: name() }.into());
    }
    if said("queue/zoned").is_ok_and(|zoned| zoned != "none") {
        return Err(Refusal::Zoned { name: name() }.into());
    }
    if facts.size == 0 {
        return Err(Refusal::NotADisk(PathBuf::from("/dev").join(name())).into());
    }
    Ok(facts)
}

/// What the disk is now.
///
/// # Errors
/// `NotFound` when there is none by that number.
pub(crate) fn facts(number: DeviceNumber) -> io::Result<Facts> {
    let folder = std::fs::canonicalize(folder_of(number))?;
    Ok(Facts {
        name: name_of(&folder),
        size: number_in(&folder.join("size"))?.saturating_mul(SYS_SECTOR),
        sequence: number_in(&folder.join("diskseq")).ok(),
        partitions: partitions(&folder)?,
    })
}

/// Whether a write is under way in the disk.
pub(crate) fn is_writing(number: DeviceNumber) -> io::Result<bool> {
    let text = std::fs::read_to_string(folder_of(number).join("inflight"))?;
    Ok(text.split_whitespace().nth(1) != Some("0"))
}

/// How many sectors the disk has written and discarded since it came; those under way are not counted yet. `None`: it does not count.
/// Not how many writes: to older kernels a flush is one, and mounting to read flushes.
pub(crate) fn written(number: DeviceNumber) -> io::Result<Option<u64>> {
    let folder = folder_of(number);
    if number_in(&folder.join("queue/iostats"))? == 0 {
        return Ok(None);
    }
    let text = std::fs::read_to_string(folder.join("stat"))?;
    let counts: Vec<u64> = text.split_whitespace().map_while(|count| count.parse().ok()).collect();
    // From 0: field 6 is sectors written, 13 those discarded (since 4.18).
    let fields = [6, 13].map(|at| counts.get(at).copied());
    Ok(fields.into_iter().sum())
}

/// The serial number that the drive gives itself, or the name that stands for it; empty if there is none.
pub(crate) fn serial(number: DeviceNumber) -> String {
    let folder = folder_of(number);
    let said = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let places = ["serial", "device/serial", "wwid", "device/wwid"];
    places
        .into_iter()
        .filter_map(said)
        .map(|text| text.trim().to_owned())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// Numbers of all partitions with where they begin and end, hashed.
fn partitions(folder: &Path) -> io::Result<u64> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let part = entry?.path();
        if let Ok(index) = number_in(&part.join("partition")) {
            found.push([index, number_in(&part.join("start"))?, number_in(&part.join("size"))?]);
        }
    }
    found.sort_unstable();
    let bytes: Vec<u8> = found.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    Ok(short_hash(&bytes))
}

/// Eight bytes that stand for others.
pub(crate) fn short_hash(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    hash.as_bytes()[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn number_in(file: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    text.trim().parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

fn real_folder(number: DeviceNumber) -> Result<PathBuf, TrackError> {
    let folder = folder_of(number);
    std::fs::canonicalize(&folder).map_err(failed(format!("looking at {}", folder.display())))
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
