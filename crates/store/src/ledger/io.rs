//! The objects of a ledger: named, wrapped, sealed.
//!
//! Never knows: rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_env::objects::{Key, ObjectError, Objects};
use backstay_format::ledger::{Entry, PartRef, Rows, State, decode_part};
use backstay_format::names;
use backstay_format::twin::{self, Kind};
use backstay_format::units::Digest;
use backstay_seal::boxes;
use backstay_seal::compress::decompress;

use super::parts::{Cache, Part};
use super::view::{StateAt, View};
use super::{LedgerError, Place, chain};

/// The most bytes of a decompressed part.
const MAX_PART: u64 = 256 << 20;
/// How often to look again for what others fold away while we look.
pub(super) const RETRIES: u32 = 8;

pub(super) struct LedgerIo {
    pub(super) place: Place,
    domain: String,
    /// Entries up to this one survive a power loss.
    settled: AtomicU64,
    /// Rows of parts that were read.
    pub(super) cache: Cache,
}

impl LedgerIo {
    pub(super) fn new(place: Place) -> Self {
        let domain = place.folder.rsplit('/').next().unwrap_or_default().to_owned();
        LedgerIo { place, domain, settled: AtomicU64::new(0), cache: Cache::default() }
    }

    pub(super) fn key(&self, kind: &str, seq: u64) -> Key {
        Key::new(names::numbered(&self.place.folder, kind, seq)).expect("names of ledger objects are keys")
    }

    fn folder(&self, kind: &str) -> Key {
        Key::new(format!("{}/{kind}", self.place.folder)).expect("folders of ledgers are keys")
    }

