//! Targets of symbolic links: inside the inode, or in blocks of their own.
//!
//! Never knows: what a target leads to.

use super::block::{Claim, REMOTE, verify};
use super::bytes::{Bytes, damaged};
use super::disk::Disk;
use super::extents::extents_in;
use super::inode::{Format, Inode};
use super::superblock::Geometry;
use crate::tree::TreeError;

const MAGIC: u32 = 0x5853_4c4d;
const HEADER: usize = 56;
const LONGEST: u64 = 1024;

/// The target of `link`, as stored.
///
/// # Errors
/// `Damaged`, `Io`.
pub(super) fn target(disk: &Disk<'_>, geometry: &Geometry, link: &Inode) -> Result<Vec<u8>, TreeError> {
    let wrong = |what: &str| damaged(format!("symbolic link {}: {what}", link.number));
    if link.size == 0 || link.size > LONGEST {
        return Err(wrong("impossible length"));
    }
    let size = link.size as usize;
    let target = match link.format {
        Format::Local => link.fork().get(..size).map(<[u8]>::to_vec),
        _ => Some(remote(disk, geometry, link, size)?),
    };
    let target = target.filter(|t| t.len() == size && !t.contains(&0));
    target.ok_or_else(|| wrong("its target is not all there"))
}

fn remote(disk: &Disk<'_>, geometry: &Geometry, link: &Inode, size: usize) -> Result<Vec<u8>, TreeError> {
    let block = geometry.block_size as usize;
    // Two blocks more than the target needs: each run of blocks begins with a header in version 5.
    let most = (size.div_ceil(block) + 2) as u64;
    let mut target = Vec::new();
    for extent in extents_in(disk, geometry, link, 0..most)? {
        if target.len() >= size {
            break;
        }
        let offset = geometry.offset(extent.block, extent.len).filter(|_| extent.len <= most);
        let offset = offset.ok_or_else(|| damaged(format!("symbolic link {}: too long", link.number)))?;
        let data = disk.read_vec(offset, extent.len as usize * block)?;
        let part = part(geometry, link.number, offset, target.len(), &data)?;
        target.extend_from_slice(&part[..part.len().min(size - target.len())]);
    }
    Ok(target)
}

/// The part of a target in one run of blocks.
fn part<'d>(
    geometry: &Geometry,
    owner: u64,
    offset: u64,
    so_far: usize,
    data: &'d [u8],
) -> Result<&'d [u8], TreeError> {
    if !geometry.v5 {
        return Ok(data);
    }
    verify(geometry, REMOTE, &Claim { what: "symbolic link block", offset, owner: Some(owner), sealed: true, data })?;
    let b = Bytes::new(data, "symbolic link block");
    if b.be32(0)? != MAGIC || b.be32(4)? as usize != so_far {
        return Err(damaged(format!("symbolic link {owner}: a block that does not continue it")));
    }
    b.take(HEADER, b.be32(8)? as usize)
}
