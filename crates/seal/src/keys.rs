//! The keys of a vault, derived from the two that its slots hold (`docs/format/keys.md`).
//!
//! Never knows: passphrases, or where keys are kept.

use crate::boxes::{self, Salt};
use crate::{OpenError, Secret};
use backstay_format::keys::BOX_OVERHEAD;
use backstay_format::units::{BucketId, PackId};

/// The two keys that everything of a vault hangs on.
#[derive(Clone, Debug)]
pub struct RootKeys {
    /// From which the sealing keys are derived.
    pub vault: Secret,
    /// From which ids of chunks are derived; outlives a change of the vault key.
    pub dedup: Secret,
}

/// All keys of an open vault.
#[derive(Clone, Debug)]
pub struct VaultKeys {
    /// Seals the ledger.
    pub ledger: Secret,
    /// Seals the key table.
    pub table: Secret,
    /// Keys the ids of chunks.
    pub chunk: Secret,
    /// Keys the choice of cuts.
    pub cut: Secret,
    /// Seals what a server keeps of itself.
    pub served: Secret,
    wrap: Secret,
}

impl VaultKeys {
    /// Derives them.
    pub fn derive(root: &RootKeys) -> Self {
        let derive = |context: &str, key: &Secret| Secret(blake3::derive_key(context, &key.0));
        VaultKeys {
            ledger: derive("backstay 2026-11 ledger", &root.vault),
            table: derive("backstay 2026-11 key table", &root.vault),
            wrap: derive("backstay 2026-11 bucket wrap", &root.vault),
            served: derive("backstay 2026-11 server", &root.vault),
            chunk: derive("backstay 2026-11 chunk id", &root.dedup),
            cut: derive("backstay 2026-11 page cut", &root.dedup),
        }
    }

    /// Seals a bucket's key for its row.
    pub fn seal_bucket(&self, bucket: BucketId, key: &Secret, salt: Salt) -> [u8; 32 + BOX_OVERHEAD] {
        wrap(&self.wrap, b"backstay bucket 1", &bucket.0, key, salt)
    }

    /// Opens a bucket's key.
    ///
    /// # Errors
    /// [`OpenError::Seal`].
    pub fn open_bucket(&self, bucket: BucketId, sealed: &[u8]) -> Result<BucketKey, OpenError> {
        unwrap(&self.wrap, b"backstay bucket 1", &bucket.0, sealed).map(BucketKey)
    }
}

/// The key of a bucket: seals data keys.
#[derive(Clone, Debug)]
pub struct BucketKey(pub Secret);

impl BucketKey {
    /// Seals a pack's data key for its row.
    pub fn seal_data_key(&self, pack: PackId, key: &Secret, salt: Salt) -> [u8; 32 + BOX_OVERHEAD] {
        wrap(&self.0, b"backstay data key 1", &pack.0, key, salt)
    }

    /// Opens a pack's data key.
    ///
    /// # Errors
    /// [`OpenError::Seal`].
    pub fn open_data_key(&self, pack: PackId, sealed: &[u8]) -> Result<Secret, OpenError> {
        unwrap(&self.0, b"backstay data key 1", &pack.0, sealed)
    }
}

fn wrap(with: &Secret, what: &[u8], id: &[u8; 16], key: &Secret, salt: Salt) -> [u8; 32 + BOX_OVERHEAD] {
    let sealed = boxes::seal(with, salt, &[what, id].concat(), &key.0);
    sealed.try_into().expect("a box is longer than its message by a known number of bytes")
}

fn unwrap(with: &Secret, what: &[u8], id: &[u8; 16], sealed: &[u8]) -> Result<Secret, OpenError> {
    let plain = boxes::open(with, &[what, id].concat(), sealed)?;
    plain.try_into().map(Secret).map_err(|_| OpenError::Seal)
}
