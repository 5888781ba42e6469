//! Timelines of millions of points, for whoever reads them: written straight into a vault's ledger, as rows of points that have no data.
//!
//! `points MACHINES POINTS STORE PASSPHRASE-FILE` gives each of the machines `m0001`, `m0002` and so on its share of the points, one
//! every ten seconds up to now. Pages and pictures of such timelines are read as those of any other; there is nothing to restore.
//! Never knows: who reads them.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use backstay_bench::Random;
use backstay_env::objects::{Key, Objects};
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::time::Clock as _;
use backstay_format::keys::KeySlot;
use backstay_format::ledger::Change;
use backstay_format::names;
use backstay_format::rows::gap::IntervalRow;
use backstay_format::rows::{Consistency, DiskAt, MachineRow, PointRow, RowKey};
use backstay_format::twin::{self, Kind};
use backstay_format::units::{DiskNo, MachineId, PointNo, Timestamp};
use backstay_seal::keys::VaultKeys;
use backstay_seal::passphrase;
use backstay_store::ledger::{Ledger, Place};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SECOND: i64 = 1_000_000_000;
/// From point to point.
const EVERY: i64 = 10 * SECOND;
/// Rows of one entry, and entries from state to state.
const ROWS: usize = 20_000;
const ENTRIES: usize = 10;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [machines, points, store, file] = arguments.as_slice() else {
        return Err("usage: points MACHINES POINTS STORE PASSPHRASE-FILE".into());
    };
    let (machines, points): (u64, u64) = (machines.parse()?, points.parse()?);
    let passphrase = std::fs::read_to_string(file)?;
    let mut writer = Writer { ledger: ledger(Path::new(store), passphrase.trim())?, rows: Vec::new(), entries: 0 };
    let mut random = Random::seeded(11);
    for machine in 0..machines {
        let share = points / machines + u64::from(machine < points % machines);
        timeline(&mut writer, &mut random, (machine, share))?;
    }
    writer.commit()?;
    writer.ledger.fold()?;
    println!("points {points}");
    Ok(())
}

/// The ledger of the vault `main`.
fn ledger(store: &Path, phrase: &str) -> Outcome<Ledger> {
    let home: Arc<dyn Objects> = Arc::new(Folder::open(store)?);
    let object = home.get(&Key::new(names::key_slot("main", 0)).ok_or("a key slot has a name")?)?;
    let twin = twin::decode(&object, Kind::KeySlot, None)?;
    let slot = KeySlot::decode(twin.payload)?;
    let root = passphrase::open_slot(twin.store, &slot, phrase.as_bytes())?;
    let key = VaultKeys::derive(&root).ledger;
    let folder = names::ledger("main", "ledger");
    Ok(Ledger::open(Place { home, folder, store: twin.store, vault: slot.vault, key }, Arc::new(SystemRandom))?)
}

struct Writer {
    ledger: Ledger,
    rows: Vec<Change>,
    entries: usize,
}

impl Writer {
    fn put(&mut self, key: RowKey, value: Vec<u8>) -> Outcome<()> {
        self.rows.push(Change { key: key.encode(), value: Some(value) });
        if self.rows.len() >= ROWS { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Outcome<()> {
        let mut rows = Some(std::mem::take(&mut self.rows));
        let taken = self.ledger.commit::<()>(("bench", SystemClock.now()), |_| Ok(rows.take().unwrap_or_default()));
        taken.map_err(|error| format!("{error:?}"))?;
        self.entries += 1;
        if self.entries.is_multiple_of(ENTRIES) {
            self.ledger.fold()?;
        }
        Ok(())
    }
}

fn timeline(writer: &mut Writer, random: &mut Random, (machine, points): (u64, u64)) -> Outcome<()> {
    let mut id = MachineId([0; 16]);
    random.fill(&mut id.0);
    let name = format!("m{:04}", machine + 1);
    let first = SystemClock.now().0 - points as i64 * EVERY;
    let row = MachineRow {
        created: Timestamp(first),
        name: name.clone(),
        next_disk: DiskNo(2),
        next_point: PointNo(points + 1),
    };
    writer.put(RowKey::Machine(id), row.encode())?;
    writer.put(RowKey::Name(name), id.0.to_vec())?;
    writer.put(RowKey::Interval(id), IntervalRow { every: EVERY as u64 }.encode())?;
    for number in 1..=points {
        let row = point(random, Timestamp(first + number as i64 * EVERY));
        writer.put(RowKey::Point(id, PointNo(number)), row.encode())?;
    }
    Ok(())
}

fn point(random: &mut Random, time: Timestamp) -> PointRow {
    let changed = random.next() % 200;
    let disk = DiskAt {
        disk: DiskNo(1),
        name: "sda".into(),
        source: "/dev/sda".into(),
        size: 100 << 30,
        sector: 512,
        unreadable: 0,
        absent: 20_000_000,
        excluded: 0,
        stamp: Vec::new(),
        exclusions: Vec::new(),
    };
    PointRow {
        time,
        started: Timestamp(time.0 - SECOND / 10),
        committed: Timestamp(time.0 + SECOND / 5),
        consistency: Consistency::Still,
        note: String::new(),
        disks: vec![disk],
        read: changed * 4096,
        changed,
        stored: changed * 1800,
        held: 3_000_000 + changed * 20_000,
    }
}
