//! Chunks: where on the device the file system's own addresses lie.
//!
//! Never knows: what is stored at an address.

use super::key::{KEY_LEN, Key, kind, tree};
use super::superblock::Superblock;
use crate::bytes::{damaged, le16, le64, unsupported};
use crate::tree::TreeError;
use std::collections::BTreeMap;

const CHUNK_LEN: usize = 48;
const STRIPE_LEN: usize = 32;
const MAX_COPIES: usize = 16;

const RAID0: u64 = 1 << 3;
const RAID1: u64 = 1 << 4;
const DUP: u64 = 1 << 5;
const RAID10: u64 = 1 << 6;
const RAID1C3: u64 = 1 << 9;
const RAID1C4: u64 = 1 << 10;
const PROFILES: u64 = 0x7f8;

/// A run of the file system's addresses, and where on this device its copies are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) len: u64,
    /// Starts of the copies on this device, in bytes.
    pub(super) copies: Vec<u64>,
}

/// All chunks of a file system, by their first address.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks(BTreeMap<u64, Chunk>);

/// A place of the file system's addresses on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The same byte in each copy.
    pub(super) copies: Vec<u64>,
    /// Bytes from there to the end of the chunk; never 0.
    pub(super) len: u64,
}

impl Chunks {
    /// The chunks that the superblock itself lists: those of the chunk tree.
    pub(super) fn bootstrap(of: &Superblock) -> Result<Chunks, TreeError> {
        let mut chunks = Chunks::default();
        let mut rest = of.sys_chunks.as_slice();
        while !rest.is_empty() {
            let (key, item) =
                rest.split_at_checked(KEY_LEN).ok_or_else(|| damaged("the list of system chunks is cut short"))?;
            let key = Key::decode(key, 0);
            let used = chunks.add(of, key, item)?;
            rest = item.get(used..).unwrap_or_default();
        }
        Ok(chunks)
    }

    /// Adds a chunk item; says how many bytes it took.
    pub(super) fn add(&mut self, of: &Superblock, key: Key, item: &[u8]) -> Result<usize, TreeError> {
        if key.kind != kind::CHUNK_ITEM || key.object != tree::CHUNK_OBJECT {
            return Err(damaged("an item among the chunks is not a chunk"));
        }
        let (chunk, used) = decode(of, key.offset, item)?;
        let end = key.offset.checked_add(chunk.len);
        let end = end.ok_or_else(|| damaged("a chunk ends past the last address"))?;
        let before = self.0.range(..end).next_back();
        match before {
            Some((at, same)) if *at == key.offset && *same == chunk => {}
            Some((at, other)) if at.saturating_add(other.len) > key.offset => {
                return Err(damaged(format!("two chunks hold address {}", key.offset)));
            }
            _ => {
                self.0.insert(key.offset, chunk);
            }
        }
        Ok(used)
    }

    /// Where `logical` is.
    pub(super) fn place(&self, logical: u64) -> Result<Place, TreeError> {
        let outside = || damaged(format!("address {logical} is in no chunk"));
        let (start, chunk) = self.0.range(..=logical).next_back().ok_or_else(outside)?;
        let within = logical - start;
        if within >= chunk.len {
            return Err(outside());
        }
        Ok(Place { copies: chunk.copies.iter().map(|c| c + within).collect(), len: chunk.len - within })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Chunk)> {
        self.0.iter().map(|(start, chunk)| (*start, chunk))
    }
}

/// Profiles read here keep whole copies on each stripe; the others only where they have a single stripe.
fn decode(of: &Superblock, start: u64, item: &[u8]) -> Result<(Chunk, usize), TreeError> {
    let stripes = usize::from(le16(item, 44));
    let used = CHUNK_LEN + stripes * STRIPE_LEN;
    if item.len() < used || stripes == 0 {
        return Err(damaged(format!("the chunk at {start} is cut short")));
    }
    let (len, profile) = (le64(item, 0), le64(item, 24) & PROFILES);
    let sector = u64::from(of.sector);
    if len == 0 || !len.is_multiple_of(sector) || !start.is_multiple_of(sector) {
        return Err(damaged(format!("the chunk at {start} has an odd size")));
    }
    match profile {
        0 | RAID0 | RAID10 if stripes == 1 => {}
        DUP | RAID1 | RAID1C3 | RAID1C4 if stripes <= MAX_COPIES => {}
        _ => {
            return Err(unsupported(format!("a chunk with profile {profile:#x} and {stripes} stripes")));
        }
    }
    let mut copies = Vec::new();
    for stripe in item[CHUNK_LEN..used].chunks_exact(STRIPE_LEN) {
        let at = le64(stripe, 8);
        if le64(stripe, 0) != of.device {
            return Err(unsupported("a chunk on another device"));
        }
        if at.checked_add(len).is_none_or(|end| end > of.device_bytes) {
            return Err(damaged(format!("the chunk at {start} ends past the device")));
        }
        copies.push(at);
    }
    Ok((Chunk { len, copies }, used))
}
