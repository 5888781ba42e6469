//! The log as a ring of 512-byte blocks, and the records in it.
//!
//! Never knows: what the operations in a record do.

use crate::tree::TreeError;
use crate::xfs::bytes::{Bytes, damaged};
use crate::xfs::disk::{BASIC_BLOCK, Disk};
use crate::xfs::superblock::Geometry;

const MAGIC: u32 = 0xfeed_babe;
const BLOCK: usize = BASIC_BLOCK as usize;
/// Blocks of data whose first words one header block can keep.
const PER_HEADER: usize = 64;
/// The largest record, in bytes.
const MAX_RECORD: u32 = 256 << 10;
const FORMAT_LITTLE_ENDIAN: u32 = 1;

/// Where the log lies.
pub(super) struct Area {
    start: u64,
    /// Length in basic blocks.
    pub(super) blocks: u64,
    uuid: [u8; 16],
    pub(super) checked: bool,
}

/// The first block of a record.
#[derive(Clone)]
pub(super) struct Header {
    /// Block at which it lies.
    pub(super) at: u64,
    pub(super) lsn: u64,
    /// Oldest block of the log that was still needed when this was written.
    pub(super) tail: u64,
    pub(super) operations: u32,
    len: u32,
    crc: u32,
    headers: u64,
}

/// A record with the words restored that the log had displaced.
pub(super) struct Record {
    pub(super) lsn: u64,
    pub(super) operations: u32,
    pub(super) data: Vec<u8>,
}

impl Header {
    /// Basic blocks from this header to the next record.
    pub(super) fn blocks(&self) -> u64 {
        self.headers + u64::from(self.len).div_ceil(BASIC_BLOCK)
    }
}

impl Area {
    /// Finds the log of a file system.
    ///
    /// # Errors
    /// `Unsupported` for a log on another device, `Damaged` for one outside the volume.
    pub(super) fn open(disk: &Disk<'_>, geometry: &Geometry) -> Result<Area, TreeError> {
        if geometry.log_start == 0 {
            return Err(TreeError::Unsupported("XFS with its log on another device".into()));
        }
        let start = geometry.offset(geometry.log_start, geometry.log_blocks.into());
        let start = start.ok_or_else(|| damaged("the log lies outside the file system"))?;
        let bytes = u64::from(geometry.log_blocks) * u64::from(geometry.block_size);
        if start.checked_add(bytes).is_none_or(|end| end > disk.size()) {
            return Err(damaged("the log lies outside the volume"));
        }
        let blocks = bytes / BASIC_BLOCK;
        Ok(Area { start, blocks, uuid: geometry.user_uuid, checked: geometry.v5 })
    }

    /// `count` blocks from `at` on, around the end of the log where needed. `count` is at most the log's length.
    pub(super) fn read(&self, disk: &Disk<'_>, at: u64, count: u64) -> Result<Vec<u8>, TreeError> {
        assert!(at < self.blocks && count <= self.blocks, "outside the log");
        let first = count.min(self.blocks - at) as usize * BLOCK;
        let mut data = vec![0; count as usize * BLOCK];
        let (before, after) = data.split_at_mut(first);
        disk.read(self.start + at * BASIC_BLOCK, before)?;
        disk.read(self.start, after)?;
        Ok(data)
    }

    /// The cycle that a block was last written in.
    pub(super) fn cycle(&self, disk: &Disk<'_>, at: u64) -> Result<u32, TreeError> {
        cycle_of(&self.read(disk, at, 1)?)
    }

    /// The header at `at`; none when that block begins no record.
    ///
    /// # Errors
    /// `Damaged` for a header that cannot be right, `Unsupported`, `Io`.
    pub(super) fn header(&self, disk: &Disk<'_>, at: u64) -> Result<Option<Header>, TreeError> {
        let block = self.read(disk, at, 1)?;
        match is_header(&block) {
            true => self.parse(at, &block).map(Some),
            false => Ok(None),
        }
    }

