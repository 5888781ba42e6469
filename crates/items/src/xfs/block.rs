//! What every version 5 metadata block says of itself: whose it is, where it belongs, and its checksum.
//!
//! Never knows: what follows the header.

use super::bytes::{Bytes, checksum_fits, damaged};
use super::disk::BASIC_BLOCK;
use super::superblock::Geometry;
use crate::tree::TreeError;

/// Where a kind of block keeps the fields that identify it (v5).
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) crc: usize,
    pub(super) lsn: usize,
    pub(super) uuid: usize,
    place: Option<usize>,
    owner: Owner,
}

#[derive(Clone, Copy)]
enum Owner {
    None,
    Group(usize),
    Inode(usize),
}

/// Blocks of trees inside an allocation group.
pub(super) const SHORT_BTREE: Layout = Layout { crc: 52, lsn: 24, uuid: 32, place: Some(16), owner: Owner::Group(48) };
/// Blocks of a file's extent tree.
pub(super) const LONG_BTREE: Layout = Layout { crc: 64, lsn: 32, uuid: 40, place: Some(24), owner: Owner::Inode(56) };
/// Directory blocks with names, and their free-space blocks.
pub(super) const DIR_DATA: Layout = Layout { crc: 4, lsn: 16, uuid: 24, place: Some(8), owner: Owner::Inode(40) };
/// Directory and attribute index blocks.
pub(super) const DIR_INDEX: Layout = Layout { crc: 12, lsn: 24, uuid: 32, place: Some(16), owner: Owner::Inode(48) };
/// Symbolic link targets and large attribute values.
pub(super) const REMOTE: Layout = Layout { crc: 12, lsn: 48, uuid: 16, place: Some(40), owner: Owner::Inode(32) };
/// The free-space header of a group.
pub(super) const AGF: Layout = Layout { crc: 216, lsn: 208, uuid: 64, place: None, owner: Owner::None };
/// The list of blocks kept for the trees of a group.
pub(super) const AGFL: Layout = Layout { crc: 32, lsn: 24, uuid: 8, place: None, owner: Owner::None };
/// The inode header of a group.
pub(super) const AGI: Layout = Layout { crc: 312, lsn: 320, uuid: 296, place: None, owner: Owner::None };
/// The superblock. Its copy of the file system's own name is checked elsewhere.
pub(super) const SUPERBLOCK: Layout = Layout { crc: 224, lsn: 240, uuid: 32, place: None, owner: Owner::None };

/// A block as read, and what it should say of itself.
pub(super) struct Claim<'a> {
    /// For messages.
    pub(super) what: &'static str,
    /// Byte offset of the block's first part on the volume.
    pub(super) offset: u64,
    /// The group or inode it belongs to; `None` when that is not to be checked.
    pub(super) owner: Option<u64>,
    /// Whether its checksum was renewed with its content.
    pub(super) sealed: bool,
    pub(super) data: &'a [u8],
}

/// Checks a v5 block; says nothing of a v4 one, which has no such fields.
///
/// # Errors
/// `Damaged`.
pub(super) fn verify(geometry: &Geometry, layout: Layout, claim: &Claim<'_>) -> Result<(), TreeError> {
    if !geometry.v5 {
        return Ok(());
    }
    let b = Bytes::new(claim.data, claim.what);
    let wrong = |field: &str| damaged(format!("{} at byte {} of the volume: wrong {field}", claim.what, claim.offset));
    if claim.sealed && !checksum_fits(claim.data, layout.crc) {
        return Err(wrong("checksum"));
    }
    if b.uuid(layout.uuid)? != geometry.meta_uuid {
        return Err(wrong("file system identity"));
    }
    if let Some(at) = layout.place
        && b.be64(at)? != claim.offset / BASIC_BLOCK
    {
        return Err(wrong("place"));
    }
    let stored = match layout.owner {
        Owner::None => return Ok(()),
        Owner::Group(at) => u64::from(b.be32(at)?),
        Owner::Inode(at) => b.be64(at)?,
    };
    match claim.owner {
        Some(owner) if owner != stored => Err(wrong("owner")),
        _ => Ok(()),
    }
}
