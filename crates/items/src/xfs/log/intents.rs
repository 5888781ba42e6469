//! Operations that the log announces and later calls done. What was announced last and not done, a mount would
//! finish; here only what changes the content of files is.
//!
//! Never knows: how blocks are kept.
//! Why the rest may be left: an unfinished free leaves blocks in use that could be free, and unfinished counts of
//! owners and attributes are not read here; unfinished counts of users are remembered as such.

use std::collections::BTreeMap;

use super::transaction::{Item, le32, le64};
use crate::tree::TreeError;
use crate::xfs::bytes::damaged;
use crate::xfs::disk::Disk;
use crate::xfs::extents::{Extent, Remap};

const COUNTS: u16 = 0x1242;
const MAP: u16 = 0x1244;
const EXCHANGE: u16 = 0x1248;
/// Announced, with done as the next number: frees, owners, references, maps, attributes, exchanges.
const ANNOUNCED: [u16; 6] = [0x1236, 0x1240, COUNTS, MAP, 0x1246, EXCHANGE];

const ATTRIBUTES: u32 = 1 << 31;
const UNWRITTEN: u32 = 1 << 30;
const REALTIME: u32 = 1 << 29;

/// What is announced and not done, in the order of the announcements.
#[derive(Default)]
pub(super) struct Intents {
    open: BTreeMap<u64, Announced>,
    places: BTreeMap<(u16, u64), u64>,
    count: u64,
}

enum Announced {
    /// Nothing that is read here depends on it.
    Harmless,
    /// How many users blocks have.
    Counts,
    Map(Vec<(u64, Remap)>),
    /// Two files whose content is being exchanged.
    Exchange([u64; 2]),
}

impl Intents {
    /// Takes an announcement, or the word that one is done.
    ///
    /// # Errors
    /// `Unsupported` for an item of an unknown kind, `Damaged`.
    pub(super) fn note(&mut self, item: &Item) -> Result<(), TreeError> {
        let (kind, head) = (item.kind(), item.region(0));
        let id = le64(head, 8).ok_or_else(|| damaged("log: an announcement too short"))?;
        if ANNOUNCED.contains(&kind) {
            let announced = match kind {
                COUNTS => Announced::Counts,
                MAP => Announced::Map(maps(head)?),
                EXCHANGE => {
                    let inodes = le64(head, 16).zip(le64(head, 24));
                    let (a, b) = inodes.ok_or_else(|| damaged("log: an exchange too short"))?;
                    Announced::Exchange([a, b])
                }
                _ => Announced::Harmless,
            };
            self.count += 1;
            self.places.insert((kind, id), self.count);
            self.open.insert(self.count, announced);
            return Ok(());
        }
        let announcement = kind.wrapping_sub(1);
        if !ANNOUNCED.contains(&announcement) {
            return Err(TreeError::Unsupported(format!("XFS log items of kind {kind:#x}")));
        }
        if let Some(place) = self.places.remove(&(announcement, id)) {
            self.open.remove(&place);
        }
        Ok(())
    }

    /// Finishes what changes the content of files.
    ///
    /// # Errors
    /// `Unsupported` for an exchange of two files' content that was under way.
    pub(super) fn finish(&mut self, disk: &mut Disk<'_>) -> Result<(), TreeError> {
        for announced in std::mem::take(&mut self.open).into_values() {
            match announced {
                Announced::Harmless => {}
                Announced::Counts => disk.note_old_counts(),
                Announced::Map(maps) => maps.into_iter().for_each(|(inode, map)| disk.note_remap(inode, map)),
                Announced::Exchange([a, b]) => {
                    let what = format!("an unfinished exchange of the inodes {a} and {b} in the log of XFS");
                    return Err(TreeError::Unsupported(what));
                }
            }
        }
        Ok(())
    }
}

