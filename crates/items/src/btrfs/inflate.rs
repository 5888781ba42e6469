//! Unpacking extents: zlib, lzo and zstd as btrfs frames them.
//!
//! Never knows: where the bytes came from. Memory: the caller's buffer, and the window of zstd, at most
//! [`ZSTD_WINDOW`].

use super::items::Packing;
use super::lzo;
use crate::bytes::{array, damaged};
use crate::tree::TreeError;
use miniz_oxide::inflate::{TINFLStatus, decompress_slice_iter_to_slice};
use std::io::Read;

/// The largest window that btrfs writes, as a power of two.
const ZSTD_WINDOW: u32 = 17;

/// Unpacks `packed` into `out`. Bytes that a whole stream does not reach are zeros; bytes past `out` are left out.
///
/// # Errors
/// `Damaged` for a stream that is not whole.
pub(super) fn unpack(
    packing: Packing,
    packed: &[u8],
    sector: usize,
    out: &mut [u8],
) -> Result<(), TreeError> {
    let len = match packing {
        Packing::None => {
            let n = packed.len().min(out.len());
            out[..n].copy_from_slice(&packed[..n]);
            Some(n)
        }
        Packing::Zlib => zlib(packed, out),
        Packing::Lzo => lzo_segments(packed, sector, out),
        Packing::Zstd => zstd_frame(packed, out),
    };
    let len = len.ok_or_else(|| damaged(format!("data cannot be unpacked ({packing:?})")))?;
    out[len..].fill(0);
    Ok(())
}

fn zlib(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    match decompress_slice_iter_to_slice(out, std::iter::once(packed), true, false) {
        Ok(len) => Some(len),
        Err(TINFLStatus::HasMoreOutput) => Some(out.len()),
        Err(_) => None,
    }
}

fn zstd_frame(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)
        .ok()?
        .single_frame();
    decoder.window_log_max(ZSTD_WINDOW).ok()?;
    let mut len = 0;
    while len < out.len() {
        match decoder.read(&mut out[len..]).ok()? {
            0 => break,
            n => len += n,
        }
    }
    Some(len)
}

/// A total length, then blocks of at most a sector, each behind its length. Such a length never crosses a sector
/// boundary of the stream: there it moves to the next.
fn lzo_segments(packed: &[u8], sector: usize, out: &mut [u8]) -> Option<usize> {
    let number = |at| Some(u32::from_le_bytes(array(packed, at)?) as usize);
    let total = number(0)?;
    let packed_len = packed.len();
    if total > packed_len {
        return None;
    }
    let (mut at, mut done) = (4, 0);
    let mut block = vec![0; sector];
    while at < total && done < out.len() {
        let left = sector - at % sector;
        if left < 4 {
            at += left;
            continue;
        }
        let len = number(at)?;
        let segment = packed.get(at + 4..(at + 4).checked_add(len)?)?;
        let got = lzo::unpack(segment, &mut block)?;
        let n = got.min(out.len() - done);
        out[done..done + n].copy_from_slice(&block[..n]);
        done += n;
        at += 4 + len;
    }
    Some(done)
}
