//! Making a store, and opening a vault in one.
//!
//! Never knows: where passphrases come from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_env::random::Random;
use backstay_env::time::Clock;
use backstay_format::keys::{Argon2Cost, BucketRow, KeySlot, TableKey};
use backstay_format::ledger::Change;
use backstay_format::names;
use backstay_format::twin::{self, Kind, StoreHeader};
use backstay_format::units::{BucketId, StoreId, Timestamp, VaultId};
use backstay_seal::Secret;
use backstay_seal::chunk::ChunkNamer;
use backstay_seal::keys::{BucketKey, RootKeys, VaultKeys};
use backstay_seal::passphrase;
use backstay_store::ingest::Tuning;
use backstay_store::ledger::{self, Ledger, LedgerError, View};
use backstay_store::packs::{CacheSizes, Packs};

use crate::VaultError;
use crate::catalogue::Catalogue;
use crate::figures::Figures;
use crate::index::LazyIndex;
use crate::map::RunCache;

/// The world as a vault sees it.
#[derive(Clone)]
pub struct Seams {
    /// The store's home.
    pub home: Arc<dyn Objects>,
    /// Where the dedup index is kept: the home itself if that is local, else a folder on this machine.
    pub index_home: Arc<dyn Objects>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Seams {
    pub(crate) fn salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        salt
    }

    pub(crate) fn secret(&self) -> Secret {
        let mut secret = Secret([0; 32]);
        self.random.fill(&mut secret.0);
        secret
    }
}

/// A vault, opened with its keys. May be used from many threads.
pub struct Vault {
    pub(crate) seams: Seams,
    pub(crate) store: StoreId,
    pub(crate) id: VaultId,
    pub(crate) name: String,
    pub(crate) root: RootKeys,
    pub(crate) keys: VaultKeys,
    pub(crate) bucket: (BucketId, BucketKey),
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) table: Arc<Ledger>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) packs: Arc<Packs>,
    pub(crate) runs: Arc<RunCache>,
    pub(crate) index: Mutex<LazyIndex>,
    pub(crate) figures: Figures,
    pub(crate) tuning: Tuning,
    pub(crate) slot: Option<u16>,
}

/// A vault, and what of its ledger could not be read, if anything.
pub struct Opened {
    /// The vault as it was before the damage.
    pub vault: Vault,
    /// Why nothing later can be shown and nothing written.
    pub damage: Option<VaultError>,
}

const CLASS: &str = "system";

impl Vault {
    /// Makes a store in an empty home, with one vault, opened by `passphrase`. An attempt that was interrupted is finished by
    /// another with the same passphrase. Of many attempts at the same time exactly one succeeds.
    ///
    /// # Errors
    /// [`VaultError::StoreExists`], also for what an attempt with another passphrase left, and for anything else that lies where
    /// vaults are.
    pub fn create(seams: &Seams, vault: &str, passphrase: &[u8]) -> Result<StoreId, VaultError> {
        Self::create_with(seams, vault, passphrase, passphrase::COST)
    }

    /// As [`Vault::create`], at another cost of guessing the passphrase.
    ///
    /// # Errors
    /// As [`Vault::create`].
    pub fn create_with(seams: &Seams, vault: &str, passphrase: &[u8], cost: Argon2Cost) -> Result<StoreId, VaultError> {
        let created = seams.clock.now();
        // Each step is an object that is written only if it is not there, so none undoes what another attempt did. The first
        // entry of the key table comes last: who writes it has made the store.
        let store = claim(seams, vault, created)?;
        let (id, root) = first_keys(seams, (store, vault), passphrase, (cost, created))?;
        let keys = VaultKeys::derive(&root);
        let table = open_ledger(seams, (store, id), &names::ledger(vault, "keytable"), &keys.table)?;
        table.commit(("init", created), |view| match view.seq() {
            0 => Ok(vec![first_bucket(seams, &keys)]),
            _ => Err(VaultError::StoreExists),
        })?;
        Ok(store)
    }

