//! What a server keeps in the store it serves (`docs/format/server.md`): who serves a vault, and what it needs to go on elsewhere.
//!
//! Never knows: what the kept files mean, or how a box is sealed.

use crate::codec::{DecodeError, Input, Output};
use crate::units::{StoreId, Timestamp, VaultId};

/// Which server serves a vault, from when on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The server: random, made when its data folder was.
    pub server: [u8; 16],
    /// When it claimed the vault.
    pub at: Timestamp,
    /// What it is called.
    pub name: String,
}

impl Claim {
    /// What is sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.server.to_vec();
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.put_bytes(self.name.as_bytes());
        out
    }

    /// From what was sealed.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let claim = Claim { server: input.array()?, at: Timestamp(input.i64()?), name: input.text("name")? };
        input.end()?;
        Ok(claim)
    }
}

/// What a server needs to go on elsewhere, as it was at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When.
    pub at: Timestamp,
    /// Files of its data folder: name and content.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// What is compressed and sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.at.0.to_le_bytes().to_vec();
        out.put_varint(self.files.len() as u64);
        for (name, content) in &self.files {
            out.put_bytes(name.as_bytes());
            out.put_bytes(content);
        }
        out
    }

    /// From what was sealed.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let at = Timestamp(input.i64()?);
        let count = input.varint()?;
        let mut files = Vec::new();
        for _ in 0..count {
            files.push((input.text("name")?, input.bytes()?.to_vec()));
        }
        input.end()?;
        Ok(Kept { at, files })
    }
}

/// With what a claim or what is kept is sealed to its place.
pub fn bound_to(what: &str, (store, vault): (StoreId, VaultId), number: u64) -> Vec<u8> {
    [what.as_bytes(), &store.0, &vault.0, &number.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let claim = Claim { server: [7; 16], at: Timestamp(258), name: "a".into() };
        let bytes = [&[7; 16][..], &[2, 1, 0, 0, 0, 0, 0, 0], &[1, b'a']].concat();
        assert_eq!(claim.encode(), bytes);
        assert_eq!(Claim::decode(&bytes), Ok(claim));
        let kept = Kept { at: Timestamp(1), files: vec![("k".into(), vec![9, 8]), ("l".into(), vec![])] };
        let golden = [1, 0, 0, 0, 0, 0, 0, 0, 2, 1, b'k', 2, 9, 8, 1, b'l', 0];
        assert_eq!(kept.encode(), golden);
        assert_eq!(Kept::decode(&golden), Ok(kept));
        for bytes in [&bytes[..], &golden] {
            for len in 0..bytes.len() {
                assert!(Claim::decode(&bytes[..len]).is_err() && Kept::decode(&bytes[..len]).is_err());
            }
        }
        assert!(Kept::decode(&[golden.as_slice(), &[0]].concat()).is_err());
    }
}
