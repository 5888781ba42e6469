//! A vault being written: keys, two ledgers with states, packs in objects.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::encode::{self, Change, Extent, Id, Key, Kind, Pack, bytes, varint};

pub(crate) const PASSPHRASE: &[u8] = b"a passphrase of the fixture";
pub(crate) const NAME: &str = "main";

pub(crate) struct Vault {
    folder: TempDir,
    pub(crate) store: Id,
    pub(crate) id: Id,
    pub(crate) chunk_key: Key,
    wrap_key: Key,
    bucket: (Id, Key),
    salts: Cell<u64>,
    pub(crate) ledger: Ledger,
    pub(crate) table: Ledger,
}

pub(crate) struct Ledger {
    domain: &'static str,
    key: Key,
    pub(crate) head: u64,
    pub(crate) link: [u8; 32],
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    parts: Vec<Part>,
}

/// A part of the newest state: its plain rows and its record in the root.
struct Part {
    plain: Vec<u8>,
    record: Vec<u8>,
}

impl Ledger {
    fn new(domain: &'static str, key: Key) -> Self {
        Self { domain, key, head: 0, link: [0; 32], rows: BTreeMap::new(), parts: Vec::new() }
    }

    fn aad(&self, vault: &Id, purpose: &str, numbers: &[u64]) -> Vec<u8> {
        let mut aad = [purpose.as_bytes(), self.domain.as_bytes(), vault].concat();
        numbers.iter().for_each(|number| aad.extend(number.to_le_bytes()));
        aad
    }
}

pub(crate) fn derive(purpose: &str, key: &Key) -> Key {
    blake3::derive_key(&format!("backstay 2026-11 {purpose}"), key)
}

