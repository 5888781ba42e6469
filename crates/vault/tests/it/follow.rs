//! Points made of what is said to have changed, without looking at the rest.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use backstay_env::sim::volume::SimVolume;
use backstay_env::volume::{Piece, Volume};
use backstay_format::rows::Consistency;
use backstay_format::units::Timestamp;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, Capture, Changed, Following, Progress, Source, Told, Verdict};
use backstay_vault::{Vault, VaultError};

use crate::world::{World, noise, protect, read};

const PAGE: usize = 4096;

fn told() -> Told {
    Told {
        time: Timestamp(1_000_000),
        consistency: Consistency::Still,
        held: 4_000_000,
        note: "followed".into(),
        exclusions: Vec::new(),
        promise: Promise::default(),
    }
}

/// Reads most pieces at once, and leaves rubbish in the place of the others.
struct AtOnce<'d>(&'d Vec<u8>);

impl Volume for AtOnce<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, buf)
    }

    fn read_many(&self, pieces: &mut [Piece<'_>]) {
        for (number, piece) in pieces.iter_mut().enumerate() {
            self.0.read_at(piece.offset, piece.bytes).unwrap();
            piece.whole = number % 3 != 1;
            if !piece.whole {
                piece.bytes.fill(0xa5);
            }
        }
    }
}

fn pass(following: &mut Following<'_>, disk: &Vec<u8>, pages: &[Range<u64>]) {
    let at_once = AtOnce(disk);
    let volume: &dyn Volume = if pages.len().is_multiple_of(3) { disk } else { &at_once };
    let changed = Changed { disk: 0, volume, pages: pages.to_vec(), excluded: Vec::new() };
    following.pass(&[changed], &AtomicBool::new(false)).unwrap();
}

fn catch_up(vault: &Vault, disk: &Vec<u8>) -> Boundary {
    let verdict = || Verdict { consistency: Consistency::Fuzzy, stamps: Vec::new() };
    let source = Source {
        name: "sda".into(),
        origin: "memory".into(),
        volume: disk,
        used: std::iter::once(0..disk.len() as u64).collect(),
        excluded: Vec::new(),
        exclusions: Vec::new(),
    };
    let (cancel, progress) = (AtomicBool::new(false), Progress::default());
    let capture = Capture {
        machine: "alpha",
        sources: vec![source],
        note: String::new(),
        verdict: &verdict,
        cancel: &cancel,
        progress: &progress,
        promise: Promise::default(),
    };
    vault.catch_up(&capture).unwrap()
}

/// Overwrites some pages and says which, in order.
fn scribble(disk: &mut [u8], seed: u64) -> Vec<Range<u64>> {
    let pages = disk.len().div_ceil(PAGE) as u64;
    let mut written = std::collections::BTreeSet::new();
    for step in 0..12 {
        let page = noise(8, seed * 100 + step).iter().fold(0u64, |n, b| n * 251 + u64::from(*b)) % pages;
        for page in page..(page + 1 + step % 3).min(pages) {
            let bytes = page as usize * PAGE..(page as usize * PAGE + PAGE).min(disk.len());
            let len = bytes.len();
            match (seed + step) % 5 {
                0 => disk[bytes].fill(0),
                _ => disk[bytes].copy_from_slice(&noise(len, seed * 1000 + step)),
            }
            written.insert(page);
        }
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for page in written {
        match ranges.last_mut() {
            Some(last) if last.end == page => last.end += 1,
            _ => ranges.push(page..page + 1),
        }
    }
    ranges
}

#[test]
fn passes_cover_each_other_and_rescans_and_become_points() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise((9 << 20) - 700, 1);
    let mut states = BTreeMap::new();
    let mut boundary = catch_up(&vault, &disk);
    assert!(matches!(vault.point_at(&boundary.machine, None), Err(VaultError::NoPoint(_))));
    for round in 1..40u64 {
        let mut following = vault.follow(&boundary).unwrap();
        for step in 0..round % 4 {
            let pages = scribble(&mut disk, round * 10 + step);
            pass(&mut following, &disk, &pages);
        }
        assert!(following.counters().changed_pages <= round % 4 * 36);
        boundary = match round % 7 {
            0 => following.set_down().unwrap(),
            _ => {
                let made = following.publish(told()).unwrap();
                assert_eq!(read(&vault, made.point.number), disk);
                states.insert(made.point.number.0, disk.clone());
                vault.settle(made.machine.id).unwrap();
                made.boundary()
            }
        };
        if round % 11 == 0 {
            scribble(&mut disk, round * 10 + 9);
            boundary = catch_up(&vault, &disk);
        }
    }
    // A rescan of what was followed finds nothing to change.
    let made = protect(&vault, &disk);
    assert_eq!((made.point.row.changed, made.point.row.read), (0, disk.len() as u64));
    states.insert(made.point.number.0, disk.clone());
    world.witnessed(&states);
    let vault = world.open();
    vault.reclaim(&vault.plan_reclaim().unwrap(), &|_| true).unwrap();
    let findings = vault.check(true, &mut |_, _| {}).unwrap();
    assert!(findings.defects.is_empty() && findings.losses.is_empty());
    world.witnessed(&states);
}

