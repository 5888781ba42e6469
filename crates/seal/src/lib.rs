//! Keys, hashes, envelopes, compression: all that is done to bytes before they leave this machine and after they
//! come back (`docs/format/keys.md`, `docs/format/pack.md`).
//!
//! Never knows: storage, or what the bytes are. Randomness comes from the caller.

pub mod boxes;
pub mod chunk;
pub mod compress;
pub mod frame;
pub mod keys;
pub mod mac;
pub mod passphrase;
pub mod password;

/// 32 secret bytes; wiped from memory when dropped, never printed.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret(pub [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why sealed bytes did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not sealed with this key for this place: damaged, moved, or the key is another.
    #[error("does not open with its key")]
    Seal,
    /// Opened, but does not decompress to what its length promised.
    #[error("does not decompress")]
    Compression,
}
