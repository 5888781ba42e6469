//! Points come back bit for bit, at the cost of what changed.

use backstay_format::units::PointNo;
use backstay_vault::{Vault, VaultError};

use crate::world::{World, noise, protect, read, try_protect};

#[test]
fn every_point_comes_back_and_a_changed_page_costs_a_page() {
    let world = World::new();
    let vault = world.open();
    let mut disk = noise(9 << 20, 1);
    disk.truncate((9 << 20) - 700);
    disk[3 << 20..5 << 20].fill(0);
    let mut states = vec![disk.clone()];
    let first = protect(&vault, &disk);
    assert!(first.point.row.stored > 7 << 20);
    for step in 0..40u64 {
        for i in 0..5 {
            let at = ((step * 7919 + i * 104_729) as usize * 4096) % (disk.len() - 4096);
            let at = at / 4096 * 4096;
            disk[at..at + 100].copy_from_slice(&noise(100, step * 5 + i));
        }
        let made = protect(&vault, &disk);
        assert!(made.point.row.changed <= 5, "{} pages", made.point.row.changed);
        assert!(made.point.row.stored < 40_000, "{} bytes for five pages", made.point.row.stored);
        states.push(disk.clone());
    }
    let vault = world.open();
    for (index, expected) in states.iter().enumerate() {
        assert!(read(&vault, PointNo(index as u64 + 1)) == *expected, "point {}", index + 1);
    }
}

#[test]
fn the_same_content_is_stored_once_wherever_it_lies() {
    let world = World::new();
    let vault = world.open();
    let part = noise(3 << 20, 2);
    let mut disk = vec![0; 16 << 20];
    disk[4096..4096 + part.len()].copy_from_slice(&part);
    disk[9 << 20..(9 << 20) + part.len()].copy_from_slice(&part);
    let made = protect(&vault, &disk);
    assert!(made.point.row.stored < 36 << 17, "{} bytes", made.point.row.stored);
    let again = protect(&world.open(), &disk);
    assert!(again.point.row.changed == 0 && again.point.row.stored < 8192, "{:?}", again.point.row);
    assert!(read(&world.open(), again.point.number) == disk);
}

#[test]
fn what_is_not_in_use_is_not_read_and_reads_as_zeros() {
    let world = World::new();
    let vault = world.open();
    let disk = noise(8 << 20, 3);
    let made = try_protect(&vault, &disk, vec![0..1 << 20, 6 << 20..7 << 20]).unwrap();
    assert_eq!((made.point.row.read, made.point.row.disks[0].absent), (2 << 20, 6 * 256));
    let mut expected = disk.clone();
    expected[1 << 20..6 << 20].fill(0);
    expected[7 << 20..].fill(0);
    assert!(read(&vault, made.point.number) == expected);
}

#[test]
fn two_at_once_on_one_store_both_succeed() {
    let world = World::new();
    let disks = [noise(5 << 20, 4), noise(5 << 20, 5)];
    std::thread::scope(|scope| {
        for disk in &disks {
            scope.spawn(|| protect(&world.open(), disk));
        }
    });
    let vault = world.open();
    let machine = vault.machine("alpha").unwrap();
    assert_eq!(vault.points(machine.id).unwrap().len(), 2);
    let got = [read(&vault, PointNo(1)), read(&vault, PointNo(2))];
    assert!(got == disks || got == [disks[1].clone(), disks[0].clone()]);
}

#[test]
fn a_wrong_passphrase_and_a_folder_that_is_no_store_are_told_apart() {
    let world = World::new();
    let wrong = Vault::open(world.seams.clone(), "main", b"Secret");
    assert!(matches!(wrong, Err(VaultError::WrongPassphrase(1))));
    let none = Vault::open(world.seams.clone(), "other", b"secret");
    assert!(matches!(none, Err(VaultError::NoVault(_))));
    assert!(matches!(Vault::create(&world.seams, "main", b"x"), Err(VaultError::StoreExists)));
}
