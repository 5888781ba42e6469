//! Passphrases of a vault, and its keys on paper (`docs/format/keys.md`).
//!
//! Never knows: how a passphrase is asked for, or who may have one.

use std::fmt::Write as _;

use backstay_format::keys::Argon2Cost;
use backstay_format::names;
use backstay_format::twin::Kind;
use backstay_format::units::{Digest, Timestamp, VaultId};
use backstay_seal::Secret;
use backstay_seal::keys::RootKeys;
use backstay_seal::passphrase;
use zeroize::Zeroizing;

use crate::open::{key, put_twin, read_header, read_slots};
use crate::{Seams, Vault, VaultError};

pub use backstay_seal::passphrase::COST;

/// A key slot, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number.
    pub number: u16,
    /// Whose passphrase it is.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
}

impl Vault {
    /// The vault's key slots that can be read.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn slots(&self) -> Result<Vec<SlotInfo>, VaultError> {
        let slots = read_slots(&*self.seams.home, self.store, &self.name)?;
        let info = |(number, slot): (u16, Result<backstay_format::keys::KeySlot, _>)| {
            slot.ok().map(|s| SlotInfo { number, label: s.label, created: s.created })
        };
        Ok(slots.into_iter().filter_map(info).collect())
    }

    /// Adds a passphrase. The others stay.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn add_passphrase(&self, passphrase: &[u8], label: &str, cost: Argon2Cost) -> Result<SlotInfo, VaultError> {
        let home = &*self.seams.home;
        let taken = read_slots(home, self.store, &self.name)?.last().map_or(0, |(n, _)| n + 1);
        let created = self.seams.clock.now();
        let salts = [self.seams.salt(), self.seams.salt()];
        let ids = (self.store, self.id);
        let slot = passphrase::make_slot(ids, &self.root, passphrase, (cost, salts), (created, label));
        put_twin(home, &names::key_slot(&self.name, taken), Kind::KeySlot, self.store, &slot.encode())?;
        Ok(SlotInfo { number: taken, label: label.to_owned(), created })
    }

    /// Removes a slot: its passphrase opens the vault no more. A copy of the slot made before still would.
    ///
    /// # Errors
    /// [`VaultError::LastSlot`] when no other slot can be read.
    pub fn remove_slot(&self, number: u16) -> Result<(), VaultError> {
        if self.slots()?.iter().all(|s| s.number == number) {
            return Err(VaultError::LastSlot(number));
        }
        Ok(self.seams.home.delete(&key(&names::key_slot(&self.name, number)))?)
    }

    /// Opens a vault with the lines of [`Vault::keys_on_paper`], typed in again. No passphrase is needed, nor any key slot.
    ///
    /// # Errors
    /// [`VaultError::Paper`] when the lines are mistyped or of another vault; else as [`Vault::open`].
    pub fn open_with_paper(seams: Seams, vault: &str, text: &str) -> Result<Vault, VaultError> {
        let (store, _) = read_header(&*seams.home)?.ok_or(VaultError::NoStore)?;
        let said = |what: &str| {
            let line = text.lines().find_map(|l| l.trim().strip_prefix(what)?.strip_prefix(' '));
            line.map(str::trim).ok_or_else(|| VaultError::Paper(format!("line \"{what}\" is missing")))
        };
        let id: VaultId = match (said("store")?, said("vault id")?) {
            (of, _) if of != store.to_string() => {
                return Err(VaultError::Paper(format!("it is of the store {of}, and this is {store}")));
            }
            (_, id) => {
                hex16(id).map(VaultId).ok_or_else(|| VaultError::Paper("line \"vault id\" is mistyped".into()))?
            }
        };
        match said("vault")? {
            name if name == vault => {}
            other => return Err(VaultError::Paper(format!("it is of the vault {other}, not {vault}"))),
        }
        let root = keys_from_paper(&id.0, text).map_err(VaultError::Paper)?;
        let opened = Vault::open_with_keys(seams, (store, id), vault, root)?;
        opened.damage.map_or(Ok(opened.vault), Err)
    }

    /// The vault's keys as lines to print and lock away: whoever has them needs no passphrase.
    pub fn keys_on_paper(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::new());
        let fits = "writing to a string does not fail";
        writeln!(out, "store {}\nvault {}\nvault id {}", self.store, self.name, self.id).expect(fits);
        let bytes = Zeroizing::new([self.root.vault.0, self.root.dedup.0].concat());
        for (index, eight) in bytes.chunks(8).enumerate() {
            let number = index as u8 + 1;
            let hex: Vec<String> = eight.chunks(2).map(|two| format!("{:02x}{:02x}", two[0], two[1])).collect();
            writeln!(out, "{number} {} {}", hex.join(" "), self.paper_check(number, eight)).expect(fits);
        }
        out
    }

    fn paper_check(&self, number: u8, bytes: &[u8]) -> String {
        paper_check(number, &self.id.0, bytes)
    }
}

fn paper_check(number: u8, vault: &[u8; 16], bytes: &[u8]) -> String {
    let Digest(hash) = Digest::of(&[&[number], vault, bytes]);
    format!("{:02x}{:02x}", hash[0], hash[1])
}

fn hex16(text: &str) -> Option<[u8; 16]> {
    let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).map(u128::to_be_bytes).ok()).flatten()
}

/// The keys in the lines of [`Vault::keys_on_paper`], typed in again.
///
/// # Errors
/// Names the first line that is missing or mistyped.
pub fn keys_from_paper(vault: &[u8; 16], text: &str) -> Result<RootKeys, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    for number in 1..=8u8 {
        let prefix = format!("{number} ");
        let line = text.lines().map(str::trim).find(|l| l.starts_with(&prefix));
        let line = line.ok_or_else(|| format!("line {number} is missing"))?;
        let digits: String = line[prefix.len()..].split_whitespace().collect();
        let wrong = || format!("line {number} is mistyped");
        if digits.len() != 20 || !digits.is_ascii() {
            return Err(wrong());
        }
        let (hex, check) = digits.split_at(16);
        let eight = (0..8).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16));
        let eight = Zeroizing::new(eight.collect::<Result<Vec<u8>, _>>().map_err(|_| wrong())?);
        if paper_check(number, vault, &eight) != check.to_ascii_lowercase() {
            return Err(wrong());
        }
        bytes.extend_from_slice(&eight);
    }
    let half = |from: usize| Secret(bytes[from..from + 32].try_into().expect("half of 64 bytes"));
    Ok(RootKeys { vault: half(0), dedup: half(32) })
}
