//! The journal of ext3 and ext4 (jbd2): which blocks have a newer committed copy in it.
//!
//! Exactly the transactions that a mount would replay count: those from the recorded start whose commit block is
//! there, in sequence, less what was revoked. A log that is damaged before its end, and kinds this reader does not
//! know (fast commits pending, checksums of version 1, another device) are refused, not guessed.
//! Never knows: what the blocks mean to the file system.

use super::fs::Fs;
use super::inode::Inode;
use super::mapping::Mapping;
use super::superblock::{compat, crc};
use crate::bytes::{array, be16, be32, damaged, le16, le32, unsupported};
use crate::tree::TreeError;
use backstay_env::volume::Volume;
use std::collections::HashMap;

pub(super) const MAGIC: u32 = 0xC03B_3998;
const HEADER: usize = 12;

const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK_V1: u32 = 3;
const SUPERBLOCK_V2: u32 = 4;
const REVOKE: u32 = 5;

const COMPAT_CHECKSUM: u32 = 1;
const BITS64: u32 = 0x2;
const CSUM_V2: u32 = 0x8;
const CSUM_V3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
/// revoke, 64bit, csum_v2, csum_v3, fast_commit; not async_commit.
const KNOWN: u32 = 0x1 | BITS64 | CSUM_V2 | CSUM_V3 | FAST_COMMIT;
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;

/// The blocks that have a newer copy in the journal.
#[derive(Default)]
pub(super) struct Replay {
    copies: HashMap<u64, Copy>,
    seed: u32,
}

/// Where the copy of a block is.
#[derive(Clone)]
pub(super) struct Copy {
    /// The block of the file system that holds it.
    pub(super) block: u64,
    escaped: bool,
    sequence: u32,
    /// Its checksum and which bits of it are kept; no bits where the journal has none.
    checksum: (u32, u32),
}

impl Replay {
    pub(super) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    pub(super) fn copy_of(&self, block: u64) -> Option<&Copy> {
        self.copies.get(&block)
    }

    /// Checks the bytes of a copy and makes them what the block shall hold.
    pub(super) fn restore(&self, copy: &Copy, bytes: &mut [u8]) -> Result<(), TreeError> {
        let (stored, mask) = copy.checksum;
        let computed = crc(crc(self.seed, &copy.sequence.to_be_bytes()), bytes);
        if (computed ^ stored) & mask != 0 {
            let what = format!("the checksum of journal block {} is wrong", copy.block);
            return Err(damaged(what));
        }
        if copy.escaped {
            // A block that begins like a journal block is kept with its first four bytes zero.
            bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        }
        Ok(())
    }
}

/// What the journal holds that is not yet in its place.
pub(super) fn load<V: Volume>(fs: &Fs<V>, needs_recovery: bool) -> Result<Replay, TreeError> {
    if fs.sb.compat & compat::HAS_JOURNAL == 0 {
        return match needs_recovery {
            true => Err(damaged("it needs a journal's recovery and has no journal")),
            false => Ok(Replay::default()),
        };
    }
    if fs.sb.journal_inode == 0 {
        return match needs_recovery {
            true => Err(unsupported("the journal to replay is on another device")),
            false => Ok(Replay::default()),
        };
    }
    let log = Log::open(fs)?;
    match (needs_recovery, log.start) {
        (false, 0) => Ok(Replay::default()),
        (false, _) => Err(damaged("it says it is clean, its journal says it is not")),
        (true, _) => log.scan(),
    }
}

/// An opened journal: a ring of blocks `first..end` of the journal's file.
struct Log<'a, V> {
    fs: &'a Fs<V>,
    map: Mapping,
    first: u32,
    end: u32,
    start: u32,
    sequence: u32,
    incompat: u32,
    seed: u32,
}

/// One block image in the log.
struct Write {
    block: u64,
    copy: Copy,
}

/// What the scan found so far.
#[derive(Default)]
struct Found {
    committed: Vec<Write>,
    pending: Vec<Write>,
    revoked: HashMap<u64, u32>,
    pending_revoked: Vec<u64>,
}

impl Found {
    fn commit(&mut self, sequence: u32) {
        self.committed.append(&mut self.pending);
        for block in self.pending_revoked.drain(..) {
            self.revoked.insert(block, sequence);
        }
    }

    /// The last write of each block that was not revoked in the same or a later transaction.
    fn finish(self, seed: u32) -> Replay {
        let revoked = &self.revoked;
        let holds = |w: &Write| {
            let by = revoked.get(&w.block);
            by.is_none_or(|&by| later(w.copy.sequence, by))
        };
        let writes = self.committed.into_iter().filter(holds);
        Replay { copies: writes.map(|w| (w.block, w.copy)).collect(), seed }
    }
}

