//! Numbers and checksums in bytes that may say anything: every access is checked.
//!
//! Never knows: what a structure is, or where it lies.

use crate::tree::TreeError;

/// Bytes of one structure with a name for messages.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub(super) data: &'a [u8],
    what: &'static str,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(data: &'a [u8], what: &'static str) -> Self {
        Bytes { data, what }
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// `len` bytes from `at`; damaged when they are not all there.
    pub(super) fn take(&self, at: usize, len: usize) -> Result<&'a [u8], TreeError> {
        let end = at.checked_add(len);
        end.and_then(|end| self.data.get(at..end)).ok_or_else(|| damaged(format!("{}: ends too early", self.what)))
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], TreeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(at, N)?);
        Ok(out)
    }

    pub(super) fn u8(&self, at: usize) -> Result<u8, TreeError> {
        Ok(self.take(at, 1)?[0])
    }

    pub(super) fn be16(&self, at: usize) -> Result<u16, TreeError> {
        Ok(u16::from_be_bytes(self.array(at)?))
    }

    pub(super) fn be32(&self, at: usize) -> Result<u32, TreeError> {
        Ok(u32::from_be_bytes(self.array(at)?))
    }

    pub(super) fn be64(&self, at: usize) -> Result<u64, TreeError> {
        Ok(u64::from_be_bytes(self.array(at)?))
    }

    pub(super) fn uuid(&self, at: usize) -> Result<[u8; 16], TreeError> {
        self.array(at)
    }
}

/// The error for bytes that contradict themselves.
pub(super) fn damaged(what: impl Into<String>) -> TreeError {
    TreeError::Damaged(what.into())
}

/// CRC-32C of `data` with the four bytes at `field` counted as zeros.
pub(super) fn checksum(data: &[u8], field: usize) -> Option<u32> {
    let (before, rest) = data.split_at_checked(field)?;
    let (_, after) = rest.split_at_checked(4)?;
    let crc = crc32c::crc32c(before);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    Some(crc32c::crc32c_append(crc, after))
}

/// Whether the little-endian checksum at `field` fits the rest of `data`.
pub(super) fn checksum_fits(data: &[u8], field: usize) -> bool {
    let stored = data.get(field..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_le_bytes(*b));
    stored.is_some() && stored == checksum(data, field)
}

/// Puts the right checksum at `field`; nothing happens when `data` is too short.
pub(super) fn put_checksum(data: &mut [u8], field: usize) {
    if let Some(crc) = checksum(data, field) {
        put(data, field, &crc.to_le_bytes());
    }
}

/// Copies `value` to `at` when all of it fits; says whether it did.
pub(super) fn put(data: &mut [u8], at: usize, value: &[u8]) -> bool {
    let range = at.checked_add(value.len()).and_then(|end| data.get_mut(at..end));
    match range {
        Some(place) => {
            place.copy_from_slice(value);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_survives_its_own_field_and_nothing_else() {
        let mut data = vec![7u8; 64];
        put_checksum(&mut data, 12);
        assert!(checksum_fits(&data, 12));
        for bit in 0..64 * 8 {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!checksum_fits(&flipped, 12), "bit {bit}");
        }
        assert!(!checksum_fits(&data[..15], 12));
    }

    #[test]
    fn reading_past_the_end_is_damage() {
        let bytes = Bytes::new(&[1, 2, 3], "three");
        assert_eq!(bytes.be16(1).unwrap(), 0x0203);
        assert!(matches!(bytes.be16(2), Err(TreeError::Damaged(_))));
        assert!(bytes.take(usize::MAX, 2).is_err());
    }
}
