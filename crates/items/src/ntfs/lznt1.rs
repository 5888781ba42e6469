//! LZNT1, the compression of NTFS: chunks of 4 KiB, each with a header of its own ([MS-XCA] section 2.5).
//!
//! Never knows: where the bytes came from.

use crate::bytes::{damaged, le16};
use crate::tree::TreeError;

const CHUNK: usize = 4096;

/// Expands a compressed unit to `size` bytes; what the chunks do not cover is zeros.
pub(super) fn expand(mut bytes: &[u8], size: usize) -> Result<Vec<u8>, TreeError> {
    let wrong = || damaged("a compressed unit does not expand");
    let mut out = Vec::with_capacity(size);
    while out.len() < size && bytes.len() >= 2 {
        let head = le16(bytes, 0);
        if head == 0 {
            break;
        }
        let len = usize::from(head & 0xFFF) + 1;
        let chunk = bytes.get(2..2 + len).ok_or_else(wrong)?;
        let start = out.len();
        match head & 0x8000 {
            0 => out.extend_from_slice(chunk),
            _ => expand_chunk(chunk, &mut out).ok_or_else(wrong)?,
        }
        if out.len() - start > CHUNK {
            return Err(wrong());
        }
        bytes = &bytes[2 + len..];
        // A short chunk stands for zeros to its end.
        out.resize(start + CHUNK, 0);
    }
    out.resize(size, 0);
    Ok(out)
}

/// Groups of a flag byte and eight tokens: a byte as it is, or a pair of distance and length whose 16 bits are
/// divided by how far the chunk has come.
fn expand_chunk(mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    while let Some((&flags, rest)) = bytes.split_first() {
        bytes = rest;
        for bit in 0..8 {
            if bytes.is_empty() || out.len() - start > CHUNK {
                break;
            }
            if flags >> bit & 1 == 0 {
                out.push(bytes[0]);
                bytes = &bytes[1..];
                continue;
            }
            let token = u16::from_le_bytes(*bytes.first_chunk()?);
            bytes = &bytes[2..];
            copy(token, start, out)?;
        }
    }
    Some(())
}

fn copy(token: u16, start: usize, out: &mut Vec<u8>) -> Option<()> {
    let done = out.len() - start;
    // Four bits of distance at least; one more each time the chunk outgrows what they reach.
    let bits = (4..=12).find(|&bits| done <= 1 << bits)?;
    let len = usize::from(token & (0xFFFF >> bits)) + 3;
    let distance = usize::from(token >> (16 - bits)) + 1;
    let from = out.len().checked_sub(distance).filter(|&from| from >= start)?;
    if done + len > CHUNK {
        return None;
    }
    for i in from..from + len {
        out.push(out[i]);
    }
    Some(())
}