/// Whether transaction `a` comes after `b`; numbers wrap.
fn later(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

impl<'a, V: Volume> Log<'a, V> {
    fn open(fs: &'a Fs<V>) -> Result<Self, TreeError> {
        let inode = Inode::read(fs, fs.sb.journal_inode)?;
        let map = Mapping::of(&inode)?;
        let bytes = match map.find(fs, 0)?.block {
            Some(block) => fs.read_block(block)?,
            None => return Err(damaged("the journal has no first block")),
        };
        let kind = be32(&bytes, 4);
        if be32(&bytes, 0) != MAGIC || ![SUPERBLOCK_V1, SUPERBLOCK_V2].contains(&kind) {
            return Err(damaged("the journal has no superblock"));
        }
        let features = |at| match kind {
            SUPERBLOCK_V1 => 0,
            _ => be32(&bytes, at),
        };
        let uuid: [u8; 16] = array(&bytes, 0x30).unwrap_or_default();
        let log = Log {
            fs,
            map,
            first: be32(&bytes, 0x14),
            end: be32(&bytes, 0x10),
            start: be32(&bytes, 0x1C),
            sequence: be32(&bytes, 0x18),
            incompat: features(0x28),
            seed: crc(!0, &uuid),
        };
        log.check(&bytes, features(0x24), inode.size)
    }

    fn check(mut self, bytes: &[u8], compat: u32, file_size: u64) -> Result<Self, TreeError> {
        let bs = self.fs.sb.block_size;
        if self.has_checksums() {
            let sum = crc(crc(!0, &bytes[..0xFC]), &[0; 4]);
            if crc(sum, &bytes[0x100..0x400]) != be32(bytes, 0xFC) {
                return Err(damaged("the checksum of the journal's superblock is wrong"));
            }
        }
        if self.incompat & FAST_COMMIT != 0 {
            let blocks = match be32(bytes, 0x54) {
                0 => DEFAULT_FAST_COMMIT_BLOCKS,
                blocks => blocks,
            };
            self.end = self.end.saturating_sub(blocks);
        }
        let inside = u64::from(be32(bytes, 0x10)) <= file_size / bs;
        let started = self.start == 0 || (self.first..self.end).contains(&self.start);
        let size_fits = u64::from(be32(bytes, 0xC)) == bs;
        if !size_fits || !inside || self.first == 0 || self.first >= self.end || !started {
            return Err(damaged("the journal's superblock contradicts itself"));
        }
        let unknown = self.incompat & !KNOWN;
        if self.start != 0 && (unknown != 0 || compat & COMPAT_CHECKSUM != 0) {
            let what = format!("journal features {compat:#x}, {unknown:#x}");
            return Err(unsupported(what));
        }
        Ok(self)
    }

    fn has_checksums(&self) -> bool {
        self.incompat & (CSUM_V2 | CSUM_V3) != 0
    }

    fn place(&self, at: u32) -> Result<u64, TreeError> {
        let found = self.map.find(self.fs, at)?;
        found.block.ok_or_else(|| damaged("the journal has a hole"))
    }

    fn next(&self, at: u32) -> u32 {
        match at + 1 {
            next if next >= self.end => self.first,
            next => next,
        }
    }

    /// Follows the log from its start to its end.
    fn scan(&self) -> Result<Replay, TreeError> {
        let mut found = Found::default();
        let (mut at, mut sequence) = (self.start, self.sequence);
        let mut left = self.end - self.first;
        if at == 0 {
            self.refuse_fast_commits(sequence)?;
            return Ok(Replay::default());
        }
        loop {
            let bytes = self.fs.read_block(self.place(at)?)?;
            if be32(&bytes, 0) != MAGIC || be32(&bytes, 8) != sequence {
                break;
            }
            if !self.sum_is_right(&bytes) {
                self.refuse_if_continued(at, sequence)?;
                break;
            }
            let data = match be32(&bytes, 4) {
                DESCRIPTOR => self.descriptor(&bytes, at, sequence, left, &mut found)?,
                REVOKE => self.revoke(&bytes, &mut found)?,
                COMMIT => {
                    found.commit(sequence);
                    sequence = sequence.wrapping_add(1);
                    0
                }
                _ => break,
            };
            left = left.checked_sub(data + 1).ok_or_else(|| damaged("the journal's log has no end"))?;
            at = (0..=data).fold(at, |at, _| self.next(at));
        }
        self.refuse_fast_commits(sequence)?;
        Ok(found.finish(self.seed))
    }

    /// Reads the tags of a descriptor block; answers how many blocks of data follow it.
    fn descriptor(
        &self,
        bytes: &[u8],
        mut at: u32,
        sequence: u32,
        left: u32,
        found: &mut Found,
    ) -> Result<u32, TreeError> {
        let size = self.tag_size();
        let end = bytes.len() - if self.has_checksums() { 4 } else { 0 };
        let (mut offset, mut count) = (HEADER, 0);
        while offset + size <= end && count < left {
            let tag = self.tag(&bytes[offset..offset + size], sequence);
            at = self.next(at);
            count += 1;
            let copy = Copy { block: self.place(at)?, ..tag.copy };
            let block = tag.block;
            found.pending.push(Write { block, copy });
            if tag.last {
                break;
            }
            offset += size + if tag.same_uuid { 0 } else { 16 };
        }
        Ok(count)
    }

    fn tag_size(&self) -> usize {
        if self.incompat & CSUM_V3 != 0 {
            return 16;
        }
        let wide = if self.incompat & BITS64 != 0 { 4 } else { 0 };
        8 + wide + if self.incompat & CSUM_V2 != 0 { 2 } else { 0 }
    }

    fn tag(&self, bytes: &[u8], sequence: u32) -> Tag {
        let v3 = self.incompat & CSUM_V3 != 0;
        let flags = match v3 {
            true => be32(bytes, 4),
            false => u32::from(be16(bytes, 6)),
        };
        let high = match self.incompat & BITS64 {
            0 => 0,
            _ => u64::from(be32(bytes, 8)),
        };
        let checksum = match (v3, self.has_checksums()) {
            (true, _) => (be32(bytes, 12), !0),
            (false, true) => (u32::from(be16(bytes, 4)), 0xFFFF),
            (false, false) => (0, 0),
        };
        Tag {
            block: high << 32 | u64::from(be32(bytes, 0)),
            same_uuid: flags & 2 != 0,
            last: flags & 8 != 0,
            copy: Copy { block: 0, escaped: flags & 1 != 0, sequence, checksum },
        }
    }

    fn revoke(&self, bytes: &[u8], found: &mut Found) -> Result<u32, TreeError> {
        let size = if self.incompat & BITS64 != 0 { 8 } else { 4 };
        let room = bytes.len() - if self.has_checksums() { 4 } else { 0 };
        let end = be32(bytes, HEADER) as usize;
        if end < HEADER + 4 || end > room {
            return Err(damaged("a revocation in the journal is longer than its block"));
        }
        for entry in bytes[HEADER + 4..end].chunks_exact(size) {
            let high = if size == 8 { be32(entry, 0) } else { 0 };
            let block = u64::from(high) << 32 | u64::from(be32(entry, size - 4));
            found.pending_revoked.push(block);
        }
        Ok(0)
    }

    fn sum_is_right(&self, bytes: &[u8]) -> bool {
        if !self.has_checksums() {
            return true;
        }
        let at = match be32(bytes, 4) {
            COMMIT => 0x10,
            _ => bytes.len() - 4,
        };
        let sum = crc(crc(self.seed, &bytes[..at]), &[0; 4]);
        crc(sum, &bytes[at + 4..]) == be32(bytes, at)
    }

    /// A block with a wrong checksum ends the log when it was being written as the power went off: then nothing
    /// was committed after it. If something was, the log is damaged, and what follows must not be left out.
    fn refuse_if_continued(&self, from: u32, sequence: u32) -> Result<(), TreeError> {
        let mut at = from;
        for _ in self.first..self.end {
            at = self.next(at);
            let bytes = self.fs.read_block(self.place(at)?)?;
            let number = be32(&bytes, 8);
            let committed = be32(&bytes, 0) == MAGIC && be32(&bytes, 4) == COMMIT;
            let follows = number == sequence || later(number, sequence);
            if committed && follows && self.sum_is_right(&bytes) {
                let what = format!("the journal is damaged at transaction {sequence}");
                return Err(damaged(what));
            }
        }
        Ok(())
    }

    /// Fast commits follow the last transaction in an area of their own; each begins with a tag that names it.
    fn refuse_fast_commits(&self, sequence: u32) -> Result<(), TreeError> {
        const HEAD: u16 = 9;
        if self.incompat & FAST_COMMIT == 0 {
            return Ok(());
        }
        for at in [self.end, self.end + 1] {
            let bytes = self.fs.read_block(self.place(at)?)?;
            let follows = [sequence, sequence.wrapping_add(1)].contains(&le32(&bytes, 8));
            if le16(&bytes, 0) == HEAD && follows {
                return Err(unsupported("the journal holds fast commits to replay"));
            }
        }
        Ok(())
    }
}

struct Tag {
    block: u64,
    same_uuid: bool,
    last: bool,
    copy: Copy,
}
