//! Opening a vault of a store, and what it says.
//!
//! Never knows: how damage is looked for; that is `check`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use crate::book::{Rows, Source, load};
use crate::bytes::{Id, Malformed};
use crate::catalog::Catalog;
use crate::crypt::Key;
use crate::folder::Folder;
use crate::keys::{self, KeyRow, Slot, VaultKeys};
use crate::ledger::Domain;
use crate::packs::Packs;
use crate::report::{Kind, Report};
use crate::rows::{Machine, Point};
use crate::twin::{Fault, What, store_header, twin};

/// Why a vault cannot be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder has no `backstay.store`, or it cannot be read.
    #[error("{0} is not a store: backstay.store cannot be read")]
    NoStore(String, #[source] io::Error),
    /// Both copies of the store's header are damaged.
    #[error("the store's header is damaged in both copies")]
    Header(#[source] Fault),
    /// The store's header says something that is not known.
    #[error("the store's header says what this reader does not know")]
    HeaderSays(#[source] Malformed),
    /// There is no vault of this name.
    #[error("the store has no vault {0}")]
    NoVault(String),
    /// No key slot can be read.
    #[error("no key slot of vault {0} can be read")]
    NoSlot(String),
    /// The passphrase opens no slot.
    #[error("the passphrase opens no key slot of vault {0}")]
    Passphrase(String),
    /// A folder of the vault cannot be listed.
    #[error("vault {0} cannot be read")]
    Io(String, #[source] io::Error),
}

/// An opened vault. Reads only; holds all rows of both ledgers in memory.
/// What is written after it was opened is not seen.
pub struct Reader {
    pub(crate) folder: Folder,
    pub(crate) vault: String,
    pub(crate) store: Id,
    pub(crate) vault_id: Id,
    pub(crate) keys: VaultKeys,
    pub(crate) catalog: Catalog,
    pub(crate) packs: Packs,
    /// What was wrong with what had to be read to open.
    pub(crate) opened: Report,
    pub(crate) key_rows: Rows,
}

impl Reader {
    /// Opens `vault` of the store in `folder`. Takes the time and memory that
    /// the key slots' Argon2 numbers ask for.
    ///
    /// # Errors
    /// If nothing can be read. Damage that leaves something to read is no
    /// error: see [`Reader::check`].
    pub fn open(folder: &Path, vault: &str, passphrase: &[u8]) -> Result<Self, OpenError> {
        let home = Folder::new(folder);
        let store = store_id(&home, folder)?;
        let (vault_id, keys) = open_slots(&home, vault, store, passphrase)?;
        let mut opened = Report::default();
        let io = |e| OpenError::Io(vault.to_owned(), e);
        let ledger = Source::new(&home, vault, store, vault_id, Domain::Ledger, &keys.ledger);
        let rows = load(&ledger, &mut opened).map_err(io)?;
        let table = Source::new(&home, vault, store, vault_id, Domain::KeyTable, &keys.table);
        let key_rows = load(&table, &mut opened).map_err(io)?;
        let catalog = Catalog::read(&rows);
        let data_keys = data_keys(&key_rows, &keys.wrap, &mut opened);
        let packs = Packs {
            folder: home.clone(),
            vault: vault.to_owned(),
            places: catalog.packs.clone(),
            keys: data_keys,
            chunk_key: keys.chunk.clone(),
            tables: Mutex::new(HashMap::new()),
            frames: Mutex::new(VecDeque::new()),
        };
        drop((ledger, table));
        Ok(Self { folder: home, vault: vault.to_owned(), store, vault_id, keys, catalog, packs, opened, key_rows })
    }

    /// The machines, by identifier.
    pub fn machines(&self) -> impl Iterator<Item = (Id, &Machine)> {
        self.catalog.machines.iter().map(|(id, machine)| (*id, machine))
    }

    /// The machine of that name, or with that identifier in hex.
    pub fn find(&self, machine: &str) -> Option<Id> {
        let named = self.machines().find(|(_, known)| known.name == machine).map(|(id, _)| id);
        named.or_else(|| Id::parse(machine).filter(|id| self.catalog.machines.contains_key(id)))
    }

    /// The points of a machine, oldest first, by number.
    pub fn points(&self, machine: Id) -> impl Iterator<Item = (u64, &Point)> {
        self.catalog.points_of(machine)
    }

    /// A point.
    pub fn point(&self, machine: Id, number: u64) -> Option<&Point> {
        self.catalog.points.get(&(machine, number))
    }

    /// What was damaged of what had to be read to open; empty if nothing.
    pub fn opened(&self) -> &Report {
        &self.opened
    }
}

fn store_id(home: &Folder, folder: &Path) -> Result<Id, OpenError> {
    let object = home.read("backstay.store").map_err(|e| OpenError::NoStore(folder.display().to_string(), e))?;
    let pair = twin(&object, What::StoreHeader, None);
    match (pair.any(), pair.first) {
        (Some(copy), _) => {
            store_header(copy.payload).map_err(OpenError::HeaderSays)?;
            Ok(copy.store)
        }
        (None, Err(fault)) => Err(OpenError::Header(fault)),
        (None, Ok(copy)) => Ok(copy.store),
    }
}

/// Every slot that can be read, by name; both copies where they differ.
pub(crate) fn slots(home: &Folder, vault: &str, store: Id) -> io::Result<Vec<(String, Slot)>> {
    let prefix = format!("vault/{vault}/keys");
    let mut slots = Vec::new();
    for name in home.list(&prefix)? {
        let Ok(object) = home.read(&format!("{prefix}/{name}")) else {
            continue;
        };
        let pair = twin(&object, What::KeySlot, Some(store));
        for copy in pair.copies() {
            let slot = keys::slot(copy.payload).ok().map(|slot| (name.clone(), slot));
            slots.extend(slot.filter(|slot| !slots.contains(slot)));
        }
    }
    Ok(slots)
}

fn open_slots(home: &Folder, vault: &str, store: Id, passphrase: &[u8]) -> Result<(Id, VaultKeys), OpenError> {
    let io = |e| OpenError::Io(vault.to_owned(), e);
    if !home.list("vault").map_err(io)?.iter().any(|name| name == vault) {
        return Err(OpenError::NoVault(vault.to_owned()));
    }
    let slots = slots(home, vault, store).map_err(io)?;
    if slots.is_empty() {
        return Err(OpenError::NoSlot(vault.to_owned()));
    }
    let mut opened =
        slots.iter().filter_map(|(_, slot)| Some((slot.vault, keys::open_slot(slot, store, passphrase).ok()?)));
    opened.next().ok_or_else(|| OpenError::Passphrase(vault.to_owned()))
}

/// The data key of every pack whose box opens.
fn data_keys(rows: &Rows, wrap: &Key, report: &mut Report) -> BTreeMap<Id, Key> {
    let mut buckets = BTreeMap::new();
    let mut data = Vec::new();
    for (key, value) in rows {
        match keys::row(key, value) {
            Ok(KeyRow::Bucket { id, sealed, .. }) => match keys::open_bucket(wrap, id, &sealed) {
                Ok(key) => drop(buckets.insert(id, key)),
                Err(e) => report.find(Kind::Key, format!("bucket {id}"), e),
            },
            Ok(KeyRow::Data { pack, bucket, sealed }) => data.push((pack, bucket, sealed)),
            Err(e) => report.find(Kind::Row, format!("key table, row {}", crate::bytes::hex(key)), e),
        }
    }
    let mut keys = BTreeMap::new();
    for (pack, bucket, sealed) in data {
        let Some(key) = buckets.get(&bucket) else {
            report.find(Kind::Key, format!("data key of pack {pack}"), format!("its bucket {bucket} has no key"));
            continue;
        };
        match keys::open_data(key, pack, &sealed) {
            Ok(key) => drop(keys.insert(pack, key)),
            Err(e) => report.find(Kind::Key, format!("data key of pack {pack}"), e),
        }
    }
    keys
}
