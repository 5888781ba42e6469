//! Readers that nobody here wrote judge a log in a folder: Cloudflare's `signed_note` and `tlog_tiles` its signatures, tiles and
//! proofs, `ciborium` its records. They accept it, and refuse it once it was tampered with.

use std::fs;
use std::path::{Path, PathBuf};

use backstay_audit::{Event, Log};
use backstay_env::real::folder::Folder;
use ciborium::Value;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record,
    prove_tree, record_hash, stored_hash_index, tree_hash,
};

use crate::world::{ORIGIN, event, keys, seams, vkey};

/// The log as a stranger's library reads it.
struct Served(PathBuf);

impl Served {
    /// A file, or what there is of its full form.
    fn bytes(&self, path: &str, len: usize) -> Option<Vec<u8>> {
        let full = path.split(".p/").next().expect("a split has a first part");
        let mut bytes = fs::read(self.0.join(path)).or_else(|_| fs::read(self.0.join(full))).ok()?;
        bytes.truncate(len);
        Some(bytes)
    }

    /// The records of a log of that size, by nothing but the specification.
    fn records(&self, size: u64) -> Vec<Vec<u8>> {
        let mut records: Vec<Vec<u8>> = Vec::new();
        for number in 0..size.div_ceil(256) {
            let width = (size - 256 * number).min(256);
            let path =
                format!("tile/entries/{number:03}{}", if width < 256 { format!(".p/{width}") } else { String::new() });
            let bytes = self.bytes(&path, usize::MAX).expect("the records are there");
            let mut rest = bytes.as_slice();
            while let [high, low, more @ ..] = rest {
                let (record, next) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                records.push(record.to_vec());
                rest = next;
            }
        }
        records.truncate(size as usize);
        records
    }
}

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            self.bytes(&path, tile.width() as usize * 32).ok_or(Error::InvalidTile)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// A checkpoint whose signature holds.
fn checkpoint(bytes: &[u8]) -> Result<Checkpoint, String> {
    let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    let key = StandardVerifier::new(&vkey().to_string()).map_err(|error| error.to_string())?;
    note.verify(&VerifierList::new(vec![Box::new(key)])).map_err(|error| error.to_string())?;
    Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())
}

/// Checks a whole log, and that it goes on from the one of an older checkpoint.
fn accept(folder: &Path, older: &[u8]) -> Result<u64, String> {
    let said = |error: Error| format!("{error:?}");
    let now = checkpoint(&fs::read(folder.join("checkpoint")).map_err(|error| error.to_string())?)?;
    let served = Served(folder.to_owned());
    let tiles = TileHashReader::new(now.size(), *now.hash(), &served);
    if tree_hash(now.size(), &tiles).map_err(said)? != *now.hash() {
        return Err("another root".to_owned());
    }
    let records = served.records(now.size());
    let indexes: Vec<u64> = (0..now.size()).map(|n| stored_hash_index(0, n)).collect();
    let hashes = tiles.read_hashes(&indexes).map_err(said)?;
    if records.iter().map(|record| record_hash(record)).ne(hashes) {
        return Err("other records".to_owned());
    }
    for n in (0..now.size()).step_by(97) {
        let proof = prove_record(now.size(), n, &tiles).map_err(said)?;
        check_record(&proof, now.size(), *now.hash(), n, record_hash(&records[n as usize])).map_err(said)?;
    }
    let older = checkpoint(older)?;
    let proof = prove_tree(now.size(), older.size(), &tiles).map_err(said)?;
    check_tree(&proof, now.size(), *now.hash(), older.size(), *older.hash()).map_err(said)?;
    Ok(now.size())
}

/// A log of 600 records in a folder, and its checkpoint at 300.
fn logged(folder: &Path) -> (Log, Vec<u8>) {
    let log = Log::open(&seams(Folder::open(folder).unwrap(), 1), &keys(), ORIGIN).unwrap();
    let mut older = Vec::new();
    for n in 0..600 {
        if n == 300 {
            older = fs::read(folder.join("checkpoint")).unwrap();
        }
        log.append(&event(n)).unwrap();
    }
    (log, older)
}

#[test]
fn strangers_accept_the_log_and_its_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let (log, older) = logged(folder.path());
    assert_eq!(accept(folder.path(), &older), Ok(600));

    let now = checkpoint(&fs::read(folder.path().join("checkpoint")).unwrap()).unwrap();
    let records = Served(folder.path().to_owned()).records(600);
    for index in [0, 255, 256, 511, 512, 599] {
        let path: Vec<Hash> = log.prove(index).unwrap().path.iter().map(|hash| Hash(hash.0)).collect();
        let leaf = record_hash(&records[index as usize]);
        check_record(&path, 600, *now.hash(), index, leaf).unwrap();
    }
}

#[test]
fn strangers_refuse_a_log_that_was_tampered_with() {
    let folder = tempfile::tempdir().unwrap();
    let (_, older) = logged(folder.path());
    let harm = |path: &str, at: usize| {
        let path = folder.path().join(path);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let told = accept(folder.path(), &older);
        fs::write(&path, good).unwrap();
        told
    };
    for (path, at) in [
        ("checkpoint", 24),                // the size
        ("checkpoint", 40),                // the root
        ("tile/0/000", 100 * 32),          // a hash
        ("tile/1/000.p/2", 0),             // a hash of hashes
        ("tile/entries/001", 50),          // a record
        ("tile/entries/002.p/88", 9),      // a record that is new
        ("tile/0/002.p/88", 87 * 32 + 31), // its hash
    ] {
        assert!(harm(path, at).is_err(), "{path}");
    }
    assert_eq!(accept(folder.path(), &older), Ok(600));
    fs::write(folder.path().join("checkpoint"), &older).unwrap();
    let newer = fs::read(folder.path().join("checkpoint")).unwrap();
    assert_eq!(accept(folder.path(), &newer), Ok(300), "an old one holds by itself");
}

#[test]
fn a_stranger_reads_the_records_and_writes_them_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(&seams(Folder::open(folder.path()).unwrap(), 1), &keys(), ORIGIN).unwrap();
    let hash = backstay_audit::tree::Hash([3; 32]);
    let events = [
        Event::started(hash),
        Event::intent("restore.read").by("ann").from("192.0.2.1").on("web").request([1; 16]),
        Event::outcome(1, "restore.read", true).detail("{\"bytes\":70000}"),
        Event::done("setting.change", true).config(hash, hash),
        Event::stopped(),
    ];
    events.iter().for_each(|event| assert!(log.append(event).is_ok()));
    let records = Served(folder.path().to_owned()).records(5);
    for (record, event) in records.iter().zip(&events) {
        let value: Value = ciborium::from_reader(record.as_slice()).unwrap();
        let mut again = Vec::new();
        ciborium::into_writer(&value, &mut again).unwrap();
        assert_eq!(&again, record);
        let rows = value.into_map().unwrap();
        let what = rows.iter().find(|(key, _)| *key == Value::from(3)).map(|(_, value)| value.clone());
        assert_eq!(what, Some(Value::from(event.what.as_str())));
    }
}
