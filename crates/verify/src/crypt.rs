//! Opening what is sealed: boxes, frames, derived keys (keys.md), and
//! opening what is compressed.
//!
//! Never knows: files, rows, or which object the bytes came from; the caller
//! binds that by the `aad`. Seals nothing.

use std::fmt;

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// A secret of 32 bytes. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A key made from this one for one purpose: BLAKE3's key derivation.
    pub fn derive(&self, context: &str) -> Self {
        Self(blake3::derive_key(context, &self.0))
    }
}

/// What is sealed does not open: another key, another place, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not open under its key")]
pub struct NotOpened;

/// A box is this much longer than its message.
pub(crate) const BOX_MORE: usize = 32;
/// A frame is this much longer than its content.
pub(crate) const FRAME_MORE: usize = 16;

/// Opens a box: `salt[16] ‖ ciphertext ‖ tag[16]`.
///
/// # Errors
/// `NotOpened` for any bytes that were not sealed with this key and `aad`.
pub(crate) fn open_box(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let (salt, rest) = sealed.split_at_checked(16).ok_or(NotOpened)?;
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(b"backstay box 1").update(salt);
    let own = Key(*hasher.finalize().as_bytes());
    open_aead(&own, [0; 12], aad, rest.to_vec())
}

/// Opens a frame, number `number` of `pack`.
///
/// # Errors
/// `NotOpened` for any bytes that are not that frame.
pub(crate) fn open_frame(key: &Key, pack: &[u8; 16], number: u64, sealed: Vec<u8>) -> Result<Vec<u8>, NotOpened> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    open_aead(key, nonce, &join(&[b"backstay frame 1", pack]), sealed)
}

fn open_aead(key: &Key, nonce: [u8; 12], aad: &[u8], mut bytes: Vec<u8>) -> Result<Vec<u8>, NotOpened> {
    let cipher = Aes256Gcm::new(&key.0.into());
    cipher.decrypt_in_place(&nonce.into(), aad, &mut bytes).map_err(|_| NotOpened)?;
    Ok(bytes)
}

/// `‖`.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The key that a passphrase gives. Takes as long and as much memory as the
/// slot asks for; `None` if Argon2 does not take these numbers.
pub(crate) fn slot_key(passphrase: &[u8], salt: &[u8; 16], memory_kib: u32, passes: u32, lanes: u32) -> Option<Key> {
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(32)).ok()?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0; 32];
    argon.hash_password_into(passphrase, salt, &mut key).ok()?;
    Some(Key(key))
}

/// Why compressed bytes do not give the plain bytes they should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inflate {
    /// The decoder refused them.
    #[error("is not a zstd frame: {0}")]
    Zstd(String),
    /// They hold more, or less, than was said from outside.
    #[error("holds {got} plain bytes, not {said}")]
    Length {
        /// What was said.
        said: u64,
        /// What there was, or at least was.
        got: u64,
    },
    /// Bytes follow the one frame.
    #[error("{0} bytes follow the zstd frame")]
    Trailing(usize),
    /// The frame's own checksum does not match.
    #[error("the zstd frame's checksum does not match")]
    Checksum,
}

/// The smallest window that any encoder has to be able to ask for.
const WINDOW_FLOOR: u64 = 8 << 20;

/// Decompresses one zstd frame that holds exactly `plain` bytes. Allocates no
/// more than about `plain` (or 8 MiB) beyond what it returns.
///
/// # Errors
/// For anything else than one whole frame of that content.
pub(crate) fn inflate(mut packed: &[u8], plain: u64) -> Result<Vec<u8>, Inflate> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(plain.max(WINDOW_FLOOR));
    decoder.reset(&mut packed).map_err(|e| Inflate::Zstd(e.to_string()))?;
    let mut out = Vec::new();
    loop {
        let finished = decoder
            .decode_blocks(&mut packed, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|e| Inflate::Zstd(e.to_string()))?;
        let pending = decoder.can_collect() as u64;
        if out.len() as u64 + pending > plain {
            return Err(Inflate::Length { said: plain, got: out.len() as u64 + pending });
        }
        decoder.collect_to_writer(&mut out).map_err(|e| Inflate::Zstd(e.to_string()))?;
        if finished {
            break;
        }
    }
    if out.len() as u64 != plain {
        return Err(Inflate::Length { said: plain, got: out.len() as u64 });
    }
    let told = decoder.get_checksum_from_data();
    if told.is_some() && told != decoder.get_calculated_checksum() {
        return Err(Inflate::Checksum);
    }
    if !packed.is_empty() {
        return Err(Inflate::Trailing(packed.len()));
    }
    Ok(out)
}
