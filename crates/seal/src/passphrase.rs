//! From a passphrase to a vault's keys, and back into a slot (`docs/format/keys.md`).
//!
//! Never knows: where slots are kept, or how a passphrase was asked for.

use crate::boxes::{self, Salt};
use crate::keys::RootKeys;
use crate::{OpenError, Secret};
use backstay_format::keys::{Argon2Cost, KeySlot};
use backstay_format::units::{StoreId, Timestamp, VaultId};
use zeroize::Zeroizing;

/// The cost for new slots: the second of the two recommendations of RFC 9106, section 4 (64 MiB, 3 passes, 4 lanes).
pub const COST: Argon2Cost = Argon2Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 };

/// Seals a vault's keys for a passphrase. `salts`: for the hash and for the box.
pub fn make_slot(
    (store, vault): (StoreId, VaultId),
    root: &RootKeys,
    passphrase: &[u8],
    (cost, salts): (Argon2Cost, [Salt; 2]),
    (created, label): (Timestamp, &str),
) -> KeySlot {
    let key = slot_key(passphrase, cost, &salts[0]);
    let keys = Zeroizing::new([root.vault.0, root.dedup.0].concat());
    let sealed = boxes::seal(&key, salts[1], &aad(store, vault), &keys);
    let sealed_keys = sealed.try_into().expect("a box is longer than its message by a known number of bytes");
    KeySlot { vault, cost, salt: salts[0], created, label: label.to_owned(), sealed_keys }
}

/// Opens a slot. Takes the time and the memory that its cost says.
///
/// # Errors
/// [`OpenError::Seal`]: another passphrase, or a damaged slot.
pub fn open_slot(store: StoreId, slot: &KeySlot, passphrase: &[u8]) -> Result<RootKeys, OpenError> {
    let key = slot_key(passphrase, slot.cost, &slot.salt);
    let plain = Zeroizing::new(boxes::open(&key, &aad(store, slot.vault), &slot.sealed_keys)?);
    let (vault, dedup) = plain.split_first_chunk::<32>().ok_or(OpenError::Seal)?;
    let dedup = dedup.try_into().map_err(|_| OpenError::Seal)?;
    Ok(RootKeys { vault: Secret(*vault), dedup: Secret(dedup) })
}

fn aad(store: StoreId, vault: VaultId) -> Vec<u8> {
    [b"backstay slot 1", &store.0[..], &vault.0].concat()
}

pub(crate) fn slot_key(passphrase: &[u8], cost: Argon2Cost, salt: &Salt) -> Secret {
    let params = argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .expect("costs are checked where they are read");
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = Secret([0; 32]);
    argon.hash_password_into(passphrase, salt, &mut key.0).expect("lengths of salt and key are allowed");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_its_passphrase_in_its_vault() {
        let root = RootKeys { vault: Secret([1; 32]), dedup: Secret([2; 32]) };
        let ids = (StoreId([3; 16]), VaultId([4; 16]));
        let cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };
        let slot = make_slot(ids, &root, b"secret", (cost, [[5; 16], [6; 16]]), (Timestamp(0), "me"));
        let opened = open_slot(ids.0, &slot, b"secret").unwrap();
        assert_eq!((opened.vault.0, opened.dedup.0), ([1; 32], [2; 32]));
        assert!(open_slot(ids.0, &slot, b"Secret").is_err());
        assert!(open_slot(StoreId([9; 16]), &slot, b"secret").is_err());
    }
}
