//! Which file system is on a volume, by the signatures that each keeps at a fixed place.
//!
//! Never knows: partition tables, or what the file systems hold.

use crate::bytes::{be32, le16, le32, read_vec};
use crate::swap;
use crate::tree::{FileTree, TreeError};
use crate::{btrfs, ext4, ntfs, vfat, xfs};
use backstay_env::volume::Volume;
use std::sync::Arc;

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext2, ext3 or ext4, by its name.
    Ext(&'static str),
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// NTFS.
    Ntfs,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    ExFat,
    /// Swap space of Linux.
    Swap,
    /// Swap space that holds a hibernated system.
    Hibernated,
    /// A physical volume of LVM.
    Lvm,
    /// LUKS encryption.
    Luks,
    /// BitLocker encryption.
    BitLocker,
    /// A member of a Linux software RAID.
    Md,
    /// A member of a ZFS pool.
    Zfs,
    /// Signatures of more than one kind.
    Ambiguous,
    /// No signature that this reader knows.
    Unknown,
}

impl Kind {
    /// The name as `blkid` and administrators use it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext(name) => name,
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Ntfs => "ntfs",
            Kind::Vfat => "vfat",
            Kind::ExFat => "exfat",
            Kind::Swap => "swap",
            Kind::Hibernated => "hibernated swap",
            Kind::Lvm => "lvm",
            Kind::Luks => "luks",
            Kind::BitLocker => "bitlocker",
            Kind::Md => "md",
            Kind::Zfs => "zfs",
            Kind::Ambiguous => "ambiguous",
            Kind::Unknown => "unknown",
        }
    }
}

/// What is on a volume. [`Kind::Ambiguous`] when more than one kind has left its signature.
///
/// # Errors
/// [`TreeError::Io`].
pub fn detect(volume: &dyn Volume) -> Result<Kind, TreeError> {
    let found = signatures(volume)?;
    Ok(match found[..] {
        [] => Kind::Unknown,
        [kind] => kind,
        _ => Kind::Ambiguous,
    })
}

/// Opens the file system on a volume for reading its files.
///
/// # Errors
/// [`TreeError::Unsupported`] for what is no file system, or one of a kind that this reader does not know; else as
/// the file system's own reader.
pub fn open(volume: Arc<dyn Volume>) -> Result<Box<dyn FileTree>, TreeError> {
    let kind = detect(&*volume)?;
    open_as(kind, volume)
}

/// As [`open`], with what [`detect`] said of the volume.
///
/// # Errors
/// As [`open`].
pub fn open_as(kind: Kind, volume: Arc<dyn Volume>) -> Result<Box<dyn FileTree>, TreeError> {
    match kind {
        Kind::Ext(_) => ext4::open(volume),
        Kind::Xfs => Ok(Box::new(xfs::Xfs::open(volume)?)),
        Kind::Btrfs => Ok(Box::new(btrfs::Btrfs::open(volume)?)),
        Kind::Ntfs => ntfs::open(volume),
        Kind::Vfat => vfat::open(volume),
        Kind::Ambiguous => Err(TreeError::Unsupported(ambiguous(&signatures(&*volume)?))),
        Kind::Unknown => Err(TreeError::Unsupported("no file system was found".into())),
        kind => {
            let what = format!("there are no files to read in {}", kind.name());
            Err(TreeError::Unsupported(what))
        }
    }
}

/// Says of which kinds there are signatures.
pub(crate) fn ambiguous(kinds: &[Kind]) -> String {
    let names: Vec<_> = kinds.iter().map(|k| k.name()).collect();
    format!("it bears the signatures of {}", names.join(" and "))
}

/// Every kind whose signature is on the volume.
pub(crate) fn signatures(volume: &dyn Volume) -> Result<Vec<Kind>, TreeError> {
    let size = volume.size();
    let head = read_vec(volume, 0, size.min(68 * 1024) as usize)?;
    let mut found = Vec::new();
    let has = |at: usize, magic: &[u8]| head.get(at..at + magic.len()) == Some(magic);
    if let Some(kind) = head.get(1024..2048).and_then(ext4::kind) {
        found.push(Kind::Ext(kind));
    }
    let checks = [
        (has(0, b"XFSB"), Kind::Xfs),
        (has(0x1_0040, b"_BHRfS_M"), Kind::Btrfs),
        (has(3, b"NTFS    "), Kind::Ntfs),
        (is_fat(&head), Kind::Vfat),
        (has(3, b"EXFAT   "), Kind::ExFat),
        (has(0, b"LUKS\xBA\xBE"), Kind::Luks),
        (has(3, b"-FVE-FS-"), Kind::BitLocker),
        (is_lvm(&head), Kind::Lvm),
        (is_md(volume, &head)?, Kind::Md),
        (is_zfs(volume)?, Kind::Zfs),
    ];
    found.extend(checks.into_iter().filter(|c| c.0).map(|c| c.1));
    found.extend(swap::kind(&head));
    Ok(found)
}

fn is_fat(head: &[u8]) -> bool {
    let named = |at: usize| head.get(at..at + 3) == Some(b"FAT");
    let jump = matches!(head.first(), Some(0xEB | 0xE9));
    jump && le16(head, 510) == 0xAA55 && (named(0x36) || named(0x52))
}

/// The label is in one of the first four sectors.
fn is_lvm(head: &[u8]) -> bool {
    let label = |sector: usize| head.get(sector * 512..sector * 512 + 32);
    let is = |label: &[u8]| label.starts_with(b"LABELONE") && &label[24..] == b"LVM2 001";
    (0..4).filter_map(label).any(is)
}

/// The superblock is at the start, 4 KiB after it, or at one of two places near the end.
fn is_md(volume: &dyn Volume, head: &[u8]) -> Result<bool, TreeError> {
    const MAGIC: u32 = 0xA92B_4EFC;
    if le32(head, 0) == MAGIC || le32(head, 4096) == MAGIC {
        return Ok(true);
    }
    let size = volume.size();
    let near_end = [(size / 512).checked_sub(16).map(|s| (s & !7) * 512), (size & !0xFFFF).checked_sub(0x1_0000)];
    for at in near_end.into_iter().flatten().filter(|&at| at + 4 <= size) {
        let bytes = read_vec(volume, at, 4)?;
        if le32(&bytes, 0) == MAGIC || be32(&bytes, 0) == MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first label has a ring of uberblocks in its second half.
fn is_zfs(volume: &dyn Volume) -> Result<bool, TreeError> {
    const MAGIC: u32 = 0x00BA_B10C;
    const RING: u64 = 128 * 1024;
    if volume.size() < 2 * RING {
        return Ok(false);
    }
    let ring = read_vec(volume, RING, RING as usize)?;
    let is = |u: &[u8]| {
        let little = le32(u, 0) == MAGIC && le32(u, 4) == 0;
        little || be32(u, 4) == MAGIC && be32(u, 0) == 0
    };
    Ok(ring.chunks_exact(1024).any(is))
}
