//! A vault with an intake, and agents that talk to it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use backstay_agent::{Reading, Seen, Session};
use backstay_env::link::Link;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_env::sim::link::pair;
use backstay_env::volume::Volume as _;
use backstay_format::keys::Argon2Cost;
use backstay_format::units::PointNo;
use backstay_format::wire::v1::{DiskTold, Task, Told};
use backstay_intake::{Intake, Watch};
use backstay_vault::protect::Made;
use backstay_vault::{Seams, Vault, VaultError};
use backstay_verify::{Reader, SeqSink};

const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) vault: Vault,
    pub(crate) intake: Intake,
    pub(crate) log: Log,
}

/// What was told.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Watch for Log {
    fn came(&self, machine: &str, program: &str) {
        self.add(format!("{machine}: {program} came"));
    }

    fn made(&self, made: &Made) {
        self.add(format!("{}: point {}", made.machine.row.name, made.point.number.0));
    }

    fn failed(&self, machine: &str, error: &VaultError) {
        self.add(format!("{machine}: {error}"));
    }

    fn left(&self, machine: &str, why: Option<&str>) {
        self.add(format!("{machine}: left {}", why.unwrap_or("in peace")));
    }
}

impl World {
    pub(crate) fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let home = Arc::new(Folder::create(dir.path().join("store")).unwrap());
        let clock = Arc::new(SystemClock);
        let seams =
            Seams { home: home.clone(), index_home: home, clock: clock.clone(), random: Arc::new(SystemRandom) };
        Vault::create_with(&seams, "main", b"secret", CHEAP).unwrap();
        let vault = Vault::open(seams, "main", b"secret").unwrap();
        World { dir, vault, intake: Intake::new(clock, 2), log: Log::default() }
    }

    /// One that is not patient.
    pub(crate) fn impatient(self) -> World {
        World { intake: self.intake.with_patience(std::time::Duration::from_millis(300)), ..self }
    }

    /// Holds a session of a machine while `then` talks over its other end.
    pub(crate) fn with_link<T>(&self, machine: &str, then: impl FnOnce(Arc<dyn Link>) -> T) -> T {
        let (here, there) = pair();
        let here: Arc<dyn Link> = Arc::new(here);
        std::thread::scope(|scope| {
            scope.spawn(move || self.intake.serve(&here, machine, &self.vault, &self.log));
            let there: Arc<dyn Link> = Arc::new(there);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| then(there.clone())));
            there.close();
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn with_session<T>(&self, machine: &str, then: impl FnOnce(&Arc<Session>) -> T) -> T {
        self.with_link(machine, |link| then(&Arc::new(Session::over(link, "a test".into(), 2).unwrap())))
    }

    /// The independent reader finds nothing wrong.
    pub(crate) fn witness(&self) -> Reader {
        let reader = Reader::open(&self.dir.path().join("store"), "main", b"secret").unwrap();
        let found = reader.check().findings;
        assert!(found.is_empty(), "{}", found[0]);
        reader
    }

    /// The independent reader and we read this of a machine's only disk at a point.
    pub(crate) fn holds(&self, machine: &str, number: u64, expected: &[u8]) {
        let reader = self.witness();
        let mut bytes = Vec::new();
        let found = reader.find(machine).unwrap();
        assert_eq!(reader.read_disk(found, number, 1, &mut SeqSink::new(&mut bytes)).unwrap(), []);
        assert!(bytes == expected, "{machine} at {number}");
        let machine = self.vault.machine(machine).unwrap();
        let point = self.vault.point(&machine, PointNo(number)).unwrap();
        let disk = self.vault.disk(&machine, &point, None).unwrap();
        let mut bytes = vec![0; disk.size() as usize];
        disk.read_at(0, &mut bytes).unwrap();
        assert!(bytes == expected);
    }
}

pub(crate) fn task(disk: &[u8]) -> Task {
    let disk = DiskTold {
        name: "sda".into(),
        origin: "memory".into(),
        size: disk.len() as u64,
        sector: 512,
        used: disk.len() as u64,
        exclusions: Vec::new(),
    };
    Task { disks: vec![disk], note: String::new(), now: 0, every: 0, causes: Vec::new() }
}

pub(crate) fn told() -> Told {
    Told {
        now: 100,
        time: 90,
        still: true,
        held: 5,
        note: "told".into(),
        stamps: vec![vec![7]],
        every: 0,
        causes: Vec::new(),
    }
}

pub(crate) fn reading(disk: &Vec<u8>) -> [Reading<'_>; 1] {
    [Reading { disk: 0, volume: disk, used: std::iter::once(0..disk.len() as u64).collect(), excluded: Vec::new() }]
}

/// Nobody cancels, and nobody counts.
pub(crate) fn calm() -> (&'static AtomicBool, Seen<'static>) {
    static NEVER: AtomicBool = AtomicBool::new(false);
    (&NEVER, &|_, _| ())
}

pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
