//! What a server keeps of itself beside the points of the vault that it serves (`docs/format/server.md`): claims, in the order in
//! which servers took the vault over, and what the server needs to go on elsewhere.
//!
//! Never knows: what a server is, or what the kept files mean.

use std::sync::Arc;

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_format::names;
use backstay_format::served::{Claim, Kept, bound_to};
use backstay_format::twin::{self, Kind};
use backstay_seal::boxes;
use backstay_seal::compress::{Compressor, decompress};

use crate::open::{key, put_twin};
use crate::{Vault, VaultError};

/// More than any server keeps, so that nobody can make a reader take all memory.
const MOST: u64 = 4 << 30;

/// What objects of one kind have in common.
#[derive(Clone, Copy)]
struct Sort {
    folder: &'static str,
    kind: Kind,
    bound: &'static str,
}

const CLAIM: Sort = Sort { folder: "claim", kind: Kind::Claim, bound: "backstay claim 1" };
const KEPT: Sort = Sort { folder: "kept", kind: Kind::Kept, bound: "backstay kept 1" };

impl Vault {
    /// The newest claim and its number; `None`: no server has claimed the vault.
    ///
    /// # Errors
    /// [`VaultError::Home`]; [`VaultError::Served`] if it is damaged.
    pub fn newest_claim(&self) -> Result<Option<(u64, Claim)>, VaultError> {
        let Some(number) = self.numbers(CLAIM)?.pop() else { return Ok(None) };
        let plain = self.opened(CLAIM, number)?;
        Ok(Some((number, Claim::decode(&plain).map_err(|e| self.damaged(CLAIM, number, &e))?)))
    }

    /// The number of the newest claim, which costs a listing; 0: there is none.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn newest_claim_number(&self) -> Result<u64, VaultError> {
        Ok(self.numbers(CLAIM)?.pop().unwrap_or(0))
    }

    /// Claims the vault. `false`: somebody else has made the claim of that number; nothing was done.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn claim(&self, number: u64, claim: &Claim) -> Result<bool, VaultError> {
        self.put(CLAIM, number, &claim.encode())
    }

    /// The numbers of what was kept, oldest first.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn kept_numbers(&self) -> Result<Vec<u64>, VaultError> {
        self.numbers(KEPT)
    }

    /// What was kept under a number.
    ///
    /// # Errors
    /// [`VaultError::Home`]; [`VaultError::Served`] if it is damaged.
    pub fn kept(&self, number: u64) -> Result<Kept, VaultError> {
        let plain = self.opened(KEPT, number)?;
        let damaged = |why: &dyn std::fmt::Display| self.damaged(KEPT, number, why);
        let (len, packed) = plain.split_first_chunk().ok_or_else(|| damaged(&"too short"))?;
        let len = Some(u64::from_le_bytes(*len)).filter(|len| *len <= MOST).ok_or_else(|| damaged(&"too long"))?;
        let whole = decompress(packed, len as usize).map_err(|e| damaged(&e))?;
        Kept::decode(&whole).map_err(|e| damaged(&e))
    }

    /// Keeps something. `false`: that number is taken; nothing was done.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn keep(&self, number: u64, kept: &Kept) -> Result<bool, VaultError> {
        let whole = kept.encode();
        let packed = Compressor::new(3).compress_always(&whole);
        self.put(KEPT, number, &[&(whole.len() as u64).to_le_bytes()[..], &packed].concat())
    }

    /// Removes what was kept under a number.
    ///
    /// # Errors
    /// [`VaultError::Home`].
    pub fn drop_kept(&self, number: u64) -> Result<(), VaultError> {
        Ok(self.seams.home.delete(&self.place(KEPT, number))?)
    }

    /// The store's home and the folder in it for the copy of the server's audit log.
    pub fn audit_copy(&self) -> (Arc<dyn Objects>, Key) {
        (self.seams.home.clone(), key(&names::audit_copy(&self.name)))
    }

    fn place(&self, sort: Sort, number: u64) -> Key {
        key(&format!("{}/{number:016x}", names::served(&self.name, sort.folder)))
    }

    fn numbers(&self, sort: Sort) -> Result<Vec<u64>, VaultError> {
        let listed = self.seams.home.list(&key(&names::served(&self.name, sort.folder)))?;
        Ok(listed.iter().filter_map(|object| names::number_of(object.key.as_str())).collect())
    }

    fn put(&self, sort: Sort, number: u64, plain: &[u8]) -> Result<bool, VaultError> {
        let bound = bound_to(sort.bound, (self.store, self.id), number);
        let sealed = boxes::seal(&self.keys.served, self.seams.salt(), &bound, plain);
        match put_twin(&*self.seams.home, self.place(sort, number).as_str(), sort.kind, self.store, &sealed) {
            Ok(()) => Ok(true),
            Err(ObjectError::Exists(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn opened(&self, sort: Sort, number: u64) -> Result<Vec<u8>, VaultError> {
        let object = self.seams.home.get(&self.place(sort, number))?;
        let damaged = |why: &dyn std::fmt::Display| self.damaged(sort, number, why);
        let twin = twin::decode(&object, sort.kind, Some(self.store)).map_err(|e| damaged(&e))?;
        let bound = bound_to(sort.bound, (self.store, self.id), number);
        let open = |sealed| boxes::open(&self.keys.served, &bound, sealed);
        let opened = open(twin.payload).or_else(|error| twin.other.map_or(Err(error), open));
        opened.map_err(|e| damaged(&e))
    }

    fn damaged(&self, sort: Sort, number: u64, why: &dyn std::fmt::Display) -> VaultError {
        VaultError::Served { name: self.place(sort, number).to_string(), why: why.to_string() }
    }
}
