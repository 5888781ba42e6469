//! Numbers out of byte slices, and reads that cannot exceed a volume.
//!
//! Never knows: what the numbers mean.

use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// `N` bytes at `offset`; `None` when they are not all inside.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A little-endian number at `offset`; 0 when it is not inside. For structures whose length was checked before.
pub(crate) fn le16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array(bytes, offset).unwrap_or_default())
}

/// As [`le16`], four bytes.
pub(crate) fn le32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array(bytes, offset).unwrap_or_default())
}

/// As [`le16`], eight bytes.
pub(crate) fn le64(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(bytes, offset).unwrap_or_default())
}

/// As [`le16`], big-endian.
pub(crate) fn be16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes(array(bytes, offset).unwrap_or_default())
}

/// As [`le32`], big-endian.
pub(crate) fn be32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(array(bytes, offset).unwrap_or_default())
}

/// Reads `len` bytes; refuses before allocating when they are not inside the volume.
pub(crate) fn read_vec(volume: &dyn Volume, offset: u64, len: usize) -> Result<Vec<u8>, TreeError> {
    let end = offset.checked_add(len as u64);
    if end.is_none_or(|end| end > volume.size()) {
        return Err(TreeError::Damaged(format!("it points to {len} bytes at {offset}, past the end of the volume")));
    }
    let mut buf = vec![0; len];
    volume.read_at(offset, &mut buf).map_err(TreeError::Io)?;
    Ok(buf)
}

/// Shorthand for [`TreeError::Damaged`].
pub(crate) fn damaged(what: impl Into<String>) -> TreeError {
    TreeError::Damaged(what.into())
}

/// Shorthand for [`TreeError::Unsupported`].
pub(crate) fn unsupported(what: impl Into<String>) -> TreeError {
    TreeError::Unsupported(what.into())
}
