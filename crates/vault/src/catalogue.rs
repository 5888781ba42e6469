//! Where packs are and what opens them, by the ledger and the key table.
//!
//! Never knows: what is in packs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_env::objects::{Key, ObjectError};
use backstay_format::keys::{DataKeyRow, TableKey};
use backstay_format::rows::{PackRow, RowKey};
use backstay_format::units::{BucketId, PackId};
use backstay_seal::Secret;
use backstay_seal::keys::{BucketKey, VaultKeys};
use backstay_store::ledger::{Ledger, LedgerError};
use backstay_store::pack::ReadError;
use backstay_store::packs::PackCatalogue;

/// The catalogue of a vault.
pub(crate) struct Catalogue {
    ledger: Arc<Ledger>,
    table: Arc<Ledger>,
    keys: VaultKeys,
    buckets: Mutex<HashMap<BucketId, BucketKey>>,
}

impl Catalogue {
    pub(crate) fn new(ledger: Arc<Ledger>, table: Arc<Ledger>, keys: VaultKeys) -> Self {
        Catalogue { ledger, table, keys, buckets: Mutex::default() }
    }

    fn data_key(&self, pack: PackId) -> Result<Option<Secret>, ReadError> {
        let view = self.table.view();
        let value = view.get(&TableKey::DataKey(pack).encode()).map_err(|e| ledger_error(pack, e))?;
        let Some(value) = value else { return Ok(None) };
        let row = DataKeyRow::decode(&value).map_err(|_| ReadError::NoKey(pack))?;
        let bucket = self.bucket(pack, row.bucket)?;
        bucket.open_data_key(pack, &row.sealed_key).map(Some).map_err(|_| ReadError::NoKey(pack))
    }

    fn bucket(&self, pack: PackId, id: BucketId) -> Result<BucketKey, ReadError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = buckets.get(&id) {
            return Ok(key.clone());
        }
        let value = self.table.view().get(&TableKey::Bucket(id).encode()).map_err(|e| ledger_error(pack, e))?;
        let row = value.and_then(|v| backstay_format::keys::BucketRow::decode(&v).ok());
        let key = row.and_then(|row| self.keys.open_bucket(id, &row.sealed_key).ok());
        let key = key.ok_or(ReadError::NoKey(pack))?;
        buckets.insert(id, key.clone());
        Ok(key)
    }
}

impl PackCatalogue for Catalogue {
    fn find(&self, pack: PackId, fresh: bool) -> Result<(PackRow, Secret), ReadError> {
        if fresh {
            self.table.refresh().map_err(|e| ledger_error(pack, e))?;
            self.ledger.refresh().map_err(|e| ledger_error(pack, e))?;
        }
        let value = self.ledger.view().get(&RowKey::Pack(pack).encode()).map_err(|e| ledger_error(pack, e))?;
        let row = value.and_then(|v| PackRow::decode(&v).ok()).ok_or(ReadError::NoPack(pack))?;
        let key = self.data_key(pack)?.ok_or(ReadError::NoKey(pack))?;
        Ok((row, key))
    }
}

/// The ledger failed while a pack was looked up.
fn ledger_error(pack: PackId, error: LedgerError) -> ReadError {
    match error {
        LedgerError::Home(source) => ReadError::Home { pack, source },
        error if error.is_damage() => ReadError::Unlisted { pack, why: error.to_string() },
        error => {
            let key = Key::new("ledger").expect("a plain word is a key");
            ReadError::Home { pack, source: ObjectError::Io { key, source: std::io::Error::other(error) } }
        }
    }
}