#[test]
fn a_machine_that_others_made_a_point_of_is_not_followed_further() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise(5 << 20, 3);
    let boundary = protect(&vault, &disk).boundary();
    assert_eq!(vault.boundary("alpha").unwrap(), Some(boundary.clone()));
    assert_eq!(vault.boundary("beta").unwrap(), None);
    let mut following = vault.follow(&boundary).unwrap();
    let pages = scribble(&mut disk, 1);
    pass(&mut following, &disk, &pages);
    let others = protect(&world.open(), &disk);
    assert!(matches!(following.publish(told()), Err(VaultError::Overtaken)));
    assert!(matches!(vault.follow(&boundary), Err(VaultError::Overtaken)));
    // The same changes can be followed from there.
    let mut following = vault.follow(&others.boundary()).unwrap();
    pass(&mut following, &disk, &pages);
    let made = following.publish(told()).unwrap();
    assert_eq!(read(&vault, made.point.number), disk);
    assert_eq!(made.point.row.note, "followed");
}

#[test]
fn what_is_left_out_by_choice_is_not_stored() {
    let world = World::new();
    let vault = world.open();
    let mut disk = vec![0; 4 << 20];
    let boundary = protect(&vault, &disk).boundary();
    disk[1 << 20..2 << 20].copy_from_slice(&noise(1 << 20, 5));
    let mut following = vault.follow(&boundary).unwrap();
    let excluded = std::iter::once((1 << 20) + 10..(2 << 20) - PAGE as u64).collect();
    let pages = std::iter::once(256..512).collect();
    following.pass(&[Changed { disk: 0, volume: &disk, pages, excluded }], &AtomicBool::new(false)).unwrap();
    let made = following.publish(told()).unwrap();
    let mut expected = vec![0; 4 << 20];
    expected[1 << 20..(1 << 20) + PAGE].copy_from_slice(&disk[1 << 20..(1 << 20) + PAGE]);
    expected[(2 << 20) - PAGE..2 << 20].copy_from_slice(&disk[(2 << 20) - PAGE..2 << 20]);
    assert!(read(&vault, made.point.number) == expected);
    assert_eq!(made.point.row.changed, 2);
    assert_eq!(made.point.row.read, 2 * PAGE as u64, "nor read");
}

#[test]
fn what_nothing_uses_any_more_is_absent_and_not_read() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise(8 << 20, 61);
    let mut following = vault.follow(&protect(&vault, &disk).boundary()).unwrap();
    pass(&mut following, &disk, &[100..200]);
    // A terabyte would cost as little.
    following.absent(&[(0, vec![0..2, 150..1500])]);
    // What is used again is there again.
    let again = noise(PAGE, 62);
    disk[300 * PAGE..301 * PAGE].copy_from_slice(&again);
    pass(&mut following, &disk, &[300..301]);
    let made = following.publish(told()).unwrap();
    let mut expected = disk.clone();
    for absent in [0..2, 150..300, 301..1500] {
        expected[absent.start * PAGE..absent.end * PAGE].fill(0);
    }
    assert!(read(&vault, made.point.number) == expected);
    assert_eq!(made.point.row.read, 101 * PAGE as u64);
    assert!(world.witness().check().findings.is_empty());
}

#[test]
fn what_a_later_pass_covers_is_given_back() {
    let world = World::new();
    let vault = world.open();
    let mut disk = vec![0; 4 << 20];
    let mut following = vault.follow(&protect(&vault, &disk).boundary()).unwrap();
    for round in 0..3 {
        disk.copy_from_slice(&noise(4 << 20, 51 + 2 * round));
        pass(&mut following, &disk, &[0..1024]);
    }
    disk.fill(0);
    pass(&mut following, &disk, &[0..1024]);
    let made = following.publish(told()).unwrap();
    assert_eq!(read(&vault, made.point.number), disk);
    let reclaimed = vault.reclaim(&vault.plan_reclaim().unwrap(), &|_| true).unwrap();
    assert!(reclaimed.bytes > 11 << 20, "{reclaimed:?}");
    assert_eq!(read(&vault, made.point.number), disk);
}

