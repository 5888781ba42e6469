//! Sealing of frames with the data key of their pack.
//!
//! Invariant the caller keeps: a data key seals each frame number at most once.
//! Never knows: what a frame holds.

use crate::{OpenError, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use backstay_format::units::{FrameNo, PackId};

/// A pack's data key, ready for use.
pub struct FrameKey {
    key: LessSafeKey,
    pack: PackId,
}

impl FrameKey {
    /// The data key of `pack`.
    pub fn new(key: &Secret, pack: PackId) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, &key.0).expect("32 bytes make a key");
        FrameKey { key: LessSafeKey::new(unbound), pack }
    }

    /// Seals `content` in place: 16 bytes longer afterwards.
    pub fn seal(&self, frame: FrameNo, content: &mut Vec<u8>) {
        self.key
            .seal_in_place_append_tag(nonce(frame), Aad::from(self.aad()), content)
            .expect("AES-GCM seals any message shorter than 64 GiB");
    }

    /// Opens a frame in place and says what is in it.
    ///
    /// # Errors
    /// [`OpenError::Seal`]; then the bytes are of no use.
    pub fn open<'a>(&self, frame: FrameNo, sealed: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        self.key.open_in_place(nonce(frame), Aad::from(self.aad()), sealed).map_err(|_| OpenError::Seal)
    }

    fn aad(&self) -> [u8; 32] {
        let mut aad = [0; 32];
        aad[..16].copy_from_slice(b"backstay frame 1");
        aad[16..].copy_from_slice(&self.pack.0);
        aad
    }
}

fn nonce(frame: FrameNo) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&u64::from(frame.0).to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_opens_in_its_place_only() {
        let secret = Secret([9; 32]);
        let key = FrameKey::new(&secret, PackId([1; 16]));
        let mut sealed = b"content".to_vec();
        key.seal(FrameNo(3), &mut sealed);
        assert_eq!(key.open(FrameNo(3), &mut sealed.clone()).unwrap(), b"content");
        assert_eq!(key.open(FrameNo(4), &mut sealed.clone()), Err(OpenError::Seal));
        let other = FrameKey::new(&secret, PackId([2; 16]));
        assert_eq!(other.open(FrameNo(3), &mut sealed.clone()), Err(OpenError::Seal));
    }
}
