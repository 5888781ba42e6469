//! A machine whose newest map is lost is protected all the same, and what is not damaged stays what it was.

use std::collections::{BTreeMap, BTreeSet};

use backstay_env::objects::Key;
use backstay_format::units::PointNo;
use backstay_vault::Vault;

use crate::world::{World, noise, protect, read};

/// Points 1 to 3 of a machine; the map of the last one is lost, and nothing else.
struct Lost {
    world: World,
    disk: Vec<u8>,
    states: BTreeMap<u64, Vec<u8>>,
}

impl Lost {
    fn new() -> Self {
        let world = World::new();
        let mut disk = noise(3 << 20, 1);
        disk[1 << 20..2 << 20].fill(0);
        let mut states = BTreeMap::new();
        for number in 1..=2 {
            disk[number as usize * 8192..][..4096].copy_from_slice(&noise(4096, number + 70));
            protect(&world.open(), &disk);
            states.insert(number, disk.clone());
        }
        // Nothing changed: its pack holds a map, and nothing else.
        let lost = new_object(&world, || drop(protect(&world.open(), &disk)));
        world.seams.home.delete(&lost).unwrap();
        Lost { world, disk, states }
    }

    /// Changes some pages, makes a point and does what is due after it.
    fn go_on(&mut self, vault: &Vault, seed: u64) -> bool {
        self.disk[(seed as usize % 700) * 4096..][..4096].copy_from_slice(&noise(4096, seed + 500));
        let made = protect(vault, &self.disk);
        vault.settle(made.machine.id).unwrap();
        self.states.insert(made.point.number.0, self.disk.clone());
        made.started_over
    }

    fn all_read(&self) {
        let vault = self.world.open();
        let reader = self.world.witness();
        for (number, expected) in &self.states {
            assert!(read(&vault, PointNo(*number)) == *expected, "point {number}");
            self.world.witness_reads(&reader, *number, expected);
        }
    }

    fn forget(&mut self, drop: &[u64]) {
        let vault = self.world.open();
        let machine = vault.machine("alpha").unwrap();
        let drop: BTreeSet<PointNo> = drop.iter().map(|n| PointNo(*n)).collect();
        let plan = vault.plan_forget(&machine, &drop).unwrap();
        assert_eq!(plan.drop.len(), drop.len());
        vault.forget(&plan).unwrap();
        self.states.retain(|n, _| !drop.contains(&PointNo(*n)));
    }

    fn reclaim(&self) {
        let vault = self.world.open();
        let plan = vault.plan_reclaim().unwrap();
        vault.reclaim(&plan, &|_| true).unwrap();
    }

    fn is_clean(&self) {
        let found = self.world.open().check(true, &mut |_, _| {}).unwrap();
        assert!(found.is_clean(), "{:?} {:?}", found.defects, found.losses);
        self.world.witnessed(&self.states);
    }
}

/// The pack object that appears while something is done.
fn new_object(world: &World, work: impl FnOnce()) -> Key {
    let before = world.pack_objects();
    work();
    let after = world.pack_objects();
    let new: Vec<&Key> = after.difference(&before).collect();
    assert_eq!(new.len(), 1);
    new[0].clone()
}

#[test]
fn a_machine_whose_newest_map_is_lost_starts_over_and_stores_nothing_twice() {
    let mut lost = Lost::new();
    let (before, _) = lost.world.packs();
    let vault = lost.world.open();
    assert!(lost.go_on(&vault, 1));
    let (after, _) = lost.world.packs();
    assert!(after - before < 1 << 20, "{} bytes for a few chunks", after - before);
    assert!(!lost.go_on(&vault, 2), "the next point goes on from it");
    lost.all_read();
    let vault = lost.world.open();
    let machine = vault.machine("alpha").unwrap();
    let point = vault.point(&machine, PointNo(3)).unwrap();
    assert!(vault.disk(&machine, &point, None).is_err_and(|e| e.is_damage()));
    let found = vault.check(true, &mut |_, _| {}).unwrap();
    let of_map: Vec<_> = found.defects.iter().filter(|d| d.starts_with("machine ")).collect();
    assert!(of_map.len() == 1 && of_map[0].contains("between points 2 and 3"), "{of_map:?}");
}

