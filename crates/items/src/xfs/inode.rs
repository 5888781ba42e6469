//! Inodes: what is known of a file, and where its extents or small contents begin.
//!
//! Never knows: names, or the bytes of files.

use super::bytes::{Bytes, checksum_fits, damaged};
use super::disk::Disk;
use super::superblock::Geometry;
use crate::tree::{FileTime, Metadata, NodeKind, TreeError};

pub(super) const MAGIC: u16 = 0x494e;
/// Where a version 3 inode keeps its checksum.
pub(super) const CRC_FIELD: usize = 100;

const FLAG_REALTIME: u16 = 0x0001;
const FLAG2_REFLINK: u64 = 0x02;
const FLAG2_BIGTIME: u64 = 0x08;
const FLAG2_NREXT64: u64 = 0x10;
const BIGTIME_EPOCH: i64 = -(1 << 31);

/// How the content of a fork is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Device,
    Local,
    Extents,
    Btree,
}

/// One inode, checked.
pub(super) struct Inode {
    pub(super) number: u64,
    pub(super) format: Format,
    pub(super) size: u64,
    /// Extents of the data fork.
    pub(super) extents: u64,
    pub(super) realtime: bool,
    /// Some of its blocks may be another file's, too.
    pub(super) may_share: bool,
    pub(super) metadata: Metadata,
    raw: Vec<u8>,
    fork: std::ops::Range<usize>,
}

impl Inode {
    /// Reads and checks inode `number`.
    ///
    /// # Errors
    /// `NotFound` for a number outside the file system or of a free inode; `Damaged`, `Io`.
    pub(super) fn read(disk: &Disk<'_>, geometry: &Geometry, number: u64) -> Result<Inode, TreeError> {
        let offset = geometry.inode_offset(number).ok_or(TreeError::NotFound)?;
        let raw = disk.read_vec(offset, usize::from(geometry.inode_size))?;
        Inode::parse(geometry, number, raw).map_err(|error| match error {
            TreeError::Damaged(what) => damaged(format!("inode {number}: {what}")),
            other => other,
        })
    }

    fn parse(geometry: &Geometry, number: u64, raw: Vec<u8>) -> Result<Inode, TreeError> {
        let b = Bytes::new(&raw, "inode");
        if b.be16(0)? != MAGIC {
            return Err(damaged("no inode there"));
        }
        let version = b.u8(4)?;
        match (geometry.v5, version) {
            (true, 3) => check_identity(geometry, number, b)?,
            (false, 1 | 2) => {}
            _ => return Err(damaged(format!("version {version}"))),
        }
        let mode = b.be16(2)?;
        if mode == 0 {
            return Err(TreeError::NotFound);
        }
        let kind = kind_of(mode).ok_or_else(|| damaged(format!("mode {mode:o}")))?;
        let format = format_of(b.u8(5)?)?;
        let fork = data_fork(b, version)?;
        let flags2 = if version == 3 { b.be64(120)? } else { 0 };
        let extents = match flags2 & FLAG2_NREXT64 {
            0 => u64::from(b.be32(76)?),
            _ => b.be64(24)?,
        };
        let size = b.be64(56)?;
        if i64::try_from(size).is_err() {
            return Err(damaged("impossible size"));
        }
        let metadata = metadata(b, kind, format, fork.start, flags2)?;
        let realtime = b.be16(90)? & FLAG_REALTIME != 0;
        let may_share = flags2 & FLAG2_REFLINK != 0;
        Ok(Inode { number, format, size, extents, realtime, may_share, metadata, fork, raw })
    }

    /// The data fork as it lies in the inode: content, extents, or the root of the extent tree.
    pub(super) fn fork(&self) -> &[u8] {
        self.raw.get(self.fork.clone()).unwrap_or_default()
    }

    pub(super) fn kind(&self) -> NodeKind {
        self.metadata.kind
    }
}

fn check_identity(geometry: &Geometry, number: u64, b: Bytes<'_>) -> Result<(), TreeError> {
    if !checksum_fits(b.data, CRC_FIELD) {
        return Err(damaged("wrong checksum"));
    }
    if b.be64(152)? != number || b.uuid(160)? != geometry.meta_uuid {
        return Err(damaged("it belongs elsewhere"));
    }
    Ok(())
}

/// The part of an inode that the data fork may fill.
///
/// # Errors
/// `Damaged` when the attributes begin where nothing can.
pub(super) fn data_fork(b: Bytes<'_>, version: u8) -> Result<std::ops::Range<usize>, TreeError> {
    let start = if version == 3 { 176 } else { 100 };
    let end = match usize::from(b.u8(82)?) {
        0 => b.len(),
        offset => start + offset * 8,
    };
    if start > b.len() || end > b.len() {
        return Err(damaged("its attributes begin past its end"));
    }
    Ok(start..end)
}

fn format_of(format: u8) -> Result<Format, TreeError> {
    match format {
        0 => Ok(Format::Device),
        1 => Ok(Format::Local),
        2 => Ok(Format::Extents),
        3 => Ok(Format::Btree),
        other => Err(damaged(format!("format {other}"))),
    }
}

/// What a mode says a node is.
pub(super) fn kind_of(mode: u16) -> Option<NodeKind> {
    match mode >> 12 {
        0o01 => Some(NodeKind::Fifo),
        0o02 => Some(NodeKind::CharDevice),
        0o04 => Some(NodeKind::Directory),
        0o06 => Some(NodeKind::BlockDevice),
        0o10 => Some(NodeKind::File),
        0o12 => Some(NodeKind::Symlink),
        0o14 => Some(NodeKind::Socket),
        _ => None,
    }
}

fn metadata(b: Bytes<'_>, kind: NodeKind, format: Format, fork: usize, flags2: u64) -> Result<Metadata, TreeError> {
    let time = |at| file_time(b, at, flags2 & FLAG2_BIGTIME != 0);
    let device = match kind {
        NodeKind::CharDevice | NodeKind::BlockDevice if format == Format::Device => {
            let number = b.be32(fork)?;
            (number >> 18, number & 0x3_ffff)
        }
        _ => (0, 0),
    };
    let links = if b.u8(4)? == 1 { u32::from(b.be16(6)?) } else { b.be32(16)? };
    Ok(Metadata {
        kind,
        size: b.be64(56)?,
        permissions: b.be16(2)? & 0o7777,
        uid: b.be32(8)?,
        gid: b.be32(12)?,
        links,
        device,
        modified: time(40)?,
        changed: time(48)?,
        accessed: time(32)?,
    })
}

fn file_time(b: Bytes<'_>, at: usize, big: bool) -> Result<FileTime, TreeError> {
    const NANOS: u64 = 1_000_000_000;
    if big {
        let stamp = b.be64(at)?;
        return Ok(FileTime { seconds: (stamp / NANOS) as i64 + BIGTIME_EPOCH, nanos: (stamp % NANOS) as u32 });
    }
    let nanos = b.be32(at + 4)?.min(NANOS as u32 - 1);
    Ok(FileTime { seconds: i64::from(b.be32(at)?.cast_signed()), nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_kinds() {
        let check = |bytes: [u8; 8], big, seconds, nanos| {
            let found = file_time(Bytes::new(&bytes, "time"), 0, big).unwrap();
            assert_eq!(found, FileTime { seconds, nanos });
        };
        check([0, 0, 0, 1, 0, 0, 0, 9], false, 1, 9);
        check([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], false, -1, 0);
        check([0; 8], true, -(1 << 31), 0);
        let epoch = (1u64 << 31) * 1_000_000_000 + 5;
        check(epoch.to_be_bytes(), true, 0, 5);
    }
}
