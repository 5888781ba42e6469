//! Items that change an inode, or make new ones.
//!
//! Never knows: what the inode's extents hold.

use super::transaction::{Item, le16, le32, le64};
use super::{Place, Replay};
use crate::tree::TreeError;
use crate::xfs::bytes::{Bytes, damaged, put, put_checksum};
use crate::xfs::disk::{BASIC_BLOCK, Disk};
use crate::xfs::inode::{CRC_FIELD, MAGIC, data_fork, kind_of};
use crate::xfs::superblock::Geometry;

const DATA: u32 = 0x002 | 0x004; // content or extents
const DATA_ROOT: u32 = 0x008;
const DEVICE: u32 = 0x010;
const ATTRIBUTES: u32 = 0x040 | 0x080;
const ATTRIBUTE_ROOT: u32 = 0x100;
const NEW_OWNER: u32 = 0x200 | 0x400;

const FLAG2_BIGTIME: u64 = 0x08;
/// Places and lengths of the numbers in a core, but for times and what differs between versions.
const NUMBERS: [(usize, usize); 17] = [
    (0, 2),  // magic
    (2, 2),  // mode
    (6, 2),  // links, in version 1
    (8, 4),  // owner
    (12, 4), // group
    (16, 4), // links
    (20, 2), // project, low half
    (22, 2), // project, high half
    (56, 8), // size
    (64, 8), // blocks
    (72, 4), // extent size hint
    (76, 4), // extents, or those of the attributes where the count above is wide
    (80, 2), // extents of the attributes
    (84, 4), // data migration
    (88, 2), // data migration
    (90, 2), // flags
    (92, 4), // generation
];
/// Change count, flags, extent size hint for copies, own number.
const NUMBERS_V3: [(usize, usize); 4] = [(104, 8), (120, 8), (128, 4), (152, 8)];
/// Access, modification, change: seconds and nanoseconds.
const SPLIT_TIMES: [(usize, usize); 6] = [(32, 4), (36, 4), (40, 4), (44, 4), (48, 4), (52, 4)];
/// The same as one number each.
const BIG_TIMES: [(usize, usize); 3] = [(32, 8), (40, 8), (48, 8)];
const OLD_CORE: usize = 96;
/// Bytes in the largest chunk of inodes: 64 of 2 KiB.
const MOST_INODES: u64 = 128 << 10;
const CORE: usize = 176;

/// The description at the head of an inode item.
struct Described {
    fields: u32,
    inode: u64,
    device: u32,
    place: Place,
    offset: usize,
}

impl Described {
    /// The structure has 56 bytes, or 52 where a 32-bit machine wrote it.
    fn parse(head: &[u8]) -> Option<Described> {
        let shift = match head.len() {
            56 => 4,
            52 => 0,
            _ => return None,
        };
        Some(Described {
            fields: le32(head, 4)?,
            inode: le64(head, 12 + shift)?,
            device: le32(head, 20 + shift)?,
            place: Place { block: le64(head, 36 + shift)?, len: le32(head, 44 + shift)? },
            offset: usize::try_from(le32(head, 48 + shift)?).ok()?,
        })
    }
}

impl Described {
    /// The basic blocks that the inode, of `size` bytes, lies in, and its first byte in them.
    fn surroundings(&self, size: usize) -> Option<(Place, usize)> {
        let unit = BASIC_BLOCK as usize;
        let (first, end) = (self.offset / unit, self.offset.checked_add(size)?.div_ceil(unit));
        if end > self.place.len as usize {
            return None;
        }
        let block = self.place.block.checked_add(first as u64)?;
        let len = u32::try_from(end - first).ok()?;
        Some((Place { block, len }, self.offset % unit))
    }
}

impl Replay {
    /// Changes an inode as an item says, unless its block is freed later or it is already newer.
    pub(super) fn apply_inode(&mut self, disk: &mut Disk<'_>, item: &Item) -> Result<(), TreeError> {
        let described = Described::parse(item.region(0));
        let described = described.ok_or_else(|| damaged("log: an inode item of impossible length"))?;
        let wrong = |what: &str| damaged(format!("log: inode {}: {what}", described.inode));
        if self.is_cancelled(described.place) {
            return Ok(());
        }
        if described.fields & NEW_OWNER != 0 {
            disk.note_changed_owner(described.inode);
        }
        let size = usize::from(self.geometry.inode_size);
        let (place, start) = described.surroundings(size).ok_or_else(|| wrong("it lies outside its block"))?;
        let old = place.read(disk)?;
        let mut data = old.clone();
        let inode = &mut data[start..start + size];
        let core = item.region(1);
        if !inode.starts_with(&MAGIC.to_be_bytes()) || !core.starts_with(&MAGIC.to_le_bytes()) {
            return Err(wrong("no inode there"));
        }
        if self.is_newer(inode, core) {
            return Ok(());
        }
        put_core(&self.geometry, inode, core, self.lsn).ok_or_else(|| wrong("impossible core"))?;
        put_forks(&self.geometry, inode, &described, item)?;
        if self.geometry.v5 {
            put_checksum(inode, CRC_FIELD);
        }
        disk.replace(place.block, &old, &data);
        Ok(())
    }

