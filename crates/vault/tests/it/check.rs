//! Damage is found, named, and costs no more than it must.

use backstay_env::objects::Key;
use backstay_env::volume::Volume as _;
use backstay_format::twin::second_copy;
use backstay_format::units::PointNo;
use backstay_vault::Vault;
use backstay_vault::check::{Findings, Loss};

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

fn check(vault: &Vault) -> Findings {
    vault.check(true, &mut |_, _| {}).unwrap()
}

#[test]
fn a_damaged_entry_is_named_with_what_it_means_and_all_before_it_is_checked() {
    let world = World::new();
    let disk = noise(1 << 20, 3);
    for _ in 0..4 {
        protect(&world.open(), &disk);
    }
    let rot = |name: &str| {
        let key = Key::new(name).unwrap();
        let size = world.seams.home.get(&key).unwrap().len();
        world.seams.home.put(&key, &[&vec![9; size]]).unwrap();
    };
    rot("vault/main/ledger/entry/0000000000000003");
    let packs = world.seams.home.list(&Key::new("vault/main/pack").unwrap()).unwrap();
    let first = packs.iter().max_by_key(|p| p.size).unwrap();
    spoil(&world, &first.key, 5000);
    let opened = Vault::open_before_damage(world.seams.clone(), "main", b"secret").unwrap();
    assert!(opened.damage.is_some());
    let found = check(&opened.vault);
    assert_eq!(found.packs, 2, "those of the entries before the damage");
    assert!(found.losses.iter().any(|l| l.from == PointNo(1)), "{:?}", found.losses);
    let told = found.defects.join("\n");
    let named = "ledger/entry/0000000000000003 is damaged in both copies";
    assert_eq!(told.matches(named).count(), 1, "{told}");
    for part in
        ["entries up to 2 are whole", "made point 4 of machine alpha", "put the object from another copy of the store"]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    // A process that knew all of it before the damage checks what it knows.
    assert!(!opened.vault.machines().unwrap().is_empty());
}

#[test]
fn a_map_that_is_lost_is_named_with_its_points_and_bytes_and_newer_maps_still_serve() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise(1 << 20, 4);
    let mut states = vec![disk.clone()];
    protect(&vault, &disk);
    let mut lost = None;
    for number in 2..=24u64 {
        let before = world.pack_objects();
        disk[number as usize * 4096..][..4096].copy_from_slice(&noise(4096, 2 * number + 901));
        let made = protect(&vault, &disk);
        states.push(disk.clone());
        if number == 5 {
            lost = world.pack_objects().difference(&before).next().cloned();
        }
        vault.settle(made.machine.id).unwrap();
    }
    let lost = lost.unwrap();
    let whole = world.seams.home.get(&lost).unwrap();
    world.seams.home.put(&lost, &[&vec![7; whole.len()]]).unwrap();
    let vault = world.open();
    let machine = vault.machine("alpha").unwrap();
    let found = check(&vault);
    assert!(found.defects.iter().any(|d| d.contains("between points 4 and 5")), "{:?}", found.defects);
    let mut readable = 0;
    for (index, state) in states.iter().enumerate() {
        let number = PointNo(index as u64 + 1);
        let point = vault.point(&machine, number).unwrap();
        let covered = |page: usize| {
            let at = page as u64 * 4096;
            let of_point = |l: &&Loss| l.from <= number && l.until.is_none_or(|until| number <= until);
            found.losses.iter().filter(of_point).any(|l| l.bytes.contains(&at))
        };
        let disk = match vault.disk(&machine, &point, None) {
            Ok(disk) => disk,
            Err(_) => {
                assert!((0..256).all(covered), "point {}: nothing is known of it", number.0);
                continue;
            }
        };
        for page in 0..256 {
            let mut bytes = vec![0; 4096];
            let outcome = disk.read_at(page as u64 * 4096, &mut bytes);
            assert_eq!(outcome.is_err(), covered(page), "point {}, page {page}", number.0);
            assert!(outcome.is_err() || bytes == state[page * 4096..][..4096], "point {}, page {page}", number.0);
            readable += u32::from(number.0 > 5 && outcome.is_ok());
        }
    }
    assert!(readable > 0, "what newer maps say of the points after it is known");
    let newest = found.losses.iter().filter(|l| l.until.is_none()).count();
    assert_eq!(newest, 1, "the summary makes it good but for the page that was lost: {:?}", found.losses);
}

#[test]
fn a_block_of_a_map_that_is_lost_costs_what_it_alone_knew() {
    const PAGES: usize = 12_288;
    let world = World::new();
    let mut disk = vec![0; PAGES * 4096];
    let data = noise(disk.len(), 5);
    // More extents than a block takes.
    for page in (0..PAGES).step_by(2) {
        disk[page * 4096..][..4096].copy_from_slice(&data[page * 4096..][..4096]);
    }
    protect(&world.open(), &disk);
    let first = world.pack_objects();
    disk[4096..3 * 4096].copy_from_slice(&data[4096..3 * 4096]);
    protect(&world.open(), &disk);
    let with_map = first.iter().max_by_key(|key| world.seams.home.get(key).unwrap().len()).unwrap();
    let whole = world.seams.home.get(with_map).unwrap();
    let mut partly = 0;
    for start in (whole.len() - (480 << 10)..whole.len() - (380 << 10)).step_by(20 << 10) {
        let mut bytes = whole.clone();
        // Before the two tables of its chunks, maps; of whatever is here both copies, which lie side by side.
        bytes[start..start + (20 << 10)].iter_mut().step_by(512).for_each(|byte| *byte ^= 1);
        world.seams.home.put(with_map, &[&bytes]).unwrap();
        let vault = world.open();
        let found = check(&vault);
        let machine = vault.machine("alpha").unwrap();
        let point = vault.point(&machine, PointNo(2)).unwrap();
        let volume = vault.disk(&machine, &point, None).unwrap();
        let named =
            |page: usize| found.losses.iter().any(|l| l.until.is_none() && l.bytes.contains(&(page as u64 * 4096)));
        let mut lost = 0;
        for page in 0..PAGES {
            let mut read = vec![0; 4096];
            let outcome = volume.read_at(page as u64 * 4096, &mut read);
            assert_eq!(outcome.is_err(), named(page), "{start}: page {page}: {outcome:?}");
            assert!(outcome.is_err() || read == disk[page * 4096..][..4096], "{start}: page {page}");
            lost += usize::from(outcome.is_err());
        }
        assert!(lost < PAGES, "{start}: what point 2 says is known");
        partly += u32::from(lost > PAGES / 4 && lost < PAGES * 3 / 4);
    }
    assert!(partly > 0, "no block was ever lost alone");
}
