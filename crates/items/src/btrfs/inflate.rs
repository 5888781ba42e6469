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
pub(super) fn unpack(packing: Packing, packed: &[u8], sector: usize, out: &mut [u8]) -> Result<(), TreeError> {
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
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?.single_frame();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        (0..20_000_u32).flat_map(|i| format!("{} ", i % 999).into_bytes()).collect()
    }

    /// One LZO block of literals, framed as on disk.
    fn lzo_literals(bytes: &[u8; 200]) -> Vec<u8> {
        let mut block = vec![17 + 200];
        block.extend(bytes);
        block.extend([17, 0, 0]);
        let total = (8 + block.len() as u32).to_le_bytes();
        [&total[..], &(block.len() as u32).to_le_bytes(), &block].concat()
    }

    fn packed() -> Vec<(Packing, Vec<u8>, Vec<u8>)> {
        let text = text();
        let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&text, 6);
        // As the kernel does: no window larger than 128 KiB.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(ZSTD_WINDOW).unwrap();
        std::io::Write::write_all(&mut encoder, &text).unwrap();
        let zstd = encoder.finish().unwrap();
        let lzo = lzo_literals(text[..200].try_into().unwrap());
        vec![
            (Packing::Zlib, zlib, text.clone()),
            (Packing::Zstd, zstd, text.clone()),
            (Packing::Lzo, lzo, text[..200].to_vec()),
        ]
    }

    #[test]
    fn whole_streams_with_zeros_behind_them() {
        for (packing, mut stream, text) in packed() {
            stream.resize(stream.len().next_multiple_of(4096), 0);
            let mut out = vec![1; text.len() + 10];
            unpack(packing, &stream, 4096, &mut out).unwrap();
            assert!(out[..text.len()] == text && out[text.len()..] == [0; 10], "{packing:?}");
            let mut less = vec![1; 150];
            unpack(packing, &stream, 4096, &mut less).unwrap();
            assert!(less == text[..150], "{packing:?}");
        }
    }

    #[test]
    fn a_stream_cut_short_is_damage() {
        for (packing, stream, text) in packed() {
            let mut out = vec![0; text.len()];
            for len in [0, 1, 3, 4, stream.len() / 2, stream.len() - 1] {
                let done = unpack(packing, &stream[..len], 4096, &mut out);
                // The last bytes are the checksum, or an end that is not needed when all was unpacked.
                assert!(done.is_err() || out == text, "{packing:?} {len}");
            }
        }
    }

    #[test]
    fn defaced_streams_are_bounded() {
        let mut seed = 1_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize
        };
        let mut refused = 0;
        for (packing, stream, text) in packed() {
            let mut out = vec![0; text.len()];
            for _ in 0..2000 {
                let mut stream = stream.clone();
                for _ in 0..1 + random() % 3 {
                    let at = random() % stream.len().min(4000);
                    stream[at] = random() as u8;
                }
                refused += usize::from(unpack(packing, &stream, 4096, &mut out).is_err());
            }
        }
        assert!(refused > 1000, "only {refused} refused");
    }
}