    /// Whether the inode on the volume is newer than the one in the log.
    fn is_newer(&self, inode: &[u8], core: &[u8]) -> bool {
        let b = Bytes::new(inode, "inode");
        if self.geometry.v5 {
            let lsn = b.be64(112).unwrap_or(0);
            return lsn != 0 && lsn != u64::MAX && lsn > self.lsn;
        }
        // Version 4 counts the writes of an inode, and begins anew after 65,535.
        let (stored, logged) = (b.be16(30).unwrap_or(0), le16(core, 30).unwrap_or(0));
        let wrapped = stored == u16::MAX && logged < u16::MAX / 2;
        logged < stored && !wrapped
    }

    /// Makes the inodes of a new chunk: free ones, each with its number.
    pub(super) fn apply_inode_create(&mut self, disk: &mut Disk<'_>, item: &Item) -> Result<(), TreeError> {
        let geometry = &self.geometry;
        let b = Bytes::new(item.region(0), "log: new inodes");
        let (ag, block, count) = (b.be32(4)?, b.be32(8)?, b.be32(12)?);
        let (size, len, generation) = (b.be32(16)?, b.be32(20)?, b.be32(24)?);
        let bytes = u64::from(count) * u64::from(size);
        let offset = geometry.ag_offset(ag, block.into(), len.into());
        let fits = size == u32::from(geometry.inode_size)
            && count > 0
            && bytes <= MOST_INODES
            && bytes == u64::from(len) * u64::from(geometry.block_size);
        let offset = offset.filter(|_| fits && geometry.v5);
        let offset = offset.ok_or_else(|| damaged("log: impossible new inodes"))?;
        let blocks = offset / BASIC_BLOCK..(offset + bytes) / BASIC_BLOCK;
        let (first, end) = (Place { block: blocks.start, len: 0 }, Place { block: blocks.end, len: 0 });
        if self.cancelled.range(first..end).next().is_some() {
            return Ok(());
        }
        let number = u64::from(ag) << geometry.ag_block_log | u64::from(block);
        let number = number << geometry.inodes_per_block_log;
        let mut data = Vec::new();
        for number in number..number + u64::from(count) {
            data.extend(free_inode(geometry, number, generation));
        }
        let old = disk.read_vec(offset, data.len())?;
        disk.replace(blocks.start, &old, &data);
        Ok(())
    }
}

fn free_inode(geometry: &Geometry, number: u64, generation: u32) -> Vec<u8> {
    let mut inode = vec![0; usize::from(geometry.inode_size)];
    put(&mut inode, 0, &MAGIC.to_be_bytes());
    put(&mut inode, 4, &[3]);
    put(&mut inode, 92, &generation.to_be_bytes());
    put(&mut inode, 96, &[0xff; 4]);
    put(&mut inode, 152, &number.to_be_bytes());
    put(&mut inode, 160, &geometry.meta_uuid);
    put_checksum(&mut inode, CRC_FIELD);
    inode
}

/// Copies the core from the log, where it lies in the order of bytes of the machine that wrote it.
fn put_core(geometry: &Geometry, inode: &mut [u8], core: &[u8], lsn: u64) -> Option<()> {
    let version = *core.get(4)?;
    let flags2 = if version == 3 { le64(core, 120)? } else { 0 };
    let known = core.len() >= if version == 3 { CORE } else { OLD_CORE };
    if !known || geometry.v5 != (version == 3) || !(1..=3).contains(&version) {
        return None;
    }
    let mode = le16(core, 2)?;
    if mode != 0 && kind_of(mode).is_none() {
        return None;
    }
    let mut out = core[..OLD_CORE].to_vec();
    swap(&mut out, &NUMBERS);
    // Version 3 may have a wide count of extents here, older ones a count of writes at its end.
    swap(&mut out, if version == 3 { &[(24, 8)] } else { &[(30, 2)] });
    let times: &[_] = if flags2 & FLAG2_BIGTIME == 0 { &SPLIT_TIMES } else { &BIG_TIMES };
    swap(&mut out, times);
    put(inode, 0, &out);
    if version == 3 {
        put_core_v3(inode, &core[..CORE], flags2, lsn);
    }
    Some(())
}

