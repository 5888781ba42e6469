//! Compression: zstd, one frame, its length known from outside.
//!
//! Never knows: what is compressed.

use std::cell::RefCell;

use zstd::zstd_safe::CParameter;

use crate::OpenError;

/// The level at which frames are compressed, and what is better for 128 KiB than what it comes with: 1.5 % smaller on a sample of system
/// files at the same speed, by `zstd -b3 -B131072 --zstd=hlog=17,clog=17,mml=4`. On the disk image of the bench the gain is no larger
/// than what the vault's random keys, which decide where chunks are cut, change from store to store.
const FRAMES: (i32, [CParameter; 3]) =
    (3, [CParameter::MinMatch(4), CParameter::HashLog(17), CParameter::ChainLog(17)]);

/// Compresses, with its memory kept from call to call.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// At a level of zstd.
    pub fn new(level: i32) -> Self {
        let mut inner = zstd::bulk::Compressor::new(level).expect("zstd makes a context unless memory is out");
        let plain = "the parameter is known to the bundled zstd";
        inner.include_checksum(false).expect(plain);
        inner.include_contentsize(false).expect(plain);
        inner.include_dictid(false).expect(plain);
        if level == FRAMES.0 {
            FRAMES.1.iter().for_each(|parameter| inner.set_parameter(*parameter).expect(plain));
        }
        Compressor(inner)
    }

    /// Compresses into `out`, which is overwritten. `false`: it would not get smaller; `out` is then of no use.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        out.reserve(plain.len());
        matches!(self.0.compress_to_buffer(plain, out), Ok(len) if len < plain.len())
    }

    /// Compresses even if that makes it a little longer: for metadata, which is always compressed.
    pub fn compress_always(&mut self, plain: &[u8]) -> Vec<u8> {
        self.0.compress(plain).expect("a buffer of the size that zstd asks for is enough")
    }
}

/// Decompresses, with its memory kept from call to call.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Default for Decompressor {
    fn default() -> Self {
        Decompressor(zstd::bulk::Decompressor::new().expect("zstd makes a context unless memory is out"))
    }
}

impl Decompressor {
    /// Decompresses into exactly `plain` bytes.
    ///
    /// # Errors
    /// [`OpenError::Compression`] if it is not zstd or has another length.
    pub fn decompress(&mut self, bytes: &[u8], plain: usize) -> Result<Vec<u8>, OpenError> {
        let mut out = Vec::with_capacity(plain);
        match self.0.decompress_to_buffer(bytes, &mut out) {
            Ok(len) if len == plain => Ok(out),
            _ => Err(OpenError::Compression),
        }
    }

    /// As [`Decompressor::decompress`], to where it is wanted; what is there on an error is of no use.
    ///
    /// # Errors
    /// As [`Decompressor::decompress`].
    pub fn decompress_to(&mut self, bytes: &[u8], plain: &mut [u8]) -> Result<(), OpenError> {
        let len = plain.len();
        match self.0.decompress_to_buffer(bytes, plain) {
            Ok(came) if came == len => Ok(()),
            _ => Err(OpenError::Compression),
        }
    }
}

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::default();
}

/// As [`Decompressor::decompress`], with one that each thread keeps: making one costs more than a small piece of metadata does.
///
/// # Errors
/// [`OpenError::Compression`].
pub fn decompress(bytes: &[u8], plain: usize) -> Result<Vec<u8>, OpenError> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(bytes, plain))
}

/// As [`Decompressor::decompress_to`], of what somebody else compressed: only what [`Compressor::compress`] could have made is taken, so
/// that every reader of the format can read it.
///
/// # Errors
/// [`OpenError::Compression`].
pub fn decompress_own(bytes: &[u8], plain: &mut [u8]) -> Result<(), OpenError> {
    // RFC 8878, 3.1.1: the magic number; a descriptor without length, checksum or dictionary; the exponent of the window.
    let plainly = matches!(bytes, [0x28, 0xb5, 0x2f, 0xfd, 0, window, ..] if window >> 3 <= WINDOW);
    let alone = zstd::zstd_safe::find_frame_compressed_size(bytes) == Ok(bytes.len());
    match plainly && alone {
        true => DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress_to(bytes, plain)),
        false => Err(OpenError::Compression),
    }
}

/// Windows up to 2^(10 + this) bytes: 8 MiB, the most that RFC 8878 asks of a decoder.
const WINDOW: u8 = 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_says_when_it_does_not_help() {
        let mut out = Vec::new();
        let plain = b"abc".repeat(1000);
        assert!(Compressor::new(1).compress(&plain, &mut out));
        assert_eq!(Decompressor::default().decompress(&out, plain.len()), Ok(plain.clone()));
        assert_eq!(Decompressor::default().decompress(&out, plain.len() - 1), Err(OpenError::Compression));
        let mut random = vec![0; 4096];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        assert!(!Compressor::new(1).compress(&random, &mut out));
    }
}