    /// Numbers of the objects of a kind, in order.
    pub(super) fn numbers(&self, kind: &str) -> Result<Vec<u64>, LedgerError> {
        let there = self.home().names(&self.folder(kind)).map_err(LedgerError::Home)?;
        let mut numbers: Vec<_> = there.iter().filter_map(|key| names::number_of(key.as_str())).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The same with their sizes.
    pub(super) fn sizes(&self, kind: &str) -> Result<BTreeMap<u64, u64>, LedgerError> {
        let listed = self.home().list(&self.folder(kind)).map_err(LedgerError::Home)?;
        Ok(listed.iter().filter_map(|l| Some((names::number_of(l.key.as_str())?, l.size))).collect())
    }

    /// Deletes objects of a kind, in order.
    pub(super) fn delete(&self, kind: &str, numbers: impl Iterator<Item = u64>) -> Result<(), LedgerError> {
        let keys: Vec<Key> = numbers.map(|number| self.key(kind, number)).collect();
        self.home().delete_all(&keys).map_err(LedgerError::Home)
    }

    pub(super) fn home(&self) -> &dyn Objects {
        &*self.place.home
    }

    /// What binds a box to its place: two ledgers, vaults or numbers never share it.
    pub(super) fn aad(&self, what: &str, numbers: &[u64]) -> Vec<u8> {
        let mut aad = [what.as_bytes(), self.domain.as_bytes(), &self.place.vault.0].concat();
        numbers.iter().for_each(|n| aad.extend_from_slice(&n.to_le_bytes()));
        aad
    }

    /// Writes an entry; says the digest that the next one names.
    pub(super) fn put_entry(&self, seq: u64, entry: &Entry, salt: [u8; 16]) -> Result<Digest, LedgerError> {
        let sealed = boxes::seal(&self.place.key, salt, &self.aad("backstay entry 1", &[seq]), &entry.encode());
        let twin = twin::encode(Kind::Entry, self.place.store, &sealed);
        let key = self.key("entry", seq);
        let digest = match self.home().put_new(&key, &twin.parts()) {
            Ok(()) => chain(&sealed),
            Err(ObjectError::Io { key, source }) => self.settle_doubt(key, source, &sealed)?,
            Err(error) => return Err(LedgerError::Home(error)),
        };
        if self.was_never_used(seq)? {
            self.settled.fetch_max(seq, Ordering::Relaxed);
            return Ok(digest);
        }
        self.home().delete(&key).map_err(LedgerError::Home)?;
        Err(LedgerError::Home(ObjectError::Exists(key)))
    }

    /// Makes the entries up to one that can be seen survive a power loss. Whoever wrote it may have died before it did: without
    /// it, what is built on it (a later entry, a state, a deletion) would hang in the air.
    pub(super) fn settle(&self, seq: u64) -> Result<(), LedgerError> {
        if self.settled.load(Ordering::Relaxed) < seq {
            self.home().settle(&self.folder("entry")).map_err(LedgerError::Home)?;
            self.settled.fetch_max(seq, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether an entry just written is the first of its number. The number was used before if others wrote it, went on,
    /// and folded it away. Folding deletes entries in their order and never the newest, so then the entry before it is
    /// gone; for a writer who knows the newest entry it is there.
    fn was_never_used(&self, seq: u64) -> Result<bool, LedgerError> {
        match seq {
            1 => Ok(self.numbers("state")?.is_empty()),
            seq => self.entry_exists(seq - 1),
        }
    }

    /// The home failed while an entry was written. If the entry is there, is ours and can be made to stay, it was committed.
    fn settle_doubt(&self, key: Key, source: std::io::Error, ours: &[u8]) -> Result<Digest, LedgerError> {
        let found = self.home().get(&key);
        let decoded = found.as_deref().map(|bytes| twin::decode(bytes, Kind::Entry, Some(self.place.store)));
        match decoded {
            Ok(Ok(twin)) if twin.payload == ours || twin.other == Some(ours) => {
                self.home().settle(&self.folder("entry")).map_err(LedgerError::Home)?;
                Ok(chain(ours))
            }
            Ok(Ok(_)) => Err(LedgerError::Home(ObjectError::Exists(key))),
            _ => Err(LedgerError::Home(ObjectError::Io { key, source })),
        }
    }

    fn entry_exists(&self, seq: u64) -> Result<bool, LedgerError> {
        match self.home().open(&self.key("entry", seq)) {
            Ok(_) => Ok(true),
            Err(ObjectError::NotFound(_)) => Ok(false),
            Err(error) => Err(LedgerError::Home(error)),
        }
    }

    /// The newest state that can be read, or the empty one.
    pub(super) fn newest_state(self: &Arc<Self>) -> Result<View, LedgerError> {
        let numbers = self.numbers("state")?;
        let mut first_error = None;
        for seq in numbers.iter().rev() {
            match self.read_state(*seq) {
                Ok(state) => return Ok(View::new(self.clone(), state)),
                Err(error) if error.is_damage() => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first_error {
            // Entries from the very first one are kept until there are two states that can be read. Whether all of them
            // are there shows when they are applied.
            Some(error) if numbers.len() > 1 && !self.entry_exists(1)? => Err(error),
            _ => Ok(View::new(self.clone(), StateAt::default())),
        }
    }

    pub(super) fn read_state(&self, seq: u64) -> Result<StateAt, LedgerError> {
        let key = self.key("state", seq);
        let object = self.home().get(&key).map_err(LedgerError::Home)?;
        let plain = self.unwrap(&object, Kind::State, &key, &self.aad("backstay state 1", &[seq]))?;
        let state = State::decode(&plain.0).map_err(|e| LedgerError::decode(key.as_str(), &e))?;
        let parts = state.parts.into_iter().map(|p| Arc::new(Part::new(p))).collect();
        Ok(StateAt { seq, last: Some(state.last), parts })
    }

    /// Opens an object of a kind: its plaintext, its sealed payload's digest.
    fn unwrap(&self, object: &[u8], kind: Kind, key: &Key, aad: &[u8]) -> Result<(Vec<u8>, Digest), LedgerError> {
        let twin =
            twin::decode(object, kind, Some(self.place.store)).map_err(|e| LedgerError::decode(key.as_str(), &e))?;
        let open = |payload: &[u8]| Ok((boxes::open(&self.place.key, aad, payload)?, chain(payload)));
        match (open(twin.payload), twin.other.map(open)) {
            // Of two writers of one number both are there: which of them was first, nobody can tell.
            (Ok(_), Some(Ok(_))) => {
                let why = "its two copies are different, and both open".to_owned();
                Err(LedgerError::Damaged { name: key.as_str().to_owned(), why })
            }
            (Ok(opened), _) | (Err(_), Some(Ok(opened))) => Ok(opened),
            (Err(error), _) => Err(LedgerError::open(key.as_str(), error)),
        }
    }

    /// Brings a view to the newest entry, resting on the newest state: parts that only older states name are deleted.
    pub(super) fn catch_up(self: &Arc<Self>, view: &mut View) -> Result<(), LedgerError> {
        let known = view.seq();
        for _ in 0..RETRIES {
            let newest_entry = self.numbers("entry")?.last().copied().unwrap_or(0);
            let newest_state = self.numbers("state")?.last().copied().unwrap_or(0);
            if newest_state > view.state().seq {
                let newest = self.newest_state()?;
                // If newer ones cannot be read, what is known rests on an older one as before.
                if newest.state().seq > view.state().seq {
                    *view = newest;
                }
            }
            // A state, readable or not, is of an entry that was there.
            let newest = newest_entry.max(newest_state).max(known);
            while view.seq() < newest {
                let Some((entry, digest)) = self.read_entry(view.seq() + 1)? else { break };
                if entry.previous != view.last() {
                    let name = self.key("entry", view.seq() + 1).as_str().to_owned();
                    return Err(LedgerError::Damaged { name, why: "it does not follow the entry before it".into() });
                }
                view.apply(entry.changes, digest);
            }
            if view.seq() >= newest {
                return Ok(());
            }
            // The next entry is lost, unless it was folded away after we looked for a newer state.
        }
        Err(self.gap(view.seq() + 1))
    }

    pub(super) fn gap(&self, seq: u64) -> LedgerError {
        LedgerError::Gap { missing: self.key("entry", seq).as_str().to_owned() }
    }

    pub(super) fn read_entry(&self, seq: u64) -> Result<Option<(Entry, Digest)>, LedgerError> {
        let key = self.key("entry", seq);
        let object = match self.home().get(&key) {
            Ok(object) => object,
            Err(ObjectError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(LedgerError::Home(error)),
        };
        let (plain, digest) = self.unwrap(&object, Kind::Entry, &key, &self.aad("backstay entry 1", &[seq]))?;
        let entry = Entry::decode(&plain).map_err(|e| LedgerError::decode(key.as_str(), &e))?;
        Ok(Some((entry, digest)))
    }

    /// Reads a part, from the second copy if the first does not open.
    pub(super) fn read_part(&self, part: &PartRef) -> Result<Rows, LedgerError> {
        let key = self.key("parts", part.object);
        let object = match self.home().open(&key) {
            Err(ObjectError::NotFound(key)) => return Err(LedgerError::Missing { name: key.as_str().to_owned() }),
            object => object.map_err(LedgerError::Home)?,
        };
        let aad = self.aad("backstay part 1", &[part.object, part.offset]);
        let mut outcome = Err(LedgerError::decode(key.as_str(), &backstay_format::DecodeError::Truncated));
        for start in [0, twin::second_copy(object.size())] {
            let from = start.saturating_add(twin::HEADER_LEN as u64).saturating_add(part.offset);
            let end = from.saturating_add(part.len);
            if part.plain > MAX_PART || end > object.size() {
                continue;
            }
            let mut sealed = vec![0; part.len as usize];
            match object.read_at(from, &mut sealed) {
                Ok(()) => {}
                Err(ObjectError::Short(_)) => continue,
                Err(error) => return Err(LedgerError::Home(error)),
            }
            outcome = self.open_part(part, &aad, &sealed, key.as_str());
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn open_part(&self, part: &PartRef, aad: &[u8], sealed: &[u8], name: &str) -> Result<Rows, LedgerError> {
        let packed = boxes::open(&self.place.key, aad, sealed).map_err(|e| LedgerError::open(name, e))?;
        let plain = decompress(&packed, part.plain as usize).map_err(|e| LedgerError::open(name, e))?;
        let rows = decode_part(&plain).map_err(|e| LedgerError::decode(name, &e))?;
        let as_promised = rows.len() as u64 == part.rows && rows.first().is_some_and(|(k, _)| *k == part.first_key);
        if as_promised {
            Ok(rows)
        } else {
            Err(LedgerError::decode(name, &backstay_format::DecodeError::Invalid("part")))
        }
    }
}