impl Vault {
    pub(crate) fn new() -> Self {
        let (vault_key, dedup_key) = ([0x21; 32], [0x22; 32]);
        let mut vault = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            store: [0x11; 16],
            id: [0x12; 16],
            chunk_key: derive("chunk id", &dedup_key),
            wrap_key: derive("bucket wrap", &vault_key),
            bucket: ([0x13; 16], [0x23; 32]),
            salts: Cell::new(0),
            ledger: Ledger::new("ledger", derive("ledger", &vault_key)),
            table: Ledger::new("keytable", derive("key table", &vault_key)),
        };
        let header = [0u32.to_le_bytes().as_slice(), &1_795_000_000_000_000_000i64.to_le_bytes()].concat();
        vault.put("backstay.store", &encode::twin(1, &vault.store, &header));
        vault.slot("0000", PASSPHRASE, &[vault_key, dedup_key].concat());
        vault.slot("0001", b"the passphrase of someone else", &[vault_key, dedup_key].concat());
        vault.first_bucket();
        vault
    }

    fn slot(&self, name: &str, passphrase: &[u8], keys: &[u8]) {
        let numbers = encode::SlotNumbers { memory: 16, passes: 1, lanes: 2 };
        let salt = self.salt();
        let key = encode::slot_key(passphrase, &salt, &numbers);
        let aad = [b"backstay slot 1".as_slice(), &self.store, &self.id].concat();
        let mut payload = encode::slot_head(&self.id, &salt, &numbers, 1, "who knows it");
        payload.extend(encode::seal(&key, self.salt(), &aad, keys));
        self.put(&format!("vault/{NAME}/keys/{name}"), &encode::twin(2, &self.store, &payload));
    }

    fn first_bucket(&mut self) {
        let (id, key) = self.bucket;
        let mut value = Vec::new();
        bytes(&mut value, b"system");
        value.extend(0u32.to_le_bytes());
        value.extend(0u64.to_le_bytes());
        value.extend(encode::seal(&self.wrap_key, self.salt(), &[b"backstay bucket 1".as_slice(), &id].concat(), &key));
        self.commit(true, &[([b"b".as_slice(), &id].concat(), Some(value))]);
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, object: &[u8]) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("folders are made");
        std::fs::write(path, object).expect("the object is written");
    }

    /// A salt that was not used before.
    pub(crate) fn salt(&self) -> Id {
        self.salts.set(self.salts.get() + 1);
        u128::from(self.salts.get()).to_le_bytes()
    }

    /// Writes an entry of the ledger, or of the key table.
    pub(crate) fn commit(&mut self, table: bool, changes: &[Change]) {
        let ledger = if table { &mut self.table } else { &mut self.ledger };
        for (key, value) in changes {
            match value {
                Some(value) => ledger.rows.insert(key.clone(), value.clone()),
                None => ledger.rows.remove(key),
            };
        }
        let plain = encode::entry(&ledger.link, 1_795_000_000_000_000_000, "test", changes);
        let number = ledger.head + 1;
        self.entry(table, number, &plain);
    }

    /// Writes an entry as given.
    pub(crate) fn entry(&mut self, table: bool, number: u64, plain: &[u8]) {
        let salt = self.salt();
        let ledger = if table { &mut self.table } else { &mut self.ledger };
        let sealed = encode::seal(&ledger.key, salt, &ledger.aad(&self.id, "backstay entry 1", &[number]), plain);
        (ledger.head, ledger.link) = (number, *blake3::hash(&sealed).as_bytes());
        let name = format!("vault/{NAME}/{}/entry/{number:016x}", ledger.domain);
        self.put(&name, &encode::twin(3, &self.store, &sealed));
    }

    /// Writes a state for the head, with this many rows in a part. Parts
    /// that the newest state has too are shared.
    pub(crate) fn state(&mut self, table: bool, rows_in_part: usize) {
        let ledger = if table { &self.table } else { &self.ledger };
        let number = ledger.head;
        let (mut payload, mut parts) = (Vec::new(), Vec::new());
        let rows: Vec<(&Vec<u8>, &Vec<u8>)> = ledger.rows.iter().collect();
        for rows in rows.chunks(rows_in_part) {
            let mut plain = Vec::new();
            for (key, value) in rows {
                bytes(&mut plain, key);
                bytes(&mut plain, value);
            }
            let shared = ledger.parts.iter().find(|part| part.plain == plain);
            let record = shared.map(|part| part.record.clone()).unwrap_or_else(|| {
                let offset = payload.len() as u64;
                let aad = ledger.aad(&self.id, "backstay part 1", &[number, offset]);
                let sealed = encode::seal(&ledger.key, self.salt(), &aad, &encode::zstd(&plain));
                payload.extend(&sealed);
                let mut record = Vec::new();
                bytes(&mut record, rows[0].0);
                record.extend(number.to_le_bytes());
                for value in [offset, sealed.len() as u64, plain.len() as u64, rows.len() as u64] {
                    varint(&mut record, value);
                }
                record
            });
            parts.push(Part { plain, record });
        }
        self.put(
            &format!("vault/{NAME}/{}/parts/{number:016x}", ledger.domain),
            &encode::twin(5, &self.store, &payload),
        );
        let mut root = ledger.link.to_vec();
        varint(&mut root, parts.len() as u64);
        parts.iter().for_each(|part| root.extend(&part.record));
        let sealed =
            encode::seal(&ledger.key, self.salt(), &ledger.aad(&self.id, "backstay state 1", &[number]), &root);
        self.put(
            &format!("vault/{NAME}/{}/state/{number:016x}", ledger.domain),
            &encode::twin(4, &self.store, &sealed),
        );
        if table { self.table.parts = parts } else { self.ledger.parts = parts }
    }

    /// Writes packs back to back into one object, commits their data keys,
    /// and gives their rows `k`.
    pub(crate) fn object(&mut self, object: Id, packs: &[&Pack]) -> Vec<Change> {
        let (mut body, mut rows, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for pack in packs {
            let (bytes, footer) = pack.finish(&self.store, [self.salt(), self.salt()]);
            let mut value = [&[1], object.as_slice()].concat();
            let numbers = [body.len() as u64, bytes.len() as u64, footer, pack.frames.len() as u64, pack.count()];
            numbers.iter().for_each(|number| varint(&mut value, *number));
            rows.push(([b"k".as_slice(), &pack.id].concat(), Some(value)));
            keys.push(self.data_key(pack));
            body.extend(bytes);
        }
        let id: String = object.iter().map(|byte| format!("{byte:02x}")).collect();
        self.put(&format!("vault/{NAME}/pack/{}/{id}", &id[30..]), &body);
        self.commit(true, &keys);
        rows
    }

    fn data_key(&self, pack: &Pack) -> Change {
        let aad = [b"backstay data key 1".as_slice(), &pack.id].concat();
        let sealed = encode::seal(&self.bucket.1, self.salt(), &aad, &pack.key);
        ([b"d".as_slice(), &pack.id].concat(), Some([self.bucket.0.as_slice(), &sealed].concat()))
    }
}

