//! How much a vault's packs take.
//!
//! Never knows: what is in them, or whether it is needed.

use backstay_format::rows::PackRow;

use crate::rows::decoded;
use crate::{Vault, VaultError};

/// What packs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// How many there are.
    pub packs: u64,
    /// Their bytes, in the home.
    pub bytes: u64,
}

impl Vault {
    /// How much all packs take. Costs a look at each one's row, and at no pack.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn packed(&self) -> Result<Packed, VaultError> {
        let mut packed = Packed::default();
        for (_, value) in self.ledger.view().prefix(b"k")? {
            packed.packs += 1;
            packed.bytes += decoded("pack", PackRow::decode(&value))?.len;
        }
        Ok(packed)
    }
}
