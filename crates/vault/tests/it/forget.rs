//! Forgetting and reclaiming: what stays comes back bit for bit, what goes gives its space back.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::units::PointNo;
use backstay_vault::Vault;

use crate::world::{World, noise, protect, read};

/// Overwrites pages among the first `span` of the disk.
fn change(disk: &mut [u8], seed: u64, pages: usize, span: usize) {
    for i in 0..pages as u64 {
        let at = ((seed * 31 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as usize % span * 4096;
        disk[at..at + 4096].copy_from_slice(&noise(4096, seed * 1000 + i));
    }
}

fn forget(vault: &Vault, drop: &BTreeSet<PointNo>) {
    vault.refresh().unwrap();
    let machine = vault.machine("alpha").unwrap();
    let plan = vault.plan_forget(&machine, drop).unwrap();
    assert_eq!(plan.drop.len(), drop.len());
    vault.forget(&plan).unwrap();
}

fn reclaim(vault: &Vault) -> u64 {
    let plan = vault.plan_reclaim().unwrap();
    vault.reclaim(&plan, &|_| true).unwrap().bytes
}

fn check_all(world: &World, states: &BTreeMap<u64, Vec<u8>>) {
    let vault = world.open();
    let machine = vault.machine("alpha").unwrap();
    let numbers: Vec<u64> = vault.points(machine.id).unwrap().iter().map(|p| p.number.0).collect();
    assert_eq!(numbers, states.keys().copied().collect::<Vec<_>>());
    for (number, expected) in states {
        assert!(read(&vault, PointNo(*number)) == *expected, "point {number}");
    }
}

#[test]
fn thinned_timelines_restore_bit_for_bit_and_shrink() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise(2 << 20, 1);
    let mut states = BTreeMap::new();
    for step in 1..=120u64 {
        if step > 1 {
            change(&mut disk, step, 3, 12);
        }
        let made = protect(&vault, &disk);
        vault.settle(made.machine.id).unwrap();
        states.insert(step, disk.clone());
    }
    check_all(&world, &states);
    let (before, objects) = world.packs();
    assert!(objects < 120, "{objects} objects: small packs are put together");
    for drop in [
        vec![1, 2, 3],
        (10..60).collect(),
        vec![119, 120],
        (4..=100).step_by(2).filter(|n| !(10..60).contains(n)).collect(),
    ] {
        let drop: BTreeSet<u64> = drop.into_iter().collect();
        states.retain(|n, _| !drop.contains(n));
        forget(&world.open(), &drop.iter().map(|n| PointNo(*n)).collect());
        check_all(&world, &states);
        reclaim(&world.open());
        check_all(&world, &states);
    }
    let (after, _) = world.packs();
    let base = 2 << 20;
    assert!(after - base < (before - base) * 3 / 4, "{before} bytes before, {after} after");
    let made = protect(&world.open(), &disk);
    states.insert(made.point.number.0, disk.clone());
    check_all(&world, &states);
}

#[test]
fn when_all_points_are_forgotten_all_space_comes_back() {
    let world = World::new();
    let disk = noise(4 << 20, 2);
    protect(&world.open(), &disk);
    let mut other = disk.clone();
    change(&mut other, 9, 100, 1024);
    protect(&world.open(), &other);
    forget(&world.open(), &BTreeSet::from([PointNo(1), PointNo(2)]));
    reclaim(&world.open());
    assert_eq!(world.packs(), (0, 0));
    let made = protect(&world.open(), &disk);
    assert!(read(&world.open(), made.point.number) == disk);
}

#[test]
fn reclaim_takes_nothing_that_another_point_shares() {
    let world = World::new();
    let disk = noise(4 << 20, 3);
    protect(&world.open(), &disk);
    let mut moved = vec![0; 8 << 20];
    moved[4 << 20..].copy_from_slice(&disk);
    let second = protect(&world.open(), &moved);
    forget(&world.open(), &BTreeSet::from([PointNo(1)]));
    reclaim(&world.open());
    assert!(read(&world.open(), second.point.number) == moved);
}

/// Bytes of packs after all but some pages of a disk were overwritten with zeros and the older point was forgotten.
fn left_of(pages: usize, is_kept: impl Fn(usize) -> bool) -> u64 {
    let world = World::new();
    let mut disk = noise(pages * 4096, 8);
    protect(&world.open(), &disk);
    for (_, page) in disk.chunks_mut(4096).enumerate().filter(|(number, _)| !is_kept(*number)) {
        page.fill(0);
    }
    protect(&world.open(), &disk);
    forget(&world.open(), &BTreeSet::from([PointNo(1)]));
    reclaim(&world.open());
    assert!(read(&world.open(), PointNo(2)) == disk);
    world.packs().0
}

/// The bounds of `docs/reclaim.md`.
#[test]
fn what_reclaim_leaves_is_bounded_by_the_frames_that_hold_something() {
    const PAGE: u64 = 4096;
    /// A frame is full at 32 pages, and the chunk that fills it has at most 64.
    const FRAME: u64 = 31 + 64;
    let with_rest = |frames: u64| frames * PAGE * 8 / 7 + (128 << 10);
    let sparse = left_of(8192, |page| page % 1024 == 500);
    assert!(sparse <= with_rest(8 * FRAME), "{sparse} bytes for 8 pages, each in a frame of its own");
    let half = left_of(4096, |page| page < 2048);
    assert!(half <= with_rest(2048 + FRAME), "{half} bytes for 2048 pages that lie together");
    let mixed = left_of(4096, |page| page % 2 == 0);
    assert!(mixed <= with_rest(4096), "{mixed} bytes for every second of 4096 pages");
    println!("left: sparse {sparse} bytes, together {half}, mixed {mixed}");
}