/// The part of the core that version 3 added. The list of unlinked inodes is not the core's.
fn put_core_v3(inode: &mut [u8], core: &[u8], flags2: u64, lsn: u64) {
    let mut out = core.to_vec();
    swap(&mut out, &NUMBERS_V3);
    let created: &[(usize, usize)] = if flags2 & FLAG2_BIGTIME == 0 { &[(144, 4), (148, 4)] } else { &[(144, 8)] };
    swap(&mut out, created);
    put(&mut out, 112, &lsn.to_be_bytes());
    put(inode, 104, &out[104..CORE]);
}

/// Turns the order of bytes of fields, each given by its place and length.
fn swap(bytes: &mut [u8], fields: &[(usize, usize)]) {
    for (at, len) in fields {
        bytes[*at..at + len].reverse();
    }
}

/// Copies content, extents or tree roots into the forks of an inode whose core is already there.
fn put_forks(geometry: &Geometry, inode: &mut [u8], described: &Described, item: &Item) -> Result<(), TreeError> {
    let wrong = |what: &str| damaged(format!("log: inode {}: {what}", described.inode));
    let (version, size) = (inode[4], inode.len());
    let data = data_fork(Bytes::new(inode, "logged inode"), version)?;
    if described.fields & DEVICE != 0 {
        put(inode, data.start, &described.device.to_be_bytes());
    }
    let mut next = 2;
    let forks = [(DATA, DATA_ROOT, data.clone()), (ATTRIBUTES, ATTRIBUTE_ROOT, data.end..size)];
    for (plain, root, fork) in forks {
        if described.fields & (plain | root) == 0 {
            continue;
        }
        if next >= item.regions() {
            return Err(wrong("a fork is missing"));
        }
        let region = item.region(next);
        next += 1;
        let place = inode.get_mut(fork).ok_or_else(|| wrong("a fork outside it"))?;
        let done = match described.fields & root {
            0 => put(place, 0, region),
            _ => put_root(geometry, place, region),
        };
        if !done {
            return Err(wrong("a fork that does not fit"));
        }
    }
    Ok(())
}

/// Turns the root of an extent tree as kept in memory, which has a block's header, into the short one of an inode.
fn put_root(geometry: &Geometry, place: &mut [u8], root: &[u8]) -> bool {
    let header = if geometry.v5 { 72 } else { 24 };
    let count = match root.get(6..8) {
        Some(count) => usize::from(u16::from_be_bytes([count[0], count[1]])),
        None => return false,
    };
    let (from, to) = (root.len().saturating_sub(header) / 16, place.len().saturating_sub(4) / 16);
    if count > from || count > to {
        return false;
    }
    let (keys, pointers) = (header, header + from * 8);
    put(place, 0, &root[4..8])
        && put(place, 4, &root[keys..keys + count * 8])
        && put(place, 4 + to * 8, &root[pointers..pointers + count * 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_found_in_the_blocks_around_it() {
        let check = |offset, size, want: Option<(u64, u32, usize)>| {
            let place = Place { block: 100, len: 16 };
            let described = Described { fields: 0, inode: 1, device: 0, place, offset };
            let found = described.surroundings(size);
            assert_eq!(found.map(|(place, start)| (place.block, place.len, start)), want);
        };
        check(0, 512, Some((100, 1, 0)));
        check(768, 256, Some((101, 1, 256)));
        check(6144, 2048, Some((112, 4, 0)));
        check(7680, 1024, None);
        check(usize::MAX, 256, None);
    }

    #[test]
    fn descriptions_of_both_lengths() {
        let mut head = vec![0u8; 56];
        head[4] = 7;
        head[16] = 130;
        head[40] = 9;
        head[48] = 16;
        head[52..54].copy_from_slice(&512u16.to_le_bytes());
        let check = |head: &[u8]| {
            let found = Described::parse(head).unwrap();
            assert_eq!((found.fields, found.inode, found.offset), (7, 130, 512));
            assert_eq!(found.place, Place { block: 9, len: 16 });
        };
        check(&head);
        head.drain(12..16);
        check(&head);
        assert!(Described::parse(&head[..51]).is_none());
    }
}