    /// Opens a vault.
    ///
    /// # Errors
    /// [`VaultError::NoStore`], [`VaultError::NoVault`], [`VaultError::WrongPassphrase`]; damage to the ledger.
    pub fn open(seams: Seams, vault: &str, passphrase: &[u8]) -> Result<Vault, VaultError> {
        let opened = Self::open_before_damage(seams, vault, passphrase)?;
        match opened.damage {
            None => Ok(opened.vault),
            Some(error) => Err(error),
        }
    }

    /// Opens what can be had of a vault whose ledger may be damaged: everything up to the damage.
    ///
    /// # Errors
    /// As [`Vault::open`], but for damage that leaves something to read.
    pub fn open_before_damage(seams: Seams, vault: &str, passphrase: &[u8]) -> Result<Opened, VaultError> {
        let (store, _) = read_header(&*seams.home)?.ok_or(VaultError::NoStore)?;
        let (slot, id, root) = open_slots(&*seams.home, store, vault, passphrase)?;
        let mut opened = Self::open_with_keys(seams, (store, id), vault, root)?;
        opened.vault.slot = Some(slot);
        Ok(opened)
    }

    /// Opens a vault with its root keys, such as from paper.
    ///
    /// # Errors
    /// As [`Vault::open_before_damage`].
    pub fn open_with_keys(
        seams: Seams,
        (store, id): (StoreId, VaultId),
        vault: &str,
        root: RootKeys,
    ) -> Result<Opened, VaultError> {
        let keys = VaultKeys::derive(&root);
        let (table, table_damage) =
            ledger_before_damage(&seams, (store, id), &names::ledger(vault, "keytable"), &keys.table)?;
        let (ledger, ledger_damage) =
            ledger_before_damage(&seams, (store, id), &names::ledger(vault, "ledger"), &keys.ledger)?;
        let damage = ledger_damage.or(table_damage).map(VaultError::from);
        if damage.is_none() && table.view().seq() == 0 && ledger.view().seq() == 0 {
            return Err(VaultError::NoVault(vault.to_owned())); // it was never finished
        }
        let (table, ledger) = (Arc::new(table), Arc::new(ledger));
        let bucket = find_bucket(&table, &keys)?;
        let catalogue = Arc::new(Catalogue::new(ledger.clone(), table.clone(), keys.clone()));
        let home = (seams.home.clone(), vault);
        let packs = Packs::new(home, ChunkNamer::new(&keys.chunk), catalogue.clone(), CacheSizes::default());
        let index = Mutex::new(LazyIndex::new(&seams, store, vault));
        let vault = Vault {
            seams,
            store,
            id,
            name: vault.to_owned(),
            root,
            keys,
            bucket,
            ledger,
            table,
            catalogue,
            packs: Arc::new(packs),
            runs: Arc::default(),
            index,
            figures: Figures::default(),
            tuning: Tuning::default(),
            slot: None,
        };
        Ok(Opened { vault, damage })
    }

    /// Changes how ingest uses this machine.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Forgets what it keeps of what it read, for one who follows changes and reads no points.
    pub fn forget_frames(&self) {
        self.packs.forget_frames();
    }

    /// The key slot that opened it; `None` if its keys were given.
    pub fn opened_slot(&self) -> Option<u16> {
        self.slot
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.store
    }

    /// The vault's id.
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// The keys that machines elsewhere need to cut and to name what they show, in this order: with them and nothing else one can
    /// tell whether a chunk that one has is one that one knows.
    pub fn keys_for_agents(&self) -> (&Secret, &Secret) {
        (&self.keys.cut, &self.keys.chunk)
    }

    /// How frames are made: the level of zstd, and pages of each.
    pub fn frames(&self) -> (i32, u32) {
        (self.tuning.level, self.tuning.frame_pages)
    }

