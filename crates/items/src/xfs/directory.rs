//! Names in directories: inside the inode, or in data blocks.
//!
//! Never knows: the index by hash (see `lookup`), or what the named inodes hold.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::block::{Claim, DIR_DATA, Layout, verify};
use super::bytes::{Bytes, damaged};
use super::disk::Disk;
use super::extents::{Extent, extents_in, part};
use super::inode::{Format, Inode};
use super::superblock::Geometry;
use crate::tree::{NodeKind, TreeError};

const BLOCK_V4: u32 = 0x5844_3242;
const BLOCK_V5: u32 = 0x5844_4233;
const DATA_V4: u32 = 0x5844_3244;
const DATA_V5: u32 = 0x5844_4433;
const UNUSED: u16 = 0xffff;
/// Byte address in a directory where its index begins and its names end.
pub(super) const INDEX_START: u64 = 32 << 30;

/// A name as it lies in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: OsString,
    pub(super) inode: u64,
    /// Known without reading the inode, where the file system keeps it.
    pub(super) kind: Option<NodeKind>,
}

/// All names of `directory` but `.` and `..`.
///
/// # Errors
/// `Damaged`, `Io`.
pub(super) fn names(disk: &Disk<'_>, geometry: &Geometry, directory: &Inode) -> Result<Vec<Name>, TreeError> {
    let mut out = Vec::new();
    if directory.format == Format::Local {
        let len = usize::try_from(directory.size).ok();
        let fork = len.and_then(|len| directory.fork().get(..len));
        let fork = fork.ok_or_else(|| damaged(format!("directory {}: longer than its inode", directory.number)))?;
        short_names(geometry, fork, &mut out)?;
        return Ok(out);
    }
    let space = Space::open(disk, geometry, directory, 0..INDEX_START)?;
    for start in space.block_starts() {
        let block = space.read(start)?;
        block_names(geometry, &block, &mut out)?;
    }
    Ok(out)
}

fn short_names(geometry: &Geometry, fork: &[u8], out: &mut Vec<Name>) -> Result<(), TreeError> {
    let b = Bytes::new(fork, "short directory");
    let (count, wide) = (b.u8(0)?, b.u8(1)? != 0);
    let number_len = if wide { 8 } else { 4 };
    let mut at = 2 + number_len;
    for _ in 0..count {
        let len = usize::from(b.u8(at)?);
        let name = b.take(at + 3, len)?;
        at += 3 + len;
        let kind = if geometry.ftype { kind_of(b.u8(at)?) } else { None };
        at += usize::from(geometry.ftype);
        let inode = if wide { b.be64(at)? } else { u64::from(b.be32(at)?) };
        at += number_len;
        push(out, name, inode, kind)?;
    }
    Ok(())
}

/// Adds a name that a directory may hold; `.` and `..` are left out.
fn push(out: &mut Vec<Name>, name: &[u8], inode: u64, kind: Option<NodeKind>) -> Result<(), TreeError> {
    if name.is_empty() || name.iter().any(|c| matches!(c, 0 | b'/')) {
        return Err(damaged("a directory holds a name that cannot be one"));
    }
    if !matches!(name, b"." | b"..") {
        out.push(Name { name: OsString::from_vec(name.to_vec()), inode, kind });
    }
    Ok(())
}

fn kind_of(ftype: u8) -> Option<NodeKind> {
    match ftype {
        1 => Some(NodeKind::File),
        2 => Some(NodeKind::Directory),
        3 | 8 => Some(NodeKind::CharDevice), // 8 marks a whiteout, which is one
        4 => Some(NodeKind::BlockDevice),
        5 => Some(NodeKind::Fifo),
        6 => Some(NodeKind::Socket),
        7 => Some(NodeKind::Symlink),
        _ => None,
    }
}

fn block_names(geometry: &Geometry, block: &[u8], out: &mut Vec<Name>) -> Result<(), TreeError> {
    let end = names_end(block)?;
    let mut at = header_len(geometry);
    while at < end {
        let (next, entry) = entry_at(geometry, block, at)?;
        if next > end {
            return Err(damaged("directory block: an entry runs into its end"));
        }
        if let Some((name, inode, kind)) = entry {
            push(out, name, inode, kind)?;
        }
        at = next;
    }
    Ok(())
}

fn header_len(geometry: &Geometry) -> usize {
    if geometry.v5 { 64 } else { 16 }
}

/// Where the names of a block end: at its end, or before the index of a directory that is a single block.
fn names_end(block: &[u8]) -> Result<usize, TreeError> {
    let b = Bytes::new(block, "directory block");
    match b.be32(0)? {
        DATA_V4 | DATA_V5 => Ok(block.len()),
        _ => {
            let tail = block.len().saturating_sub(8);
            let index = b.be32(tail)? as usize;
            let end = index.checked_mul(8).and_then(|len| tail.checked_sub(len));
            end.ok_or_else(|| damaged("directory block: its index is larger than itself"))
        }
    }
}

type RawEntry<'b> = (&'b [u8], u64, Option<NodeKind>);

/// The entry at `at` (none when that place is unused), and where the next begins, which is always farther on.
pub(super) fn entry_at<'b>(
    geometry: &Geometry,
    block: &'b [u8],
    at: usize,
) -> Result<(usize, Option<RawEntry<'b>>), TreeError> {
    let b = Bytes::new(block, "directory block");
    if b.be16(at)? == UNUSED {
        let len = usize::from(b.be16(at + 2)?);
        // A whole unused block of 64 KiB does not exist: its header takes some.
        if len < 8 || len % 8 != 0 {
            return Err(damaged("directory block: impossible unused space"));
        }
        return Ok((at + len, None));
    }
    let len = usize::from(b.u8(at + 8)?);
    let name = b.take(at + 9, len)?;
    let kind = if geometry.ftype { kind_of(b.u8(at + 9 + len)?) } else { None };
    let size = (9 + len + usize::from(geometry.ftype) + 2).next_multiple_of(8);
    if usize::from(b.be16(at + size - 2)?) != at {
        return Err(damaged("directory block: an entry does not lie where it says"));
    }
    Ok((at + size, Some((name, b.be64(at)?, kind))))
}

