//! The log: what was promised to be on the volume and may not be there yet. Replayed into memory, in the order and
//! by the rules that a mount follows.
//!
//! Never knows: files, names, or free space.
//! Invariant: what it cannot understand it refuses; a replay is whole or an error.

mod area;
mod buffer;
mod ends;
mod inode;
mod intents;
mod transaction;

use std::collections::BTreeMap;

use self::area::{Area, Record};
use self::intents::Intents;
use self::transaction::{Assembly, Item, Transaction};
use super::bytes::damaged;
use super::disk::{BASIC_BLOCK, Disk, LONGEST_BUFFER};
use super::superblock::Geometry;
use crate::tree::TreeError;

/// Lays what the log holds over `disk`. Does nothing after a clean unmount.
///
/// # Errors
/// `Damaged` for a log that contradicts itself, `Unsupported` for what is unknown here; `Io`. The overlay is then
/// useless: it may hold any part of the changes.
pub(super) fn replay(disk: &mut Disk<'_>, geometry: &Geometry) -> Result<(), TreeError> {
    let area = Area::open(disk, geometry)?;
    let ends = ends::find(disk, &area)?;
    if ends.blocks == 0 {
        return Ok(());
    }
    let unknown = geometry.unknown_ro_features | geometry.unknown_log_features;
    if unknown != 0 {
        let what = format!("a log to replay on XFS with unknown features {unknown:#x}");
        return Err(TreeError::Unsupported(what));
    }
    // New inodes and checksums take more room than what the log says of them; this much more only a hostile log.
    let most = (64 << 20) + ends.blocks * BASIC_BLOCK * 64;
    let mut replay = Replay::new(geometry.clone());
    each_transaction(disk, &area, ends, |_, transaction| replay.note_cancelled(&transaction))?;
    each_transaction(disk, &area, ends, |disk, transaction| {
        replay.apply(disk, &transaction)?;
        match disk.replaced_bytes() > most {
            true => Err(damaged("log: it changes far more than it holds")),
            false => Ok(()),
        }
    })?;
    replay.seal(disk)?;
    replay.intents.finish(disk)
}

/// Hands every committed transaction over, in the order of their commits.
fn each_transaction(
    disk: &mut Disk<'_>,
    area: &Area,
    ends: ends::Ends,
    mut take: impl FnMut(&mut Disk<'_>, Transaction) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let mut assembly = Assembly::default();
    let (mut at, mut left) = (ends.tail, ends.blocks);
    while left > 0 {
        let (record, blocks) = record(disk, area, at)?;
        left = left.checked_sub(blocks).ok_or_else(|| damaged("log: a record runs past its head"))?;
        at = (at + blocks) % area.blocks;
        for transaction in assembly.feed(&record)? {
            transaction.check()?;
            take(disk, transaction)?;
        }
    }
    Ok(())
}

fn record(disk: &Disk<'_>, area: &Area, at: u64) -> Result<(Record, u64), TreeError> {
    let header = area.header(disk, at)?;
    let header = header.ok_or_else(|| damaged(format!("the log has no record at block {at}")))?;
    let record = area.record(disk, &header)?;
    let record = record.ok_or_else(|| damaged(format!("log record at block {at}: wrong checksum")))?;
    Ok((record, header.blocks()))
}

/// What kinds of items change, by the numbers they carry.
mod kind {
    pub(super) const INODE: u16 = 0x123b;
    pub(super) const BUFFER: u16 = 0x123c;
    pub(super) const DQUOT: u16 = 0x123d;
    pub(super) const QUOTA_OFF: u16 = 0x123e;
    pub(super) const INODE_CREATE: u16 = 0x123f;
}

/// A piece of metadata as buffers of the log name it, in basic blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) block: u64,
    pub(super) len: u32,
}

impl Place {
    fn read(self, disk: &Disk<'_>) -> Result<Vec<u8>, TreeError> {
        if self.len == 0 || u64::from(self.len) > LONGEST_BUFFER {
            return Err(damaged("log: a buffer of impossible length"));
        }
        let offset = self.block.checked_mul(BASIC_BLOCK);
        let offset = offset.ok_or_else(|| damaged("log: a buffer outside the volume"))?;
        disk.read_vec(offset, self.len as usize * BASIC_BLOCK as usize)
    }
}

/// A replay under way.
pub(super) struct Replay {
    /// As the superblock says that was replayed last: the file system may have grown.
    geometry: Geometry,
    /// Pieces of metadata that were freed, and how many frees are still to come. What the log says of them before
    /// must not touch them: they may hold a file's data by now.
    cancelled: BTreeMap<Place, u32>,
    /// Changed by transactions that began at `lsn`: to get that number and a new checksum when the next begin.
    /// Not before, for the number on a block decides whether a transaction is older than the block.
    touched: BTreeMap<Place, buffer::Seal>,
    lsn: u64,
    intents: Intents,
}

impl Replay {
    fn new(geometry: Geometry) -> Self {
        let (cancelled, touched) = (BTreeMap::new(), BTreeMap::new());
        Replay { geometry, cancelled, touched, lsn: 0, intents: Intents::default() }
    }

    fn note_cancelled(&mut self, transaction: &Transaction) -> Result<(), TreeError> {
        for item in transaction.items.iter().filter(|item| item.kind() == kind::BUFFER) {
            let described = buffer::Described::parse(item)?;
            if described.is_cancel() {
                *self.cancelled.entry(described.place).or_default() += 1;
            }
        }
        Ok(())
    }

    fn is_cancelled(&self, place: Place) -> bool {
        self.cancelled.contains_key(&place)
    }

    /// One free of a piece of metadata has been passed.
    fn passed_cancel(&mut self, place: Place) {
        if let Some(left) = self.cancelled.get_mut(&place) {
            *left -= 1;
            if *left == 0 {
                self.cancelled.remove(&place);
            }
        }
    }

    /// Applies one transaction: the superblock, buffers, then all else, then buffers of inodes, then frees.
    fn apply(&mut self, disk: &mut Disk<'_>, transaction: &Transaction) -> Result<(), TreeError> {
        if transaction.lsn != self.lsn {
            self.seal(disk)?;
            self.lsn = transaction.lsn;
        }
        let mut ordered = Vec::with_capacity(transaction.items.len());
        for item in &transaction.items {
            ordered.push((rank(item)?, item));
        }
        ordered.sort_by_key(|(rank, _)| *rank);
        ordered.into_iter().try_for_each(|(_, item)| self.apply_item(disk, item))
    }

    fn apply_item(&mut self, disk: &mut Disk<'_>, item: &Item) -> Result<(), TreeError> {
        match item.kind() {
            kind::BUFFER => self.apply_buffer(disk, item),
            kind::INODE => self.apply_inode(disk, item),
            kind::INODE_CREATE => self.apply_inode_create(disk, item),
            // Quotas are not read.
            kind::DQUOT | kind::QUOTA_OFF => Ok(()),
            _ => self.intents.note(item),
        }
    }
}

/// In what order the items of a transaction are applied.
fn rank(item: &Item) -> Result<u8, TreeError> {
    Ok(match item.kind() {
        kind::INODE_CREATE => 1,
        kind::BUFFER => match buffer::Described::parse(item)? {
            described if described.is_cancel() => 4,
            described if described.is_inodes() => 3,
            described if described.is_superblock() => 0,
            _ => 1,
        },
        _ => 2,
    })
}
