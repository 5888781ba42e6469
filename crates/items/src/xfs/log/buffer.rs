//! Items that change parts of a block.
//!
//! Never knows: what the block means, but for what tells its age, its checksum and its inodes.

use super::transaction::{Item, le16, le32, le64};
use super::{Place, Replay};
use crate::tree::TreeError;
use crate::xfs::block::{self, Layout};
use crate::xfs::bytes::{Bytes, damaged, put, put_checksum};
use crate::xfs::disk::Disk;
use crate::xfs::inode::{CRC_FIELD, MAGIC as INODE_MAGIC};
use crate::xfs::superblock::Geometry;

/// The log describes changes in units of this many bytes.
const CHUNK: usize = 128;
const NEXT_UNLINKED: usize = 96;

const INODES: u16 = 1;
const CANCEL: u16 = 1 << 1;
const QUOTA: u16 = 1 << 2 | 1 << 3 | 1 << 4;
const TYPE_SHIFT: u32 = 11;

/// What renews the checksum of a changed piece of metadata.
#[derive(Clone, Copy)]
pub(super) enum Seal {
    /// A block with one header.
    Block(Layout),
    /// Nothing to renew: without a checksum, or renewed at once.
    None,
    /// A part of a larger block, or of a kind unknown here: its checksum cannot be renewed.
    Broken,
}

/// The description at the head of a buffer item.
pub(super) struct Described<'i> {
    pub(super) place: Place,
    flags: u16,
    map: &'i [u8],
}

impl<'i> Described<'i> {
    pub(super) fn parse(item: &'i Item) -> Result<Self, TreeError> {
        let head = item.region(0);
        let parse = || {
            let place = Place { block: le64(head, 8)?, len: le16(head, 6)?.into() };
            let words = usize::try_from(le32(head, 16)?).ok()?;
            let map = head.get(20..)?.get(..words.checked_mul(4)?)?;
            Some(Described { place, flags: le16(head, 4)?, map })
        };
        parse().ok_or_else(|| damaged("log: a buffer item too short for its map"))
    }

    pub(super) fn is_cancel(&self) -> bool {
        self.flags & CANCEL != 0
    }

    pub(super) fn is_inodes(&self) -> bool {
        self.flags & INODES != 0
    }

    /// Whether this is the first superblock.
    pub(super) fn is_superblock(&self) -> bool {
        self.place.block == 0
    }

    fn has(&self, chunk: usize) -> bool {
        self.map.get(chunk / 8).is_some_and(|byte| byte & (1 << (chunk % 8)) != 0)
    }

    /// The runs of bytes that the item's regions hold, each with its first byte in the block.
    fn changes(&self, item: &'i Item) -> Result<Vec<(usize, &'i [u8])>, TreeError> {
        let chunks = self.map.len() * 8;
        let mut out = Vec::new();
        let (mut at, mut index) = (0, 1);
        while at < chunks {
            if !self.has(at) {
                at += 1;
                continue;
            }
            let run = (at..chunks).take_while(|chunk| self.has(*chunk)).count();
            // A run may be split over regions where memory pages end.
            let region = item.region(index);
            let run = run.min(region.len() / CHUNK);
            if run == 0 {
                return Err(damaged("log: a buffer item lacks bytes that its map speaks of"));
            }
            out.push((at * CHUNK, &region[..run * CHUNK]));
            at += run;
            index += 1;
        }
        Ok(out)
    }
}

impl Replay {
    /// Changes a block as an item says, unless the block is freed later or already newer.
    pub(super) fn apply_buffer(&mut self, disk: &mut Disk<'_>, item: &Item) -> Result<(), TreeError> {
        let described = Described::parse(item)?;
        if described.is_cancel() {
            self.passed_cancel(described.place);
            return Ok(());
        }
        if self.is_cancelled(described.place) || described.flags & QUOTA != 0 {
            return Ok(());
        }
        let old = described.place.read(disk)?;
        let mut data = old.clone();
        if age(&self.geometry, &data).is_some_and(|lsn| lsn != 0 && lsn != u64::MAX && lsn >= self.lsn) {
            return Ok(());
        }
        let changes = described.changes(item)?;
        if described.is_inodes() {
            self.change_unlinked(&mut data, &changes)?;
            disk.replace(described.place.block, &old, &data);
            return Ok(());
        }
        for (at, bytes) in changes {
            if !put(&mut data, at, bytes) {
                return Err(damaged("log: a buffer item changes bytes outside its block"));
            }
        }
        disk.replace(described.place.block, &old, &data);
        if described.is_superblock() {
            self.resize(data.clone())?;
        }
        let seal = seal_of(&self.geometry, described.flags >> TYPE_SHIFT, &data);
        self.touched.insert(described.place, seal);
        Ok(())
    }

