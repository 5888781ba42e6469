//! Where the log begins and ends: by the cycle numbers on its blocks, then by its records.
//!
//! Never knows: what the records hold.

use super::area::{Area, Header, cycle_of, is_header};
use crate::tree::TreeError;
use crate::xfs::bytes::damaged;
use crate::xfs::disk::{BASIC_BLOCK, Disk};

/// Records that may have been on their way to the disk at once when the power went.
const IN_FLIGHT: usize = 8;
/// The blocks of one of them, at most.
const RECORD_BLOCKS: u64 = (256 << 10) / BASIC_BLOCK;

/// The part of the log that was not yet written back: from the tail to just before the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) tail: u64,
    pub(super) blocks: u64,
}

/// Finds the part of the log to replay; empty when the file system was unmounted cleanly.
///
/// # Errors
/// `Damaged` when the records at the end of the log contradict each other, `Unsupported`, `Io`.
pub(super) fn find(disk: &Disk<'_>, area: &Area) -> Result<Ends, TreeError> {
    let log = Scan { disk, area };
    let Some(head) = log.head()? else {
        return Ok(Ends { tail: 0, blocks: 0 });
    };
    let last = log.last_before(head)?;
    if log.is_unmount(&last, head)? {
        return Ok(Ends { tail: head, blocks: 0 });
    }
    let (last, head) = log.without_torn(last, head)?;
    if log.is_unmount(&last, head)? {
        return Ok(Ends { tail: head, blocks: 0 });
    }
    Ok(Ends { tail: last.tail, blocks: log.distance(last.tail, head) })
}

struct Scan<'a> {
    disk: &'a Disk<'a>,
    area: &'a Area,
}

impl Scan<'_> {
    fn distance(&self, from: u64, to: u64) -> u64 {
        (to + self.area.blocks - from) % self.area.blocks
    }

    fn cycle(&self, at: u64) -> Result<u32, TreeError> {
        self.area.cycle(self.disk, at)
    }

    /// The block after the last one written; `None` for a log that was never written.
    fn head(&self) -> Result<Option<u64>, TreeError> {
        let end = self.area.blocks;
        let (first, last) = (self.cycle(0)?, self.cycle(end - 1)?);
        if first == 0 {
            return Ok(None);
        }
        // (where the cycle changes, the cycle of what is older than the head)
        let (change, old) = match first == last {
            true => (end, last.wrapping_sub(1)),
            false => (self.first_of_cycle(last)?, last),
        };
        let head = self.before_holes(change, old)?;
        Ok(Some(self.before_partial(head)? % end))
    }

    /// The first block of the run with `cycle` that ends the log.
    fn first_of_cycle(&self, cycle: u32) -> Result<u64, TreeError> {
        let (mut before, mut at) = (0, self.area.blocks - 1);
        while before + 1 < at {
            let middle = before + (at - before) / 2;
            match self.cycle(middle)? == cycle {
                true => at = middle,
                false => before = middle,
            }
        }
        Ok(at)
    }

    /// Records may have reached the disk out of order: the head is before the first block that was not rewritten
    /// among those that may have been under way.
    fn before_holes(&self, change: u64, old: u32) -> Result<u64, TreeError> {
        let window = (IN_FLIGHT as u64 * RECORD_BLOCKS).min(self.area.blocks);
        if change < window {
            let start = self.area.blocks - (window - change);
            let hole = self.first_with(start, window - change, old.wrapping_sub(1))?;
            if let Some(hole) = hole {
                return Ok(hole);
            }
        }
        let start = change.saturating_sub(window);
        Ok(self.first_with(start, change - start, old)?.unwrap_or(change))
    }

    fn first_with(&self, start: u64, count: u64, cycle: u32) -> Result<Option<u64>, TreeError> {
        if count == 0 {
            return Ok(None);
        }
        let blocks = self.area.read(self.disk, start, count)?;
        for (at, block) in (start..).zip(blocks.chunks(BASIC_BLOCK as usize)) {
            if cycle_of(block)? == cycle {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Steps back before a record of which only a part was written.
    fn before_partial(&self, head: u64) -> Result<u64, TreeError> {
        let most = (RECORD_BLOCKS + IN_FLIGHT as u64 + 1).min(self.area.blocks);
        let found = self.header_before(head % self.area.blocks, most)?;
        let at = found.ok_or_else(|| damaged("the log has no record before its head"))?;
        let header = self.parse(at)?;
        let distance = match self.distance(at, head % self.area.blocks) {
            0 => self.area.blocks,
            distance => distance,
        };
        Ok(if distance == header.blocks() { head } else { at })
    }

    /// The nearest block before `head`, at most `most` back, that begins a record.
    fn header_before(&self, head: u64, most: u64) -> Result<Option<u64>, TreeError> {
        let step = 256;
        let mut back = 0;
        while back < most {
            let count = step.min(most - back);
            let start = (head + self.area.blocks * 2 - back - count) % self.area.blocks;
            let blocks = self.area.read(self.disk, start, count)?;
            let found = blocks.chunks(BASIC_BLOCK as usize).rposition(is_header);
            if let Some(index) = found {
                return Ok(Some((start + index as u64) % self.area.blocks));
            }
            back += count;
        }
        Ok(None)
    }

    fn parse(&self, at: u64) -> Result<Header, TreeError> {
        let header = self.area.header(self.disk, at)?;
        header.ok_or_else(|| damaged(format!("the log has no record at block {at}")))
    }

    fn last_before(&self, head: u64) -> Result<Header, TreeError> {
        let at = self.header_before(head, self.area.blocks)?;
        self.parse(at.ok_or_else(|| damaged("the log has no record"))?)
    }

    /// Whether the last record says that the file system was unmounted, and ends at the head.
    fn is_unmount(&self, last: &Header, head: u64) -> Result<bool, TreeError> {
        const UNMOUNT: u8 = 0x20;
        if last.operations != 1 || (last.at + last.blocks()) % self.area.blocks != head {
            return Ok(false);
        }
        let record = self.area.record(self.disk, last)?;
        Ok(record.is_some_and(|r| r.data.get(9).is_some_and(|flags| flags & UNMOUNT != 0)))
    }

    /// Goes back before the first record near the head whose checksum does not fit: it was being written when the
    /// power went, and so was all after it.
    fn without_torn(&self, last: Header, head: u64) -> Result<(Header, u64), TreeError> {
        if !self.area.checked {
            return Ok((last, head));
        }
        let mut near = vec![last.clone()];
        while near.len() < IN_FLIGHT {
            let oldest = &near[near.len() - 1];
            let room = self.distance(last.tail, oldest.at);
            match self.header_before(oldest.at, room)? {
                Some(at) => near.push(self.parse(at)?),
                None => break,
            }
        }
        near.reverse();
        for (i, header) in near.iter().enumerate() {
            let next = near.get(i + 1).map_or(head, |n| n.at);
            let whole = (header.at + header.blocks()) % self.area.blocks == next;
            if whole && self.area.record(self.disk, header)?.is_some() {
                continue;
            }
            return Ok((self.last_before(header.at)?, header.at));
        }
        Ok((last, head))
    }
}