/// The changes of file content in one announcement.
fn maps(head: &[u8]) -> Result<Vec<(u64, Remap)>, TreeError> {
    let count = le32(head, 4).unwrap_or(0);
    let mut out = Vec::new();
    for i in 0..u64::from(count) {
        let record = usize::try_from(16 + i * 32).ok().and_then(|at| head.get(at..));
        let parsed = record.and_then(|r| Some((le64(r, 0)?, le64(r, 8)?, le64(r, 16)?, le32(r, 24)?, le32(r, 28)?)));
        let parsed = parsed.ok_or_else(|| damaged("log: a map announcement too short"))?;
        let (inode, block, file_block, len, flags) = parsed;
        if flags & REALTIME != 0 {
            return Err(TreeError::Unsupported("XFS realtime maps in the log".into()));
        }
        let unwritten = flags & UNWRITTEN != 0;
        let extent = Extent { file_block, block, len: len.into(), unwritten };
        if file_block.checked_add(extent.len).is_none() {
            return Err(damaged("log: a map past the end of any file"));
        }
        match (flags & ATTRIBUTES, flags & 0xff) {
            (0, 1) => out.push((inode, Remap { extent, mapped: true })),
            (0, 2) => out.push((inode, Remap { extent, mapped: false })),
            (0, other) => return Err(damaged(format!("log: a map announcement of kind {other}"))),
            _ => {} // attributes are not read
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An item of `kind` with one region: its head, an id, and what follows.
    fn item(kind: u16, count: u32, id: u64, rest: &[u64]) -> Item {
        let mut head = kind.to_le_bytes().to_vec();
        head.extend([1, 0]);
        head.extend(count.to_le_bytes());
        head.extend(id.to_le_bytes());
        rest.iter().for_each(|word| head.extend(word.to_le_bytes()));
        Item::of_one_region(head)
    }

    fn disk() -> Disk<'static> {
        Disk::new(Box::new(Vec::new()))
    }

    #[test]
    fn what_is_announced_and_not_done_is_finished_in_order() {
        let (map, unmap) = (1u64 << 32, 2u64 << 32);
        let mut intents = Intents::default();
        // inode, block, file block, length with flags above
        intents.note(&item(MAP, 1, 7, &[130, 0, 20, 5 | unmap])).unwrap();
        intents.note(&item(MAP, 1, 8, &[130, 900, 22, 1 | map])).unwrap();
        intents.note(&item(MAP, 1, 9, &[131, 900, 22, 1 | map])).unwrap();
        intents.note(&item(MAP + 1, 0, 9, &[])).unwrap();
        intents.note(&item(0x1236, 0, 7, &[])).unwrap();
        let mut disk = disk();
        intents.finish(&mut disk).unwrap();
        let found: Vec<_> = disk.remaps(130).iter().map(|r| (r.mapped, r.extent.file_block, r.extent.len)).collect();
        assert_eq!(found, [(false, 20, 5), (true, 22, 1)]);
        assert!(disk.remaps(131).is_empty());
        assert!(!disk.counts_are_old());
        let mut intents = Intents::default();
        intents.note(&item(COUNTS, 1, 7, &[0, 1])).unwrap();
        intents.finish(&mut disk).unwrap();
        assert!(disk.counts_are_old());
    }

    #[test]
    fn what_is_unknown_or_cannot_be_finished_is_refused() {
        let mut intents = Intents::default();
        assert!(matches!(intents.note(&item(0x1299, 0, 1, &[])), Err(TreeError::Unsupported(_))));
        assert!(matches!(intents.note(&item(MAP, 2, 1, &[0; 4])), Err(TreeError::Damaged(_))));
        intents.note(&item(EXCHANGE, 0, 1, &[130, 131])).unwrap();
        assert!(matches!(intents.finish(&mut disk()), Err(TreeError::Unsupported(_))));
        let mut intents = Intents::default();
        intents.note(&item(EXCHANGE, 0, 1, &[130, 131])).unwrap();
        intents.note(&item(EXCHANGE + 1, 0, 1, &[])).unwrap();
        intents.finish(&mut disk()).unwrap();
    }
}
