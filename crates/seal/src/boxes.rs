//! The box: one primitive for everything sealed that is not a frame. A fresh key for each box, derived from a random
//! salt of 16 bytes, so that no count of boxes under one key needs watching.
//!
//! Never knows: what is inside.

use crate::{OpenError, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const SALT: usize = 16;
const CONTEXT: &[u8] = b"backstay box 1";

/// Fresh salt: 16 bytes nobody can predict or has used before.
pub type Salt = [u8; SALT];

/// Seals a message. The box is [`backstay_format::keys::BOX_OVERHEAD`] bytes longer.
pub fn seal(key: &Secret, salt: Salt, aad: &[u8], message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + backstay_format::keys::BOX_OVERHEAD);
    out.extend_from_slice(&salt);
    out.extend_from_slice(message);
    let tag = box_key(key, &salt)
        .seal_in_place_separate_tag(nonce(), Aad::from(aad), &mut out[SALT..])
        .expect("AES-GCM seals any message shorter than 64 GiB");
    out.extend_from_slice(tag.as_ref());
    out
}

/// Opens a box.
///
/// # Errors
/// [`OpenError::Seal`].
pub fn open(key: &Secret, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (salt, body) = sealed.split_first_chunk::<SALT>().ok_or(OpenError::Seal)?;
    let mut body = body.to_vec();
    let plain =
        box_key(key, salt).open_in_place(nonce(), Aad::from(aad), &mut body).map_err(|_| OpenError::Seal)?.len();
    body.truncate(plain);
    Ok(body)
}

fn box_key(key: &Secret, salt: &Salt) -> LessSafeKey {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(CONTEXT).update(salt);
    let unbound = UnboundKey::new(&AES_256_GCM, hasher.finalize().as_bytes()).expect("32 bytes make a key");
    LessSafeKey::new(unbound)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_as_sealed() {
        let key = Secret([1; 32]);
        let sealed = seal(&key, [2; 16], b"here", b"message");
        assert_eq!(sealed.len(), 7 + backstay_format::keys::BOX_OVERHEAD);
        assert_eq!(open(&key, b"here", &sealed), Ok(b"message".to_vec()));
        assert_eq!(open(&key, b"there", &sealed), Err(OpenError::Seal));
        assert_eq!(open(&Secret([3; 32]), b"here", &sealed), Err(OpenError::Seal));
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 0x10;
            assert_eq!(open(&key, b"here", &bad), Err(OpenError::Seal), "flip at {at}");
        }
        assert_eq!(open(&key, b"here", &sealed[..10]), Err(OpenError::Seal));
    }
}
