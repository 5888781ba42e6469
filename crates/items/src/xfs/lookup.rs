//! Finding one name by the hash index of a large directory.
//!
//! Never knows: how a whole directory is listed.
//! Non-guarantee: a damaged index is reported as damage; the caller may list instead.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::block::DIR_INDEX;
use super::bytes::{Bytes, damaged};
use super::directory::{INDEX_START, Space, entry_at};
use super::disk::Disk;
use super::inode::Inode;
use super::superblock::Geometry;
use crate::tree::TreeError;

const INDEX_END: u64 = 64 << 30;
const MAX_LEVELS: u16 = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Leaf,
    Node,
}

/// The inode that `name` leads to in a `directory` kept in blocks with an index; `None` when the index has no such
/// name.
///
/// # Errors
/// `Damaged`, `Io`.
pub(super) fn find(
    disk: &Disk<'_>,
    geometry: &Geometry,
    directory: &Inode,
    name: &OsStr,
) -> Result<Option<u64>, TreeError> {
    let index = Space::open(disk, geometry, directory, INDEX_START..INDEX_END)?;
    let names = Space::open(disk, geometry, directory, 0..INDEX_START)?;
    let hash = hash(name.as_bytes());
    let mut leaf = first_leaf(&index, geometry, hash)?;
    loop {
        let b = Bytes::new(&leaf, "directory index");
        for address in addresses(geometry, b, hash)? {
            let found = check_entry(&names, geometry, address, name.as_bytes())?;
            if found.is_some() {
                return Ok(found);
            }
        }
        // The same hash may go on in the next leaf, whose entries then begin with it.
        match (b.be32(0)?, last_hash(geometry, b)?) {
            (next, Some(last)) if next != 0 && last == hash => {
                leaf = read_leaf(&index, geometry, next)?;
                let first = entries(geometry, Bytes::new(&leaf, "directory index"))?.first().map(|e| e.0);
                if first != Some(hash) {
                    return Ok(None);
                }
                if last_hash(geometry, Bytes::new(&leaf, "directory index"))? == Some(hash) {
                    // A whole leaf of one hash: rare enough that listing is the simpler answer, and cannot loop.
                    return Err(damaged("directory index: too many names of one hash"));
                }
            }
            _ => return Ok(None),
        }
    }
}

fn read_leaf(index: &Space<'_>, geometry: &Geometry, block: u32) -> Result<Vec<u8>, TreeError> {
    match read_index(index, geometry, block)? {
        (Kind::Leaf, data) => Ok(data),
        (Kind::Node, _) => Err(damaged("directory index: a node among its leaves")),
    }
}

/// Descends to the first leaf that may hold `hash`.
fn first_leaf(index: &Space<'_>, geometry: &Geometry, hash: u32) -> Result<Vec<u8>, TreeError> {
    let mut block = (INDEX_START / u64::from(geometry.block_size)) as u32;
    let mut above = MAX_LEVELS;
    loop {
        let (kind, data) = read_index(index, geometry, block)?;
        if kind == Kind::Leaf {
            return Ok(data);
        }
        let b = Bytes::new(&data, "directory index");
        let (count_at, first) = if geometry.v5 { (56, 64) } else { (12, 16) };
        let (count, level) = (usize::from(b.be16(count_at)?), b.be16(count_at + 2)?);
        if level == 0 || level >= above || count == 0 {
            return Err(damaged("directory index: impossible node"));
        }
        above = level;
        let (children, _) = b.take(first, count * 8)?.as_chunks::<8>();
        let child = children.partition_point(|c| number(c, 0) < hash).min(count - 1);
        block = number(&children[child], 4);
    }
}

fn number(pair: &[u8; 8], at: usize) -> u32 {
    let [a, b, c, d, e, f, g, h] = *pair;
    u32::from_be_bytes(if at == 0 { [a, b, c, d] } else { [e, f, g, h] })
}

fn read_index(index: &Space<'_>, geometry: &Geometry, block: u32) -> Result<(Kind, Vec<u8>), TreeError> {
    let address = u64::from(block) * u64::from(geometry.block_size);
    let raw = index.raw(address)?;
    index.check(DIR_INDEX, "directory index block", &raw)?;
    let data = raw.data;
    let magic = Bytes::new(&data, "directory index").be16(8)?;
    let kind = match (geometry.v5, magic) {
        (true, 0x3df1 | 0x3dff) | (false, 0xd2f1 | 0xd2ff) => Kind::Leaf,
        (true, 0x3ebe) | (false, 0xfebe) => Kind::Node,
        _ => return Err(damaged("directory index: a block of another kind")),
    };
    Ok((kind, data))
}

/// The (hash, address) pairs of a leaf.
fn entries(geometry: &Geometry, leaf: Bytes<'_>) -> Result<Vec<(u32, u32)>, TreeError> {
    let (count_at, first) = if geometry.v5 { (56, 64) } else { (12, 16) };
    let count = usize::from(leaf.be16(count_at)?);
    let (pairs, _) = leaf.take(first, count * 8)?.as_chunks::<8>();
    Ok(pairs.iter().map(|p| (number(p, 0), number(p, 4))).collect())
}

fn last_hash(geometry: &Geometry, leaf: Bytes<'_>) -> Result<Option<u32>, TreeError> {
    Ok(entries(geometry, leaf)?.last().map(|e| e.0))
}

/// Byte addresses of the names in `leaf` that have `hash`; those of names since removed are left out.
fn addresses(geometry: &Geometry, leaf: Bytes<'_>, hash: u32) -> Result<Vec<u64>, TreeError> {
    let entries = entries(geometry, leaf)?;
    let start = entries.partition_point(|e| e.0 < hash);
    let same = entries[start..].iter().take_while(|e| e.0 == hash);
    Ok(same.filter(|e| e.1 != 0).map(|e| u64::from(e.1) * 8).collect())
}

fn check_entry(names: &Space<'_>, geometry: &Geometry, address: u64, name: &[u8]) -> Result<Option<u64>, TreeError> {
    let size = u64::from(geometry.dir_block_size);
    let block = names.read(address - address % size)?;
    match entry_at(geometry, &block, (address % size) as usize)? {
        (_, Some((found, inode, _))) => Ok((found == name).then_some(inode)),
        (_, None) => Err(damaged("directory index: it names a place without a name")),
    }
}

/// The hash of a name in directories that tell upper from lower case.
fn hash(name: &[u8]) -> u32 {
    let (fours, rest) = name.as_chunks::<4>();
    let mut hash = fours.iter().fold(0u32, |hash, four| mix(hash.rotate_left(28), four));
    if !rest.is_empty() {
        hash = mix(hash.rotate_left(7 * rest.len() as u32), rest);
    }
    hash
}

/// Seven bits of shift for each byte that follows.
fn mix(hash: u32, bytes: &[u8]) -> u32 {
    let last = bytes.len() as u32;
    let places = (1..=last).rev().zip(bytes);
    places.fold(hash, |hash, (place, byte)| hash ^ (u32::from(*byte) << (7 * (place - 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_by_hand() {
        assert_eq!(hash(b""), 0);
        assert_eq!(hash(b"."), 0x2e); // as every directory index shows
        assert_eq!(hash(b".."), 0x172e);
        assert_eq!(hash(b"abcd"), (0x61 << 21) ^ (0x62 << 14) ^ (0x63 << 7) ^ 0x64);
        assert_eq!(hash(b"abcde"), hash(b"abcd").rotate_left(7) ^ 0x65);
    }
}
