//! Links of NTFS: those of Windows, of its Linux subsystem, and of Interix (which ntfs-3g writes).
//!
//! Never knows: whether a target exists.

use crate::bytes::{le16, le32};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const MOUNT_POINT: u32 = 0xA000_0003;
const SYMLINK: u32 = 0xA000_000C;
const LX_SYMLINK: u32 = 0xA000_001D;

/// What a reparse point stands for.
pub(super) enum Reparse {
    /// A link, with its target.
    Link(OsString),
    /// Content that another program keeps elsewhere or in its own way, and the number that names the program.
    Foreign(u32),
}

/// Reads a reparse point; `None` when it is damaged.
pub(super) fn parse(value: &[u8]) -> Option<Reparse> {
    let tag = le32(value.get(..8)?, 0);
    let data = value.get(8..8 + usize::from(le16(value, 4)))?;
    match tag {
        SYMLINK => windows(data, 12).map(Reparse::Link),
        MOUNT_POINT => windows(data, 8).map(Reparse::Link),
        LX_SYMLINK => {
            let target = data.get(4..)?.to_vec();
            Some(Reparse::Link(OsString::from_vec(target)))
        }
        tag => Some(Reparse::Foreign(tag)),
    }
}

/// The name for people where there is one, else the one for the system; with slashes.
fn windows(data: &[u8], head: usize) -> Option<OsString> {
    let names = data.get(head..)?;
    let name = |at: usize| {
        let (from, len) = (usize::from(le16(data, at)), usize::from(le16(data, at + 2)));
        names.get(from..from + len)
    };
    let print = name(4)?;
    let name = if print.is_empty() { name(0)? } else { print };
    let letters = name.chunks_exact(2).map(|c| le16(c, 0));
    let slashed = letters.map(|c| if c == u16::from(b'\\') { u16::from(b'/') } else { c });
    Some(text(&slashed.collect::<Vec<_>>()))
}

/// The target of a link as Interix keeps it: a system file that begins with a mark.
pub(super) fn interix(content: &[u8]) -> Option<OsString> {
    let target = content.strip_prefix(b"IntxLNK\x01")?;
    let letters: Vec<_> = target.chunks_exact(2).map(|c| le16(c, 0)).collect();
    Some(text(&letters))
}

/// UTF-16 as bytes: UTF-8, and where half of a pair stands alone the three bytes that UTF-8 would have for it.
pub(super) fn text(letters: &[u16]) -> OsString {
    let mut bytes = Vec::with_capacity(letters.len());
    for letter in char::decode_utf16(letters.iter().copied()) {
        match letter {
            Ok(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(half) => {
                let half = u32::from(half.unpaired_surrogate());
                let low = |shift: u32| 0x80 | (half >> shift) as u8 & 0x3F;
                bytes.extend_from_slice(&[0xE0 | (half >> 12) as u8, low(6), low(0)]);
            }
        }
    }
    OsString::from_vec(bytes)
}
