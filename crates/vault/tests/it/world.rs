//! A store in a temporary folder, a disk in memory, and what tests do with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use backstay_env::objects::Key;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::volume::Volume;
use backstay_format::keys::Argon2Cost;
use backstay_format::rows::Consistency;
use backstay_format::units::PointNo;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Made, Progress, Source, Verdict};
use backstay_vault::{Seams, Vault, VaultError};
use backstay_verify::{Reader, SeqSink};

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) seams: Seams,
}

const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Arc::new(Folder::create(dir.path().join("store")).unwrap());
        let seams = Seams {
            home: home.clone(),
            index_home: home,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        Vault::create_with(&seams, "main", b"secret", CHEAP).unwrap();
        World { dir, seams }
    }

    /// Bytes in the store's pack objects, and how many objects there are.
    pub(crate) fn packs(&self) -> (u64, usize) {
        let prefix = Key::new("vault/main/pack").unwrap();
        let listed = self.seams.home.list(&prefix).unwrap();
        (listed.iter().map(|l| l.size).sum(), listed.len())
    }

    /// Names of the store's pack objects.
    pub(crate) fn pack_objects(&self) -> BTreeSet<Key> {
        let listed = self.seams.home.list(&Key::new("vault/main/pack").unwrap()).unwrap();
        listed.into_iter().map(|l| l.key).collect()
    }

    /// The store as the independent reader sees it.
    pub(crate) fn witness(&self) -> Reader {
        Reader::open(&self.dir.path().join("store"), "main", b"secret").unwrap()
    }

    /// The independent reader finds nothing wrong, and reads of machine alpha's disk at a point what we read.
    pub(crate) fn witnessed(&self, states: &BTreeMap<u64, Vec<u8>>) {
        let reader = self.witness();
        let found = reader.check().findings;
        assert!(found.is_empty(), "{}", found[0]);
        states.iter().for_each(|(number, expected)| self.witness_reads(&reader, *number, expected));
    }

    /// The independent reader reads this at a point.
    pub(crate) fn witness_reads(&self, reader: &Reader, number: u64, expected: &[u8]) {
        let machine = reader.find("alpha").unwrap();
        let mut bytes = Vec::new();
        let unvouched = reader.read_disk(machine, number, 1, &mut SeqSink::new(&mut bytes)).unwrap();
        assert_eq!(unvouched, [], "point {number}");
        assert!(bytes == expected, "point {number}");
    }

    pub(crate) fn open(&self) -> Vault {
        Vault::open(self.seams.clone(), "main", b"secret").unwrap()
    }
}

pub(crate) fn protect(vault: &Vault, disk: &Vec<u8>) -> Made {
    try_protect(vault, disk, vec![0..disk.len() as u64]).unwrap()
}

pub(crate) fn try_protect(vault: &Vault, disk: &Vec<u8>, used: Vec<std::ops::Range<u64>>) -> Result<Made, VaultError> {
    let verdict = || Verdict { consistency: Consistency::Still, stamps: vec![] };
    let source = Source {
        name: "sda".into(),
        origin: "memory".into(),
        volume: disk,
        used,
        excluded: Vec::new(),
        exclusions: Vec::new(),
    };
    vault.protect(&Capture {
        machine: "alpha",
        sources: vec![source],
        note: String::new(),
        verdict: &verdict,
        cancel: &AtomicBool::new(false),
        progress: &Progress::default(),
        promise: Promise::default(),
    })
}

pub(crate) fn read(vault: &Vault, number: PointNo) -> Vec<u8> {
    let machine = vault.machine("alpha").unwrap();
    let point = vault.point(&machine, number).unwrap();
    let disk = vault.disk(&machine, &point, None).unwrap();
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut state = seed | 1;
    for byte in &mut out {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    out
}