    fn parse(&self, at: u64, block: &[u8]) -> Result<Header, TreeError> {
        let b = Bytes::new(block, "log record");
        let wrong = |what: &str| damaged(format!("log record at block {at}: {what}"));
        let (version, len, operations) = (b.be32(8)?, b.be32(12)?, b.be32(40)?);
        if !(1..=2).contains(&version) {
            return Err(TreeError::Unsupported(format!("XFS log of version {version}")));
        }
        let (format, stored_size) = (b.be32(300)?, b.be32(320)?);
        if format != FORMAT_LITTLE_ENDIAN {
            return Err(TreeError::Unsupported(format!("XFS log written by another kind of machine ({format})")));
        }
        if b.uuid(304)? != self.uuid {
            return Err(wrong("of another file system"));
        }
        let lsn = b.be64(16)?;
        if lsn & 0xffff_ffff != at || lsn >> 32 != u64::from(b.be32(4)?) {
            return Err(wrong("it belongs elsewhere"));
        }
        let headers = match version {
            2 if stored_size > (PER_HEADER * BLOCK) as u32 => {
                u64::from(stored_size.div_ceil((PER_HEADER * BLOCK) as u32))
            }
            _ => 1,
        };
        let room = headers * (PER_HEADER * BLOCK) as u64;
        // The record that mkfs and repair write is longer than it says its buffer was.
        let closing = operations == 1;
        if len > MAX_RECORD || stored_size > MAX_RECORD || (u64::from(len) > room && !closing) {
            return Err(wrong("impossible length"));
        }
        let header =
            Header { at, lsn, tail: b.be64(24)? & 0xffff_ffff, operations, len, crc: le32(block, 32), headers };
        if header.blocks() > self.blocks || header.tail >= self.blocks {
            return Err(wrong("longer than the log"));
        }
        Ok(header)
    }

    /// Reads a whole record; `None` when its checksum does not fit.
    pub(super) fn record(&self, disk: &Disk<'_>, header: &Header) -> Result<Option<Record>, TreeError> {
        let raw = self.read(disk, header.at, header.blocks())?;
        let (headers, data) = raw.split_at(header.headers as usize * BLOCK);
        let data = &data[..header.len as usize];
        if !self.fits(header, headers, data) {
            return Ok(None);
        }
        let data = restore(headers, data);
        Ok(Some(Record { lsn: header.lsn, operations: header.operations, data }))
    }

    /// Version 4 logs may be without checksums; mkfs writes its one record without.
    fn fits(&self, header: &Header, headers: &[u8], data: &[u8]) -> bool {
        // The structure has 328 bytes on 64-bit machines and 324 on some others.
        let sum = |len| checksum(headers, data, len);
        let unsummed = header.crc == 0 && (!self.checked || header.operations == 1);
        unsummed || [328, 324].into_iter().any(|len| sum(len) == header.crc)
    }
}

fn le32(block: &[u8], at: usize) -> u32 {
    block.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

pub(super) fn is_header(block: &[u8]) -> bool {
    block.first_chunk() == Some(&MAGIC.to_be_bytes())
}

/// The cycle stamped on a block of the log.
pub(super) fn cycle_of(block: &[u8]) -> Result<u32, TreeError> {
    let b = Bytes::new(block, "log block");
    b.be32(if is_header(block) { 4 } else { 0 })
}

/// Checksum of a record as it lies: the first header with its own field as zeros, the further ones, the data.
fn checksum(headers: &[u8], data: &[u8], header_len: usize) -> u32 {
    let crc = crc32c::crc32c(&headers[..32]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    let mut crc = crc32c::crc32c_append(crc, &headers[36..header_len]);
    let further = data.len().div_ceil(PER_HEADER * BLOCK).saturating_sub(1);
    for header in headers[BLOCK..].chunks(BLOCK).take(further) {
        crc = crc32c::crc32c_append(crc, &header[..4 + 4 * PER_HEADER]);
    }
    crc32c::crc32c_append(crc, data)
}

/// Puts the first word of every block back in place of its cycle.
fn restore(headers: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    for (i, block) in out.chunks_mut(BLOCK).enumerate() {
        let first = if i < PER_HEADER { 44 } else { BLOCK * (i / PER_HEADER) + 4 };
        let at = first + 4 * (i % PER_HEADER);
        if let (Some(word), Some(place)) = (headers.get(at..at + 4), block.get_mut(..4)) {
            place.copy_from_slice(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_from_the_first_and_the_further_headers() {
        let mut headers = vec![0u8; 2 * BLOCK];
        headers[44..48].copy_from_slice(b"zero");
        headers[44 + 63 * 4..][..4].copy_from_slice(b"last");
        headers[BLOCK + 4..][..4].copy_from_slice(b"next");
        let data = restore(&headers, &vec![1u8; 65 * BLOCK]);
        assert_eq!(&data[..5], b"zero\x01");
        assert_eq!(&data[63 * BLOCK..][..4], b"last");
        assert_eq!(&data[64 * BLOCK..][..4], b"next");
    }
}
