//! A whole session of an agent that says whatever it likes to a server's intake, over a vault in memory in which another machine has a
//! point: nothing panics, the other machine's timeline is as it was, nobody else's is there, and the vault is sound afterwards.
#![no_main]

use std::sync::{Arc, LazyLock};

use backstay_env::link::Link;
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::objects::SimObjects;
use backstay_env::sim::random::SimRandom;
use backstay_env::volume::Volume as _;
use backstay_format::keys::Argon2Cost;
use backstay_format::rows::Consistency;
use backstay_format::units::PointNo;
use backstay_fuzz::liar::{Liar, Nobody};
use backstay_intake::Intake;
use backstay_store::ingest::Tuning;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Progress, Source, Verdict};
use backstay_vault::{Seams, Vault};

const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 32, passes: 1, lanes: 1 };

/// On one thread: the same every time.
const ALONE: Tuning = Tuning { threads: 0, level: 1, frame_pages: 8, pack_plain: 64 << 10 };

/// What the honest machine's disk holds.
static DISK: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..1_u32 << 18).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect());

/// A home with the vault and the honest machine's point.
static HOME: LazyLock<SimObjects> = LazyLock::new(|| {
    let home = SimObjects::seeded(1);
    let seams = seams(home.another_process());
    Vault::create_with(&seams, "main", b"secret", CHEAP).unwrap();
    let vault = Vault::open(seams, "main", b"secret").unwrap();
    let source = Source {
        name: "sda".into(),
        origin: "memory".into(),
        used: std::iter::once(0..DISK.len() as u64).collect(),
        volume: &*DISK,
        excluded: Vec::new(),
        exclusions: Vec::new(),
    };
    let capture = Capture {
        machine: "honest",
        sources: vec![source],
        note: String::new(),
        verdict: &|| Verdict { consistency: Consistency::Still, stamps: vec![Vec::new()] },
        cancel: &false.into(),
        progress: &Progress::default(),
        promise: Promise::default(),
    };
    vault.protect(&capture).unwrap();
    home
});

fn seams(home: SimObjects) -> Seams {
    let home = Arc::new(home);
    Seams {
        home: home.clone(),
        index_home: home,
        clock: Arc::new(SimClock::seeded(1)),
        random: Arc::new(SimRandom::seeded(1)),
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let vault = Vault::open(seams(HOME.fork()), "main", b"secret").unwrap().with_tuning(ALONE);
    let intake = Intake::new(Arc::new(SimClock::seeded(2)), 2);
    let link: Arc<dyn Link> = Arc::new(Liar::new(bytes, vault.keys_for_agents()));
    intake.serve(&link, "liar", &vault, &Nobody);
    let mut names: Vec<String> = vault.machines().unwrap().into_iter().map(|machine| machine.row.name).collect();
    names.retain(|name| name != "liar");
    assert_eq!(names, ["honest"]);
    let honest = vault.machine("honest").unwrap();
    let disk = vault.disk(&honest, &vault.point(&honest, PointNo(1)).unwrap(), None).unwrap();
    let mut held = vec![0; DISK.len()];
    disk.read_at(0, &mut held).unwrap();
    assert!(held == *DISK);
    let found = vault.check(true, &mut |_, _| ()).unwrap();
    assert!(found.is_clean(), "{:?} {:?}", found.defects, found.losses);
});
