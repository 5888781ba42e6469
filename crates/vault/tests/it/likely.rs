//! A rescan looks at what most likely changed first, which changes nothing but the order.

use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::{Span, Volume, VolumeMut as _};
use backstay_format::rows::Consistency;
use backstay_store::ingest::Tuning;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Made, Progress, Source, Verdict};
use backstay_vault::{Vault, VaultError};

use crate::world::{World, noise};

/// Bytes of a segment.
const SEGMENT: u64 = 4 << 20;
const SEGMENTS: u64 = 300;
/// In no use at first.
const FREE: Range<u64> = 100..110;

/// One segment after the other.
const TUNING: Tuning = Tuning { threads: 0, level: 1, frame_pages: 32, pack_plain: 32 << 20 };

/// A disk that tells in which order its segments were read, and says stop when another than these is.
struct Watched<'a> {
    disk: &'a SimVolume,
    read: Mutex<Vec<u64>>,
    stop: Option<(&'a [u64], &'a AtomicBool)>,
}

impl Volume for Watched<'_> {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let segment = offset / SEGMENT;
        let mut read = self.read.lock().unwrap();
        if read.last() != Some(&segment) {
            read.push(segment);
        }
        if let Some((_, stop)) = self.stop.filter(|(but, _)| !but.contains(&segment)) {
            stop.store(true, Ordering::Relaxed);
        }
        self.disk.read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        self.disk.spans(offset, len)
    }
}

fn protect(vault: &Vault, disk: &Watched<'_>, used: Vec<Range<u64>>) -> Result<Made, VaultError> {
    let verdict = || Verdict { consistency: Consistency::Still, stamps: vec![] };
    let going_on = AtomicBool::new(false);
    let used = used.into_iter().map(|segments| segments.start * SEGMENT..segments.end * SEGMENT).collect();
    let (name, origin) = ("sda".into(), "memory".into());
    vault.protect(&Capture {
        machine: "alpha",
        sources: vec![Source { name, origin, volume: disk, used, excluded: Vec::new(), exclusions: Vec::new() }],
        note: String::new(),
        verdict: &verdict,
        cancel: disk.stop.map_or(&going_on, |(_, stop)| stop),
        progress: &Progress::default(),
        promise: Promise::default(),
    })
}

fn watched(disk: &SimVolume) -> Watched<'_> {
    Watched { disk, read: Mutex::default(), stop: None }
}

fn write(disk: &SimVolume, segment: u64, pages: usize, seed: u64) {
    disk.write_at(segment * SEGMENT + 12 * 4096, &noise(pages * 4096, seed)).unwrap();
}

/// A disk whose newest point was made when segments 50 and 200 had changed, and on which 50, 280 and new space are written since.
fn begun(vault: &Vault) -> SimVolume {
    let disk = SimVolume::new(SEGMENTS * SEGMENT);
    (3..SEGMENTS).step_by(40).for_each(|segment| write(&disk, segment, 30, segment));
    protect(vault, &watched(&disk), vec![0..FREE.start, FREE.end..SEGMENTS]).unwrap();
    [50, 200].into_iter().for_each(|segment| write(&disk, segment, 5, segment));
    protect(vault, &watched(&disk), vec![0..FREE.start, FREE.end..SEGMENTS]).unwrap();
    write(&disk, 50, 300, 1);
    write(&disk, 280, 7, 2);
    write(&disk, 105, 200, 3);
    disk
}

/// What it comes to now: everything is in use.
const LIKELY: [u64; 12] = [50, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 200];
const CHANGED: u64 = 300 + 7 + 200;

fn is_kept(world: &World, made: &Made, disk: &SimVolume) {
    let vault = world.open();
    let kept = vault.disk(&made.machine, &made.point, None).unwrap();
    let mut buffers = [vec![0; SEGMENT as usize], vec![0; SEGMENT as usize]];
    for segment in 0..SEGMENTS {
        let [ours, theirs] = &mut buffers;
        kept.read_at(segment * SEGMENT, ours).unwrap();
        disk.read_at(segment * SEGMENT, theirs).unwrap();
        assert!(ours == theirs, "segment {segment}");
    }
    let found = world.witness().check().findings;
    assert!(found.is_empty(), "{}", found[0]);
}

fn all_of(disk: &SimVolume) -> u64 {
    let spans = |segment| disk.spans(segment * SEGMENT, SEGMENT).unwrap();
    (0..SEGMENTS).filter(|at| spans(*at).iter().any(|s| s.content == backstay_env::volume::Content::Data)).count()
        as u64
}

#[test]
fn what_likely_changed_is_read_first_and_the_point_is_the_same() {
    let world = World::new();
    let vault = world.open().with_tuning(TUNING);
    let disk = begun(&vault);
    let again = watched(&disk);
    let made = protect(&vault, &again, vec![0..SEGMENTS]).unwrap();
    let read = again.read.into_inner().unwrap();
    assert_eq!(read[..3], [50, 105, 200], "others are holes");
    assert!(read[3..].is_sorted() && read.len() as u64 == all_of(&disk), "{read:?}");
    assert_eq!(made.point.row.changed, CHANGED);
    is_kept(&world, &made, &disk);
}

#[test]
fn what_likely_changed_is_safe_before_the_rest_was_looked_at() {
    let world = World::new();
    let vault = world.open().with_tuning(TUNING);
    let disk = begun(&vault);
    let before = world.packs().0;
    let stop = AtomicBool::new(false);
    let interrupted = Watched { stop: Some((&LIKELY, &stop)), ..watched(&disk) };
    let failed = protect(&vault, &interrupted, vec![0..SEGMENTS]);
    assert!(matches!(failed, Err(VaultError::Cancelled)), "{failed:?}");
    assert!(world.packs().0 > before + 400 * 4096, "{} bytes more", world.packs().0 - before);
    let made = protect(&world.open(), &watched(&disk), vec![0..SEGMENTS]).unwrap();
    assert!(made.point.row.stored < 10 * 4096, "{} bytes were stored again", made.point.row.stored);
    is_kept(&world, &made, &disk);
}
