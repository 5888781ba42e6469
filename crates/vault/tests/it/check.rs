//! Damage is found, named, and costs no more than it must.

use backstay_env::objects::Key;
use backstay_format::twin::second_copy;
use backstay_format::units::PointNo;

use crate::world::{World, noise, protect, read};

fn spoil(world: &World, key: &Key, at: usize) {
    let mut bytes = world.seams.home.get(key).unwrap();
    bytes[at] ^= 4;
    world.seams.home.put(key, &[&bytes]).unwrap();
}

#[test]
fn a_damaged_copy_of_the_header_or_of_a_key_slot_is_found_and_costs_nothing() {
    for name in ["backstay.store", "vault/main/keys/0000"] {
        let world = World::new();
        let disk = noise(1 << 20, 1);
        protect(&world.open(), &disk);
        assert!(world.open().check(true, &mut |_, _| {}).unwrap().is_clean());
        let key = Key::new(name).unwrap();
        let size = world.seams.home.get(&key).unwrap().len() as u64;
        for at in [50, second_copy(size) as usize + 5] {
            spoil(&world, &key, at);
            let found = world.open().check(false, &mut |_, _| {}).unwrap();
            assert!(found.defects.iter().any(|d| d.contains(name)), "{name} at {at}: {:?}", found.defects);
            assert!(read(&world.open(), PointNo(1)) == disk);
            spoil(&world, &key, at);
        }
    }
}

#[test]
fn a_flipped_bit_of_data_is_named_with_its_bytes_and_points_and_all_else_restores() {
    let world = World::new();
    let mut disk = noise(2 << 20, 2);
    protect(&world.open(), &disk);
    disk[1 << 20..].copy_from_slice(&noise(1 << 20, 41));
    protect(&world.open(), &disk);
    let packs = world.seams.home.list(&Key::new("vault/main/pack").unwrap()).unwrap();
    let first = packs.iter().max_by_key(|p| p.size).unwrap();
    // The first frame: the start of the disk, which both points have.
    spoil(&world, &first.key, 5000);
    let found = world.open().check(true, &mut |_, _| {}).unwrap();
    assert!(!found.losses.is_empty() && found.losses.iter().all(|l| l.machine == "alpha"));
    let lost = &found.losses[0];
    assert_eq!((lost.from, lost.until, lost.bytes.start), (PointNo(1), None, 0));
    let end = found.losses.iter().map(|l| l.bytes.end).max().unwrap();
    assert!(end <= 1 << 20, "only the damaged frame is lost, not up to {end}");
    let vault = world.open();
    let machine = vault.machine("alpha").unwrap();
    let point = vault.point(&machine, PointNo(2)).unwrap();
    let volume = vault.disk(&machine, &point, None).unwrap();
    let mut rest = vec![0; disk.len() - end as usize];
    backstay_env::volume::Volume::read_at(&volume, end, &mut rest).unwrap();
    assert!(rest == disk[end as usize..]);
    let mut whole = vec![0; 4096];
    assert!(backstay_env::volume::Volume::read_at(&volume, 0, &mut whole).is_err());
}