#[test]
fn data_that_is_lost_with_the_map_is_stored_again() {
    let world = World::new();
    let disk = noise(2 << 20, 3);
    let object = new_object(&world, || drop(protect(&world.open(), &disk)));
    // The index knows the chunks of the lost pack, and must not be believed.
    let vault = world.open();
    protect(&vault, &disk);
    world.seams.home.delete(&object).unwrap();
    for vault in [world.open(), vault] {
        let made = protect(&vault, &disk);
        assert!(read(&world.open(), made.point.number) == disk);
        world.witness_reads(&world.witness(), made.point.number.0, &disk);
    }
}

#[test]
fn forgetting_the_damaged_point_makes_the_store_whole_again() {
    let mut lost = Lost::new();
    let vault = lost.world.open();
    for seed in 10..60 {
        lost.go_on(&vault, seed);
    }
    lost.forget(&[3]);
    // Its pack is gone already; reclaim takes its row.
    lost.reclaim();
    lost.all_read();
    lost.is_clean();
    lost.forget(&[2, 5, 6, 7, 8, 20, 21, 22, 23, 24, 25, 26, 53]);
    lost.reclaim();
    lost.all_read();
    lost.is_clean();
}

#[test]
fn the_points_before_the_damage_can_go_and_the_newer_ones_too() {
    for newer in [false, true] {
        let mut lost = Lost::new();
        let vault = lost.world.open();
        for seed in 10..30 {
            lost.go_on(&vault, seed);
        }
        let newest = *lost.states.keys().next_back().unwrap();
        let drop: Vec<u64> = if newer { (3..=newest).collect() } else { (1..=newest - 3).collect() };
        lost.forget(&drop);
        lost.reclaim();
        lost.all_read();
        lost.is_clean();
        let vault = lost.world.open();
        assert!(!lost.go_on(&vault, 90), "what is damaged is gone");
        lost.all_read();
        lost.is_clean();
    }
}

#[test]
fn a_timeline_with_a_damaged_map_is_thinned_where_it_can_be() {
    let mut lost = Lost::new();
    let vault = lost.world.open();
    for seed in 10..30 {
        lost.go_on(&vault, seed);
    }
    // Point 2 goes: its span cannot be merged with the damaged one. Points 10 to 15 go, as if nothing were damaged.
    lost.forget(&[1, 2, 10, 11, 12, 13, 14, 15]);
    lost.all_read();
    let machine = lost.world.open().machine("alpha").unwrap();
    assert_eq!(lost.world.open().consolidate(machine.id).unwrap(), 0, "nothing is left to do");
}

#[test]
fn reclaim_leaves_alone_what_a_damaged_map_may_need_and_frees_the_rest() {
    let world = World::new();
    let mut disk = noise(2 << 20, 5);
    protect(&world.open(), &disk);
    disk[..1 << 20].fill(0);
    protect(&world.open(), &disk);
    let kept = disk.clone();
    // Point 3 is of other content and will be forgotten: all of its pack can go.
    protect(&world.open(), &noise(2 << 20, 6));
    let mut lost = Lost { world, disk, states: BTreeMap::from([(2, kept.clone())]) };
    // The spans up to point 2 are merged: its map lies in a pack of its own, and needs half of point 1's.
    let before = lost.world.pack_objects();
    lost.forget(&[1, 3]);
    let map = lost.world.pack_objects().difference(&before).next().unwrap().clone();
    let whole = lost.world.seams.home.get(&map).unwrap();
    // The bytes stay as many, and none is right.
    lost.world.seams.home.put(&map, &[&vec![7; whole.len()]]).unwrap();
    let vault = lost.world.open();
    let plan = vault.plan_reclaim().unwrap();
    assert!(plan.bytes() >= 2 << 20, "{plan:?}");
    assert!(!plan.left.is_empty() && plan.left.iter().all(|l| l.why.contains("alpha")), "{:?}", plan.left);
    assert!(plan.shrink.is_empty(), "what the map needs of the first pack is not known");
    vault.reclaim(&plan, &|_| true).unwrap();
    lost.world.seams.home.put(&map, &[&whole]).unwrap();
    assert!(read(&lost.world.open(), PointNo(2)) == kept, "all that the map needs was kept");
    // Now that it can be read, the rest goes.
    let plan = lost.world.open().plan_reclaim().unwrap();
    assert!(plan.left.is_empty() && plan.bytes() > 512 << 10, "{plan:?}");
    lost.reclaim();
    lost.all_read();
    lost.is_clean();
}