    /// Takes the size of the file system from a superblock just replayed.
    fn resize(&mut self, mut superblock: Vec<u8>) -> Result<(), TreeError> {
        if self.geometry.v5 {
            put_checksum(&mut superblock, block::SUPERBLOCK.crc);
        }
        self.geometry = Geometry::parse(&superblock)?;
        Ok(())
    }

    /// Of a block of inodes only their places in the list of unlinked ones come from buffer items.
    fn change_unlinked(&self, data: &mut [u8], changes: &[(usize, &[u8])]) -> Result<(), TreeError> {
        let size = usize::from(self.geometry.inode_size);
        for (index, inode) in data.chunks_exact_mut(size).enumerate() {
            let at = index * size + NEXT_UNLINKED;
            let change = changes.iter().find(|(start, bytes)| *start <= at && at + 4 <= start + bytes.len());
            let Some((start, bytes)) = change else {
                continue;
            };
            let field = &bytes[at - start..at - start + 4];
            if field == [0; 4] {
                return Err(damaged("log: an impossible place in the list of unlinked inodes"));
            }
            put(inode, NEXT_UNLINKED, field);
            if self.geometry.v5 {
                put_checksum(inode, CRC_FIELD);
            }
        }
        Ok(())
    }

    /// Gives every block changed since the last call its new age and checksum.
    pub(super) fn seal(&mut self, disk: &mut Disk<'_>) -> Result<(), TreeError> {
        for (place, seal) in std::mem::take(&mut self.touched) {
            match seal {
                Seal::None => {}
                Seal::Broken => disk.note_unsealed(place.block..place.block + u64::from(place.len)),
                Seal::Block(layout) => {
                    let old = place.read(disk)?;
                    let mut data = old.clone();
                    put(&mut data, layout.lsn, &self.lsn.to_be_bytes());
                    put_checksum(&mut data, layout.crc);
                    disk.replace(place.block, &old, &data);
                }
            }
        }
        Ok(())
    }
}

/// The layout of a block, by what it begins with (v5).
fn layout_of(data: &[u8]) -> Option<Layout> {
    let b = Bytes::new(data, "block");
    match b.be32(0).ok()?.to_be_bytes() {
        [b'A', b'B', b'3', b'B' | b'C'] | [b'I' | b'F', b'I' | b'A', b'B', b'3'] => Some(block::SHORT_BTREE),
        [b'R', b'M', b'B', b'3'] | [b'R', b'3', b'F', b'C'] => Some(block::SHORT_BTREE),
        [b'B', b'M', b'A', b'3'] => Some(block::LONG_BTREE),
        [b'X', b'A', b'G', b'F'] => Some(block::AGF),
        [b'X', b'A', b'F', b'L'] => Some(block::AGFL),
        [b'X', b'A', b'G', b'I'] => Some(block::AGI),
        [b'X', b'S', b'L', b'M'] => Some(block::REMOTE),
        [b'X', b'D', b'B' | b'D' | b'F', b'3'] => Some(block::DIR_DATA),
        [b'X', b'F', b'S', b'B'] => Some(block::SUPERBLOCK),
        _ => match b.be16(8).ok()? {
            0x3df1 | 0x3dff | 0x3ebe | 0x3bee => Some(block::DIR_INDEX),
            _ => None,
        },
    }
}

/// Where in the log a block was last changed; `None` when it does not say, or is none of this file system's.
fn age(geometry: &Geometry, data: &[u8]) -> Option<u64> {
    if !geometry.v5 {
        return None;
    }
    let layout = layout_of(data)?;
    let b = Bytes::new(data, "block");
    let is_superblock = layout.lsn == block::SUPERBLOCK.lsn;
    let uuid = b.uuid(layout.uuid).ok()?;
    let ours = uuid == if is_superblock { geometry.user_uuid } else { geometry.meta_uuid };
    if ours { b.be64(layout.lsn).ok() } else { None }
}

/// How to renew the checksum of a block, by the kind that the log says it is and what it now begins with.
fn seal_of(geometry: &Geometry, kind: u16, data: &[u8]) -> Seal {
    const REMOTE_ATTRIBUTE: u16 = 17;
    if !geometry.v5 {
        return Seal::None;
    }
    // A directory block in several places is logged part by part; its checksum is over the whole.
    let is_part = matches!(kind, 10..=15) && data.len() < geometry.dir_block_size as usize;
    match layout_of(data) {
        _ if is_part => Seal::Broken,
        Some(layout) => Seal::Block(layout),
        None if kind == REMOTE_ATTRIBUTE => Seal::Block(block::REMOTE),
        None if data.starts_with(&INODE_MAGIC.to_be_bytes()) => Seal::None,
        None => Seal::Broken,
    }
}