#[test]
fn pages_that_cannot_be_read_are_counted_as_they_are_now() {
    let world = World::new();
    let vault = world.open();
    let disk = SimVolume::new(64 * PAGE as u64);
    disk.scribble(1, 200);
    disk.make_unreadable(0..2 * PAGE as u64);
    let source = Source {
        name: "sda".into(),
        origin: String::new(),
        volume: &disk,
        used: std::iter::once(0..disk.size()).collect(),
        excluded: Vec::new(),
        exclusions: Vec::new(),
    };
    let capture = Capture {
        machine: "alpha",
        sources: vec![source],
        note: String::new(),
        verdict: &|| Verdict { consistency: Consistency::Still, stamps: Vec::new() },
        cancel: &AtomicBool::new(false),
        progress: &Progress::default(),
        promise: Promise::default(),
    };
    let made = vault.protect(&capture).unwrap();
    assert_eq!(made.point.row.disks[0].unreadable, 2);
    let point = |from: &Boundary, pages: Range<u64>| {
        let mut following = vault.follow(from).unwrap();
        let excluded = Vec::new();
        let changed = Changed { disk: 0, volume: &disk, pages: std::iter::once(pages).collect(), excluded };
        following.pass(&[changed], &AtomicBool::new(false)).unwrap();
        following
    };
    disk.mend();
    disk.make_unreadable(9 * PAGE as u64..12 * PAGE as u64);
    // One of two can be read now; of three that cannot, two were looked at.
    let made = point(&made.boundary(), 1..11).publish(told()).unwrap();
    assert_eq!(made.point.row.disks[0].unreadable, 1 + 2);
    // A boundary that is no point's has its own count.
    let from = point(&made.boundary(), 0..1).set_down().unwrap();
    assert_eq!(from.disks[0].unreadable, 2);
    assert_eq!(vault.boundary("alpha").unwrap().unwrap().disks, from.disks);
    let made = point(&from, 11..12).publish(told()).unwrap();
    assert_eq!(made.point.row.disks[0].unreadable, 3);
}

#[test]
fn a_point_is_not_taken_for_another_of_its_number() {
    let world = World::new();
    let vault = world.open();
    let disk = noise(1 << 20, 1);
    let from = protect(&vault, &disk).boundary();
    let mut following = vault.follow(&from).unwrap();
    pass(&mut following, &disk, &[0..1]);
    let mine = following.in_making().unwrap();
    assert!(!from.is(&mine));
    // As if it had died; somebody else makes the point of that number.
    drop(following);
    let others = protect(&vault, &disk).boundary();
    assert_eq!(others.number, mine.number);
    assert!(!others.is(&mine) && !vault.boundary("alpha").unwrap().unwrap().is(&mine));
    let mut following = vault.follow(&others).unwrap();
    pass(&mut following, &disk, &[0..1]);
    let mine = following.in_making().unwrap();
    assert!(following.publish(told()).unwrap().boundary().is(&mine));
    assert!(vault.boundary("alpha").unwrap().unwrap().is(&mine));
}

#[test]
fn an_image_shows_what_passes_found_before_there_is_a_point() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise(300 * PAGE + 700, 3);
    let from = catch_up(&vault, &disk);
    let mut following = vault.follow(&from).unwrap();
    let shown = |following: &mut Following<'_>| {
        let image = following.image().unwrap().remove(0);
        let mut bytes = vec![0; image.size() as usize];
        image.read_at(0, &mut bytes).unwrap();
        bytes
    };
    assert!(shown(&mut following) == disk, "nothing was found yet");
    for round in 0..4 {
        let changed = scribble(&mut disk, 50 + round);
        pass(&mut following, &disk, &changed);
        assert!(shown(&mut following) == disk, "pass {round}");
    }
    // Others see nothing of it, and what is read later covers it.
    assert_eq!(world.open().boundary("alpha").unwrap().unwrap_or_else(|| from.clone()).number, from.number);
    let changed = scribble(&mut disk, 99);
    pass(&mut following, &disk, &changed);
    let made = following.publish(told()).unwrap();
    assert_eq!(read(&vault, made.point.number), disk);
    world.witnessed(&[(made.point.number.0, disk)].into());
}