pub(crate) fn span_suffix(machine: &Id, to: u64, from: u64) -> Vec<u8> {
    [machine.as_slice(), &to.to_be_bytes(), &from.to_be_bytes()].concat()
}

/// Writes a run into `pack` and gives its rows `s` and `r`.
pub(crate) fn span(pack: &mut Pack, machine: &Id, to: u64, from: u64, level: u64, extents: &[Extent]) -> Vec<Change> {
    let (frame, mut packs) = encode::run(pack, extents);
    let pages = extents.iter().filter(|extent| matches!(extent.kind, Kind::Data(..))).map(|extent| extent.pages).sum();
    let mut value = [&[1], pack.id.as_slice()].concat();
    [frame, extents.len() as u64, pages, level].iter().for_each(|number| varint(&mut value, *number));
    let suffix = span_suffix(machine, to, from);
    let mut rows = vec![([b"s".as_slice(), &suffix].concat(), Some(value))];
    if !packs.contains(&pack.id) {
        packs.push(pack.id);
    }
    rows.extend(packs.iter().map(|id| ([b"r".as_slice(), id, &suffix].concat(), Some(Vec::new()))));
    rows
}

pub(crate) fn machine(id: &Id, name: &str, next_disk: u64, next_point: u64) -> Vec<Change> {
    let mut value = vec![1];
    value.extend(1_700_000_000_000_000_000i64.to_le_bytes());
    bytes(&mut value, name.as_bytes());
    varint(&mut value, next_disk);
    varint(&mut value, next_point);
    vec![([b"m".as_slice(), id].concat(), Some(value)), ([b"n", name.as_bytes()].concat(), Some(id.to_vec()))]
}

/// A point with disks of these numbers and sizes; one of an even number is of version 2.
pub(crate) fn point(machine: &Id, number: u64, disks: &[(u64, u64)]) -> Change {
    let version = 2 - number % 2;
    let mut value = vec![version as u8];
    for time in [10, 20, 30i64] {
        value.extend((time + number as i64 * 1_000_000_000).to_le_bytes());
    }
    value.push(number as u8 % 2);
    bytes(&mut value, "a note, größer".as_bytes());
    varint(&mut value, disks.len() as u64);
    for (disk, size) in disks {
        varint(&mut value, *disk);
        bytes(&mut value, format!("sd{disk}").as_bytes());
        bytes(&mut value, b"/dev/disk");
        [*size, 512, 1, 3, 2].iter().for_each(|number| varint(&mut value, *number));
        bytes(&mut value, b"stamp");
        varint(&mut value, 1);
        bytes(&mut value, b"/var/cache");
        varint(&mut value, 9000);
    }
    [7, 8, 9].iter().for_each(|number| varint(&mut value, *number));
    if version == 2 {
        varint(&mut value, 3_000_000);
    }
    ([b"p".as_slice(), machine, &number.to_be_bytes()].concat(), Some(value))
}

/// What a machine promised, that nothing is wanted of it, and the gap that a point ended.
pub(crate) fn gap(machine: &Id, ended_by: u64, whys: &[u8]) -> Vec<Change> {
    let (mut interval, mut suspension, mut gap) = (vec![1], vec![1], vec![1]);
    varint(&mut interval, 10_000_000_000);
    for value in [&mut suspension, &mut gap] {
        [5, 6i64].iter().for_each(|time| value.extend(time.to_le_bytes()));
    }
    bytes(&mut suspension, "größer".as_bytes());
    varint(&mut gap, whys.len() as u64);
    for (since, why) in whys.iter().enumerate() {
        gap.extend((since as i64).to_le_bytes());
        gap.push(*why);
        bytes(&mut gap, b"tape");
    }
    let key = |kind: &[u8]| [kind, machine].concat();
    vec![
        (key(b"e"), Some(interval)),
        (key(b"q"), Some(suspension)),
        ([key(b"a"), ended_by.to_be_bytes().to_vec()].concat(), Some(gap)),
    ]
}
