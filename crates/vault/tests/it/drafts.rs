//! Packs that a capture commits on the way: found by the next one, freed when nobody waits for them, and never missed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::sim::clock::SimClock;
use backstay_env::volume::Volume;
use backstay_format::rows::Consistency;
use backstay_format::units::PointNo;
use backstay_store::ingest::Tuning;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Made, Progress, Source, Verdict};
use backstay_vault::{Vault, VaultError};

use crate::world::{World, noise, read};

const DAY: i64 = 86_400_000_000_000;

/// Small packs, so that many are committed on the way.
const TUNING: Tuning = Tuning { threads: 0, level: 1, frame_pages: 8, pack_plain: 64 << 10 };

fn open(world: &World) -> Vault {
    world.open().with_tuning(TUNING)
}

/// A disk that is pulled out while it is read.
struct Vanishing(Vec<u8>);

impl Volume for Vanishing {
    fn size(&self) -> u64 {
        self.0.len() as u64 + (8 << 20)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.get(offset as usize..offset as usize + buf.len());
        buf.copy_from_slice(bytes.ok_or_else(|| io::Error::from_raw_os_error(19))?);
        Ok(())
    }
}

/// A disk of which the last part takes two days.
struct Slow {
    bytes: Vec<u8>,
    clock: Arc<SimClock>,
    once: AtomicBool,
}

impl Volume for Slow {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset >= 8 << 20 && self.once.swap(false, Ordering::Relaxed) {
            self.clock.advance(2 * DAY);
        }
        self.bytes.read_at(offset, buf)
    }
}

fn capture(
    vault: &Vault,
    machine: &str,
    volume: &dyn Volume,
    at_the_end: &(dyn Fn() + Sync),
) -> Result<Made, VaultError> {
    let verdict = || {
        at_the_end();
        Verdict { consistency: Consistency::Still, stamps: vec![] }
    };
    let (name, origin) = ("sda".into(), "memory".into());
    let source =
        Source { name, origin, volume, used: vec![0..volume.size()], excluded: Vec::new(), exclusions: Vec::new() };
    vault.protect(&Capture {
        machine,
        sources: vec![source],
        note: String::new(),
        verdict: &verdict,
        cancel: &AtomicBool::new(false),
        progress: &Progress::default(),
        promise: Promise::default(),
    })
}

fn reclaim(world: &World) -> u64 {
    let vault = world.open();
    let plan = vault.plan_reclaim().unwrap();
    vault.reclaim(&plan, &|_| true).unwrap().bytes
}

/// What a capture that fails leaves behind: some MiB of drafts.
fn fail(world: &World, machine: &str, content: &[u8]) {
    let failed = capture(&open(world), machine, &Vanishing(content.to_vec()), &|| ());
    assert!(matches!(failed, Err(VaultError::Source { .. })), "{failed:?}");
}

#[test]
fn a_capture_whose_drafts_were_reclaimed_notices_and_stores_them_again() {
    let mut world = World::new();
    let clock = Arc::new(SimClock::seeded(1));
    world.seams.clock = clock.clone();
    let disk = Slow { bytes: noise(12 << 20, 1), clock, once: AtomicBool::new(true) };
    let once = AtomicBool::new(true);
    let made = capture(&open(&world), "alpha", &disk, &|| {
        if once.swap(false, Ordering::Relaxed) {
            let freed = reclaim(&world);
            assert!(freed > 4 << 20, "{freed} bytes: after a day nobody waits for drafts");
        }
    });
    assert_eq!(made.unwrap().point.number, PointNo(1));
    world.witnessed(&BTreeMap::from([(1, disk.bytes)]));
}

#[test]
fn drafts_of_a_failed_capture_are_kept_for_the_next_one_and_go_when_it_did_not_need_them() {
    let world = World::new();
    let disk = noise(4 << 20, 2);
    for machine in ["alpha", "beta"] {
        let content = noise(4 << 20, if machine == "alpha" { 20 } else { 30 });
        fail(&world, machine, &content);
    }
    let (before, _) = world.packs();
    assert!(before > 5 << 20, "{before} bytes of drafts");
    assert_eq!(reclaim(&world), 0, "the next capture may need them");
    capture(&open(&world), "alpha", &disk, &|| ()).unwrap();
    assert!(reclaim(&world) > 2 << 20, "alpha's next capture did not need them");
    let (after, _) = world.packs();
    assert!(after > 6 << 20, "{after} bytes: beta's are kept");
    assert!(read(&world.open(), PointNo(1)) == disk);
    // Beta goes on where it was.
    let content = noise(4 << 20, 30);
    let made = capture(&open(&world), "beta", &content, &|| ()).unwrap();
    assert!(made.point.row.stored < 2 << 20, "{} bytes", made.point.row.stored);
    assert!(reclaim(&world) < 2 << 20);
    world.witnessed(&BTreeMap::from([(1, disk)]));
}

#[test]
fn a_live_capture_that_was_overtaken_loses_its_drafts_to_reclaim_and_nothing_else() {
    let world = World::new();
    let (ours, theirs) = (noise(4 << 20, 4), noise(3 << 20, 7));
    let once = AtomicBool::new(true);
    let made = capture(&open(&world), "alpha", &ours, &|| {
        if once.swap(false, Ordering::Relaxed) {
            capture(&open(&world), "alpha", &theirs, &|| ()).unwrap();
            let freed = reclaim(&world);
            assert!(freed > 1 << 20, "{freed} bytes: the drafts of the one that was slower");
        }
    });
    assert_eq!(made.unwrap().point.number, PointNo(2));
    world.witnessed(&BTreeMap::from([(1, theirs), (2, ours)]));
}