/// A directory block as it lies, its parts put together.
pub(super) struct RawBlock {
    pub(super) data: Vec<u8>,
    /// Byte offset of its first part on the volume.
    offset: u64,
    /// Whether its checksum is to be believed: a log speaks of the parts of such a block one by one, and what it
    /// changed in one part nobody summed up.
    sealed: bool,
}

/// A part of a directory's address space.
pub(super) struct Space<'a> {
    disk: &'a Disk<'a>,
    geometry: &'a Geometry,
    owner: u64,
    extents: Vec<Extent>,
}

impl<'a> Space<'a> {
    /// Finds the blocks of the byte addresses `range`.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub(super) fn open(
        disk: &'a Disk<'a>,
        geometry: &'a Geometry,
        directory: &Inode,
        range: std::ops::Range<u64>,
    ) -> Result<Self, TreeError> {
        let block = u64::from(geometry.block_size);
        let wanted = range.start / block..range.end / block;
        let extents = extents_in(disk, geometry, directory, wanted.clone())?;
        // One file system cannot hold more: hostile extents may all name the same blocks.
        let total: u64 = extents.iter().map(|e| e.len).sum();
        if total > geometry.blocks || extents.iter().any(|e| e.unwritten) {
            return Err(damaged(format!("directory {}: impossible extents", directory.number)));
        }
        let extents = extents.into_iter().filter_map(|e| part(e, wanted.clone())).collect();
        let space = Space { disk, geometry, owner: directory.number, extents };
        match space.is_whole() {
            true => Ok(space),
            false => Err(damaged(format!("directory {}: a block without its beginning", directory.number))),
        }
    }

    /// Whether no directory block lacks its first part.
    fn is_whole(&self) -> bool {
        let mut before = 0;
        self.extents.iter().all(|e| {
            let joined = e.file_block.is_multiple_of(self.step()) || e.file_block == before;
            before = e.end();
            joined
        })
    }

    /// Byte addresses of the directory blocks that exist, in order.
    fn block_starts(&self) -> impl Iterator<Item = u64> + '_ {
        let (block, step) = (u64::from(self.geometry.block_size), self.step());
        let starts = self.extents.iter().flat_map(move |e| {
            let first = e.file_block.next_multiple_of(step);
            (first..e.end()).step_by(step as usize)
        });
        starts.map(move |file_block| file_block * block)
    }

    /// File system blocks in a directory block.
    fn step(&self) -> u64 {
        u64::from(self.geometry.dir_block_size / self.geometry.block_size)
    }

    /// The directory block at `address`, unchecked.
    ///
    /// # Errors
    /// `Damaged` when a part of it does not exist; `Io`.
    pub(super) fn raw(&self, address: u64) -> Result<RawBlock, TreeError> {
        let size = u64::from(self.geometry.block_size);
        let mut out = Vec::with_capacity(self.geometry.dir_block_size as usize);
        let (mut first, mut sealed) = (None, true);
        let from = address / size;
        for file_block in from..from + self.step() {
            let offset = self.place(file_block);
            let offset = offset.ok_or_else(|| damaged(format!("directory {}: a block is missing", self.owner)))?;
            let at = out.len();
            out.resize(at + size as usize, 0);
            self.disk.read(offset, &mut out[at..])?;
            sealed &= !self.disk.is_unsealed(offset, size);
            first.get_or_insert(offset);
        }
        Ok(RawBlock { data: out, offset: first.unwrap_or_default(), sealed })
    }

    fn place(&self, file_block: u64) -> Option<u64> {
        let index = self.extents.partition_point(|e| e.end() <= file_block);
        let extent = self.extents.get(index).filter(|e| e.file_block <= file_block)?;
        self.geometry.offset(extent.block + (file_block - extent.file_block), 1)
    }

    /// The block of names at `address`, checked.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub(super) fn read(&self, address: u64) -> Result<Vec<u8>, TreeError> {
        let raw = self.raw(address)?;
        self.check(DIR_DATA, "directory block", &raw)?;
        let data = raw.data;
        let magic = Bytes::new(&data, "directory block").be32(0)?;
        let known = if self.geometry.v5 { [BLOCK_V5, DATA_V5] } else { [BLOCK_V4, DATA_V4] };
        if !known.contains(&magic) {
            return Err(damaged(format!("directory {}: a block that holds no names", self.owner)));
        }
        Ok(data)
    }

    /// Checks the header of a directory block of any kind.
    ///
    /// # Errors
    /// `Damaged`.
    pub(super) fn check(&self, layout: Layout, what: &'static str, raw: &RawBlock) -> Result<(), TreeError> {
        let RawBlock { ref data, offset, sealed } = *raw;
        let owner = Some(self.owner);
        let claim = Claim { what, offset, owner, sealed, data };
        verify(self.geometry, layout, &claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_no_directory_may_hold_are_refused() {
        for bad in [&b""[..], b"a/b", b"a\0"] {
            assert!(push(&mut Vec::new(), bad, 1, None).is_err(), "{bad:?}");
        }
        let mut out = Vec::new();
        push(&mut out, b"..", 1, None).unwrap();
        assert!(out.is_empty());
    }
}