    /// The vault's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dedup index, for a look or a change: never held while anything is waited for.
    pub(crate) fn lock_index(&self) -> MutexGuard<'_, LazyIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what seems to be damaged may only be what others moved or reclaimed since `view`: then it is time to look again.
    pub(crate) fn is_outdated(&self, view: &View, error: &VaultError) -> Result<bool, VaultError> {
        let lost = matches!(error, VaultError::Home(ObjectError::NotFound(_) | ObjectError::Short(_)));
        Ok((lost || error.is_damage()) && self.ledger.refresh()?.seq() != view.seq())
    }

    /// Sees what other processes committed.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn refresh(&self) -> Result<(), VaultError> {
        self.table.refresh()?;
        self.ledger.refresh()?;
        Ok(())
    }
}

/// The store's header: `None` if the home has no store.
pub(crate) fn read_header(home: &dyn Objects) -> Result<Option<(StoreId, StoreHeader)>, VaultError> {
    let object = match home.get(&key(names::STORE_HEADER)) {
        Ok(object) => object,
        Err(ObjectError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let twin = twin::decode(&object, Kind::StoreHeader, None).map_err(VaultError::Header)?;
    let header = StoreHeader::decode(twin.payload).map_err(VaultError::Header)?;
    Ok(Some((twin.store, header)))
}

/// The id of the store to be made: of a new header, or of one that an attempt left which is interrupted or under way.
fn claim(seams: &Seams, vault: &str, created: Timestamp) -> Result<StoreId, VaultError> {
    let home = &*seams.home;
    let left = home.list(&key("vault"))?;
    if !left.iter().all(|l| l.key.as_str() == names::key_slot(vault, 0)) {
        return Err(VaultError::StoreExists);
    }
    if let Some((store, _)) = read_header(home)? {
        return Ok(store);
    }
    if !left.is_empty() {
        return Err(VaultError::StoreExists);
    }
    let store = StoreId(seams.salt());
    let header = StoreHeader { created }.encode();
    match put_twin(home, names::STORE_HEADER, Kind::StoreHeader, store, &header) {
        Ok(()) => Ok(store),
        Err(ObjectError::Exists(_)) => read_header(home)?.map(|(store, _)| store).ok_or(VaultError::NoStore),
        Err(error) => Err(error.into()),
    }
}

/// The keys of the first vault: new ones, or those of an attempt with the same passphrase.
fn first_keys(
    seams: &Seams,
    (store, vault): (StoreId, &str),
    passphrase: &[u8],
    (cost, created): (Argon2Cost, Timestamp),
) -> Result<(VaultId, RootKeys), VaultError> {
    let home = &*seams.home;
    if read_slots(home, store, vault)?.is_empty() {
        let id = VaultId(seams.salt());
        let root = RootKeys { vault: seams.secret(), dedup: seams.secret() };
        let salts = [seams.salt(), seams.salt()];
        let slot = passphrase::make_slot((store, id), &root, passphrase, (cost, salts), (created, "first"));
        match put_twin(home, &names::key_slot(vault, 0), Kind::KeySlot, store, &slot.encode()) {
            Ok(()) => return Ok((id, root)),
            Err(ObjectError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match open_slots(home, store, vault, passphrase) {
        Ok((_, id, root)) => Ok((id, root)),
        Err(VaultError::WrongPassphrase(_)) => Err(VaultError::StoreExists),
        Err(error) => Err(error),
    }
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("names of the format are keys")
}

pub(crate) fn put_twin(
    home: &dyn Objects,
    name: &str,
    kind: Kind,
    store: StoreId,
    payload: &[u8],
) -> Result<(), ObjectError> {
    home.put_new(&key(name), &twin::encode(kind, store, payload).parts())
}

fn first_bucket(seams: &Seams, keys: &VaultKeys) -> Change {
    let id = BucketId(seams.salt());
    let sealed_key = keys.seal_bucket(id, &seams.secret(), seams.salt());
    let row = BucketRow { class: CLASS.to_owned(), expiry: 0, hold_epoch: 0, sealed_key };
    Change { key: TableKey::Bucket(id).encode(), value: Some(row.encode()) }
}

/// The bucket for new packs: the class `system`, the newest epoch.
fn find_bucket(table: &Ledger, keys: &VaultKeys) -> Result<(BucketId, BucketKey), VaultError> {
    let mut best: Option<(u64, BucketId, BucketRow)> = None;
    for (key, value) in table.view().prefix(b"b")? {
        let row_error = |source| VaultError::Row { what: "bucket".into(), source };
        let TableKey::Bucket(id) = TableKey::decode(&key).map_err(row_error)? else { continue };
        let row = BucketRow::decode(&value).map_err(row_error)?;
        let better = best.as_ref().is_none_or(|(epoch, _, _)| *epoch < row.hold_epoch);
        if row.class == CLASS && row.expiry == 0 && better {
            best = Some((row.hold_epoch, id, row));
        }
    }
    let (_, id, row) = best.ok_or_else(|| missing_bucket("there is none"))?;
    let key = keys.open_bucket(id, &row.sealed_key).map_err(|e| missing_bucket(&e.to_string()))?;
    Ok((id, key))
}

fn missing_bucket(why: &str) -> VaultError {
    VaultError::Ledger(LedgerError::Damaged { name: "bucket key of class system".into(), why: why.into() })
}

fn ledger_before_damage(
    seams: &Seams,
    (store, vault): (StoreId, VaultId),
    folder: &str,
    key: &Secret,
) -> Result<(Ledger, Option<LedgerError>), LedgerError> {
    let place = ledger::Place { home: seams.home.clone(), folder: folder.to_owned(), store, vault, key: key.clone() };
    Ledger::open_before_damage(place, seams.random.clone())
}

fn open_ledger(seams: &Seams, ids: (StoreId, VaultId), folder: &str, key: &Secret) -> Result<Ledger, VaultError> {
    match ledger_before_damage(seams, ids, folder, key)? {
        (ledger, None) => Ok(ledger),
        (_, Some(error)) => Err(error.into()),
    }
}

/// A slot's number, and the slot or why it does not decode.
pub(crate) type Slot = (u16, Result<KeySlot, VaultError>);

/// All slots of a vault, by number; those that do not decode as their error.
pub(crate) fn read_slots(home: &dyn Objects, store: StoreId, vault: &str) -> Result<Vec<Slot>, VaultError> {
    let mut slots = Vec::new();
    for listed in home.list(&key(&names::key_slots(vault)))? {
        let name = listed.key.as_str();
        let number = name.rsplit('/').next().and_then(|n| n.parse().ok());
        let Some(number) = number else { continue };
        let object = home.get(&listed.key)?;
        let payload = twin::decode(&object, Kind::KeySlot, Some(store)).map(|t| t.payload);
        let slot = payload.and_then(KeySlot::decode);
        slots.push((number, slot.map_err(|e| VaultError::Slot { name: name.to_owned(), why: e.to_string() })));
    }
    Ok(slots)
}

fn open_slots(
    home: &dyn Objects,
    store: StoreId,
    vault: &str,
    passphrase: &[u8],
) -> Result<(u16, VaultId, RootKeys), VaultError> {
    let slots = read_slots(home, store, vault)?;
    if slots.is_empty() {
        return Err(VaultError::NoVault(vault.to_owned()));
    }
    let count = slots.len();
    let mut damaged = None;
    for (number, slot) in slots {
        match slot {
            Ok(slot) => {
                if let Ok(root) = passphrase::open_slot(store, &slot, passphrase) {
                    return Ok((number, slot.vault, root));
                }
            }
            Err(error) => damaged = Some(error),
        }
    }
    Err(damaged.unwrap_or(VaultError::WrongPassphrase(count)))
}
