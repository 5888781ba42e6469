//! Records of NTFS: blocks protected by update sequences, and the attributes in a file's record.
//!
//! Never knows: where records are, or what attributes mean.

use crate::bytes::{damaged, le16, le32, le64};
use crate::tree::TreeError;

pub(super) mod kind {
    pub(in crate::ntfs) const STANDARD_INFORMATION: u32 = 0x10;
    pub(in crate::ntfs) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(in crate::ntfs) const FILE_NAME: u32 = 0x30;
    pub(in crate::ntfs) const VOLUME_NAME: u32 = 0x60;
    pub(in crate::ntfs) const VOLUME_INFORMATION: u32 = 0x70;
    pub(in crate::ntfs) const DATA: u32 = 0x80;
    pub(in crate::ntfs) const INDEX_ROOT: u32 = 0x90;
    pub(in crate::ntfs) const INDEX_ALLOCATION: u32 = 0xA0;
    pub(in crate::ntfs) const BITMAP: u32 = 0xB0;
    pub(in crate::ntfs) const REPARSE_POINT: u32 = 0xC0;
}

const END: u32 = 0xFFFF_FFFF;
/// Update sequences guard blocks of 512 bytes, whatever the sector size.
const STRIDE: usize = 512;

/// Checks the update sequence of a block and puts back the bytes it replaced: a block of which only a part was
/// written is found here.
pub(super) fn fix_up(block: &mut [u8], magic: &[u8; 4], what: &str) -> Result<(), TreeError> {
    let wrong = |why: &str| Err(damaged(format!("{what}: {why}")));
    if !block.starts_with(magic) {
        return wrong("it has another signature");
    }
    let (at, count) = (usize::from(le16(block, 4)), usize::from(le16(block, 6)));
    if count != block.len() / STRIDE + 1 || at + 2 * count > STRIDE - 2 || at < 8 {
        // Records of 256 bytes have no room for a whole stride; they do not occur on disks in use.
        return wrong("its update sequence is not inside it");
    }
    let sequence: Vec<u8> = block[at..at + 2 * count].to_vec();
    for (i, end) in (STRIDE - 2..block.len()).step_by(STRIDE).enumerate() {
        if block[end..end + 2] != sequence[..2] {
            return wrong("it was written only in part");
        }
        block[end..end + 2].copy_from_slice(&sequence[2 * i + 2..2 * i + 4]);
    }
    Ok(())
}

/// A file's record, or an extension of one.
pub(super) struct Record {
    bytes: Vec<u8>,
    attributes: Vec<std::ops::Range<usize>>,
}

impl Record {
    pub(super) fn parse(number: u64, mut bytes: Vec<u8>) -> Result<Self, TreeError> {
        fix_up(&mut bytes, b"FILE", &format!("record {number}"))?;
        let attributes =
            attributes(&bytes).ok_or_else(|| damaged(format!("record {number}: an attribute is not inside it")))?;
        Ok(Record { bytes, attributes })
    }

    pub(super) fn in_use(&self) -> bool {
        le16(&self.bytes, 0x16) & 1 != 0
    }

    pub(super) fn is_directory(&self) -> bool {
        le16(&self.bytes, 0x16) & 2 != 0
    }

    /// The number of the record that this one extends; 0 when it stands for itself.
    pub(super) fn base(&self) -> u64 {
        reference(le64(&self.bytes, 0x20))
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        let attribute = |r: &std::ops::Range<usize>| Attribute(&self.bytes[r.clone()]);
        self.attributes.iter().map(attribute)
    }
}

/// The record number in a reference; the other 16 bits tell its generations apart.
pub(super) fn reference(number: u64) -> u64 {
    number & 0xFFFF_FFFF_FFFF
}

fn attributes(bytes: &[u8]) -> Option<Vec<std::ops::Range<usize>>> {
    let end = (le32(bytes, 0x18) as usize).min(bytes.len());
    let mut at = usize::from(le16(bytes, 0x14));
    let mut found = Vec::new();
    while at + 4 <= end && le32(bytes, at) != END {
        let len = le32(bytes, at + 4) as usize;
        let next = at.checked_add(len).filter(|&next| next <= end)?;
        let minimum = match bytes.get(at + 8)? {
            0 => 0x18,
            _ => 0x40,
        };
        if len < minimum {
            return None;
        }
        found.push(at..next);
        at = next;
    }
    Some(found)
}

/// One attribute; its fixed fields are inside.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a>(&'a [u8]);

impl<'a> Attribute<'a> {
    pub(super) fn kind(&self) -> u32 {
        le32(self.0, 0)
    }

    pub(super) fn flags(&self) -> u16 {
        le16(self.0, 0xC)
    }

    /// Whether it bears `name`, in ASCII letters.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let (len, at) = (usize::from(self.0[9]), usize::from(le16(self.0, 0xA)));
        let letters = name.encode_utf16().enumerate();
        let inside = at + 2 * len <= self.0.len();
        len == name.len() && inside && letters.fold(true, |same, (i, c)| same && le16(self.0, at + 2 * i) == c)
    }

    pub(super) fn is_resident(&self) -> bool {
        self.0[8] == 0
    }

    /// The value of a resident attribute; `None` when it is not inside.
    pub(super) fn value(&self) -> Option<&'a [u8]> {
        let (len, at) = (le32(self.0, 0x10) as usize, usize::from(le16(self.0, 0x14)));
        let inside = self.0.get(at..at.checked_add(len)?);
        inside.filter(|_| self.is_resident())
    }

    pub(super) fn first_vcn(&self) -> u64 {
        le64(self.0, 0x10)
    }

    pub(super) fn last_vcn(&self) -> u64 {
        le64(self.0, 0x18)
    }

    /// The encoded runs of an attribute that is not resident.
    pub(super) fn runs(&self) -> &'a [u8] {
        let at = usize::from(le16(self.0, 0x20));
        self.0.get(at..).unwrap_or_default()
    }

    /// Clusters in a compressed unit, as a power of two; 0 when it was never compressed.
    pub(super) fn compression_unit(&self) -> u16 {
        le16(self.0, 0x22)
    }

    pub(super) fn size(&self) -> u64 {
        le64(self.0, 0x30)
    }

    /// Bytes that were ever written; what follows reads as zeros, whatever is on disk.
    pub(super) fn initialized(&self) -> u64 {
        le64(self.0, 0x38)
    }
}
