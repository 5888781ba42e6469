//! Names of objects in a home.
//!
//! Never knows: homes.

use crate::units::ObjectId;

/// The store's header.
pub const STORE_HEADER: &str = "backstay.store";

/// Whether a text can name a vault: 1 to 32 of `a-z 0-9 -`, not starting with `-`.
pub fn is_vault_name(name: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=32).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}

/// Whether a text can name a machine or a disk: 1 to 64 bytes, no control characters, no `/`, no `:`.
pub fn is_machine_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && c != '/' && c != ':';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// A vault's folder.
pub fn vault(vault: &str) -> String {
    format!("vault/{vault}")
}

/// The folder of a vault's key slots.
pub fn key_slots(vault: &str) -> String {
    format!("vault/{vault}/keys")
}

/// A key slot.
pub fn key_slot(vault: &str, slot: u16) -> String {
    format!("vault/{vault}/keys/{slot:04}")
}

/// The folder of a vault's ledger or key table.
pub fn ledger(vault: &str, domain: &str) -> String {
    format!("vault/{vault}/{domain}")
}

/// A numbered object of a ledger: `kind` is `entry`, `state` or `parts`.
pub fn numbered(ledger: &str, kind: &str, seq: u64) -> String {
    format!("{ledger}/{kind}/{seq:016x}")
}

/// The number at the end of such a name.
pub fn number_of(name: &str) -> Option<u64> {
    let last = name.rsplit('/').next()?;
    let hex = last.len() == 16 && last.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex { u64::from_str_radix(last, 16).ok() } else { None }
}

/// The folder of a vault's packs.
pub fn packs(vault: &str) -> String {
    format!("vault/{vault}/pack")
}

/// An object of packs.
pub fn pack_object(vault: &str, object: ObjectId) -> String {
    format!("vault/{vault}/pack/{:02x}/{object}", object.0[15])
}

/// The object id at the end of such a name.
pub fn pack_object_of(name: &str) -> Option<ObjectId> {
    let last = name.rsplit('/').next()?;
    if last.len() != 32 || !last.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(last.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(ObjectId(id))
}

/// The folder of what a server keeps of itself: `kind` is `claim` or `kept`.
pub fn served(vault: &str, kind: &str) -> String {
    format!("vault/{vault}/server/{kind}")
}

/// The folder of the copy of a server's audit log.
pub fn audit_copy(vault: &str) -> String {
    served(vault, "audit")
}

/// The folder of a vault's dedup index.
pub fn index(vault: &str) -> String {
    format!("vault/{vault}/index")
}
