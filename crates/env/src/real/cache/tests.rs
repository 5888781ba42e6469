//! The cache in front of a simulated home, whose operations are counted.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::sim::objects::{Faults, SimObjects};

const MIB: usize = 1 << 20;

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 1000) as u8 ^ (at / MIB) as u8).collect()
}

struct World {
    dir: tempfile::TempDir,
    home: SimObjects,
    body: Vec<u8>,
}

impl World {
    /// A home with one object of five and a half blocks.
    fn new() -> World {
        let (home, body) = (SimObjects::seeded(1).remote(), body(11 * MIB / 2));
        home.put(&key("pack/a"), &[&body]).unwrap();
        World { dir: tempfile::tempdir().unwrap(), home, body }
    }

    fn cache(&self, limit: u64) -> Cached {
        let is_immutable = |key: &Key| key.as_str().starts_with("pack/");
        Cached::new(Arc::new(self.home.clone()), self.dir.path(), "store", limit, is_immutable).unwrap()
    }

    /// Reads a range through the cache, and returns how many operations the home saw for it.
    fn read(&self, cache: &Cached, offset: usize, len: usize) -> u64 {
        let before = self.home.operations();
        let mut bytes = vec![0; len];
        cache.open(&key("pack/a")).unwrap().read_at(offset as u64, &mut bytes).unwrap();
        assert!(bytes == self.body[offset..offset + len], "{len} bytes at {offset}");
        self.home.operations() - before
    }

    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.dir.path()).unwrap().map(|folder| folder.unwrap().path());
        let mut files: Vec<_> =
            folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    }
}

#[test]
fn what_was_read_once_is_not_asked_for_again() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    assert_eq!(world.read(&cache, MIB + 5, 10), 2, "open, and one block");
    assert_eq!(world.read(&cache, MIB, MIB), 1, "open alone: its size is told by block 0 only");
    assert_eq!(world.read(&cache, 0, 5 * MIB), 3, "open, block 0, and the blocks after block 1 at once");
    assert_eq!(world.read(&cache, 3, 5 * MIB - 7), 0);
    assert_eq!(world.read(&cache, 5 * MIB, MIB / 2), 2, "the home is opened late, and the last block");
    assert_eq!(world.read(&world.cache(1 << 30), 0, world.body.len()), 0, "after a restart too");
    assert!(cache.get(&key("pack/a")).unwrap() == world.body);
    let usage = cache.usage();
    assert_eq!((usage.misses, usage.failures), (6, 0));
    assert_eq!(usage.bytes, world.body.len() as u64 + 6 * 64);
}

#[test]
fn a_whole_object_is_kept_too() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    assert!(cache.get(&key("pack/a")).unwrap() == world.body);
    assert_eq!(world.read(&cache, 0, world.body.len()), 0);
    for len in [0, 1, MIB, MIB + 1] {
        let key = key(&format!("pack/{len}"));
        cache.put_new(&key, &[&world.body[..len]]).unwrap();
        (0..2).for_each(|_| assert!(cache.get(&key).unwrap() == world.body[..len]));
    }
}

#[test]
fn only_what_never_changes_is_kept() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    world.home.put(&key("point/a"), &[b"old"]).unwrap();
    assert_eq!(cache.get(&key("point/a")).unwrap(), b"old");
    world.home.put(&key("point/a"), &[b"new"]).unwrap();
    assert_eq!(cache.get(&key("point/a")).unwrap(), b"new");
    assert_eq!(cache.open(&key("point/a")).unwrap().size(), 3);
    assert!(world.files().is_empty());
}

#[test]
fn a_change_through_the_cache_is_seen() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    world.read(&cache, 0, world.body.len());
    cache.put(&key("pack/a"), &[b"repaired"]).unwrap();
    assert_eq!(cache.get(&key("pack/a")).unwrap(), b"repaired");
    cache.delete(&key("pack/a")).unwrap();
    assert!(matches!(cache.get(&key("pack/a")), Err(ObjectError::NotFound(_))));
    assert!(matches!(cache.open(&key("pack/a")), Err(ObjectError::NotFound(_))));
    assert!(world.files().is_empty());
}

#[test]
fn damage_in_the_cache_is_never_given_out() {
    let world = World::new();
    world.read(&world.cache(1 << 30), 0, world.body.len());
    let files = world.files();
    let original = fs::read(&files[1]).unwrap();
    // Each byte of the header, some of the rest, and every way to cut it off.
    let flips = (0..64).chain([64, 65, 70_000, original.len() - 1]).map(|at| {
        let mut bytes = original.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let cuts = [0, 1, 63, 64, 65, original.len() - 1].map(|len| original[..len].to_vec());
    let longer = [&original[..], b"x"].concat();
    for damaged in flips.chain(cuts).chain([longer, fs::read(&files[2]).unwrap()]) {
        fs::write(&files[1], &damaged).unwrap();
        let cache = world.cache(1 << 30);
        world.read(&cache, 0, world.body.len());
        assert_eq!(cache.usage().misses, 1, "only what is damaged is fetched again");
        assert!(fs::read(&files[1]).unwrap() == original, "and is whole again");
    }
}

#[test]
fn blocks_of_other_objects_and_homes_are_not_taken_for_ours() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    world.read(&cache, 0, MIB);
    world.home.put(&key("pack/b"), &[&vec![9; 11 * MIB / 2]]).unwrap();
    let block = world.files().remove(0);
    cache.get(&key("pack/b")).unwrap();
    let files = world.files();
    let of_b = files.iter().find(|file| file.parent() != block.parent() && file.ends_with("0")).unwrap();
    fs::copy(of_b, &block).unwrap();
    world.read(&cache, 0, MIB);
    let elsewhere = SimObjects::seeded(2);
    elsewhere.put(&key("pack/a"), &[b"another store's"]).unwrap();
    let other = Cached::new(Arc::new(elsewhere), world.dir.path(), "other", 1 << 30, |_| true).unwrap();
    assert_eq!(other.get(&key("pack/a")).unwrap(), b"another store's");
}

#[test]
fn the_limit_is_kept_and_what_was_used_last_stays() {
    let world = World::new();
    let limit = 32 * MIB as u64;
    let cache = world.cache(limit);
    world.read(&cache, 0, MIB);
    for n in 0..80 {
        let name = key(&format!("pack/{n}"));
        world.home.put(&name, &[&vec![n; MIB]]).unwrap();
        cache.get(&name).unwrap();
        assert!(cache.usage().bytes <= limit, "after {n}: {:?}", cache.usage());
        world.read(&cache, 0, MIB);
    }
    let on_disk: u64 = world.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(on_disk <= limit && on_disk > limit / 2, "{on_disk}");
    let before = cache.usage().misses;
    world.read(&cache, 0, MIB);
    assert_eq!(cache.usage().misses, before, "what is used all the time was never thrown out");
    assert!(world.cache(limit / 4).usage().bytes <= limit / 4, "a smaller limit is kept from the start");
}

#[test]
fn a_broken_cache_costs_time_only() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    fs::remove_dir_all(world.dir.path()).unwrap();
    fs::write(world.dir.path(), b"not a folder").unwrap();
    (0..2).for_each(|_| assert!(world.read(&cache, 0, world.body.len()) > 0));
    assert!(cache.get(&key("pack/a")).unwrap() == world.body);
    assert!(cache.usage().failures > 0);
    fs::remove_file(world.dir.path()).unwrap();
    fs::create_dir(world.dir.path()).unwrap();
}

#[test]
fn many_threads_fetch_a_block_once() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    let object = cache.open(&key("pack/a")).unwrap();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (object, world) = (&object, &world);
            scope.spawn(move || {
                let mut bytes = vec![0; 1000];
                object.read_at(n * 1000, &mut bytes).unwrap();
                assert!(bytes == world.body[n as usize * 1000..][..1000]);
            });
        }
    });
    assert_eq!(cache.usage().misses, 1);
}

#[test]
fn failures_of_the_home_are_told_and_not_kept() {
    let world = World::new();
    let cache = world.cache(1 << 30);
    let object = cache.open(&key("pack/a")).unwrap();
    world.home.set_faults(Faults { failed_ppm: 1_000_000, ..Faults::default() });
    assert!(matches!(object.read_at(0, &mut [0; 10]), Err(ObjectError::Io { .. })));
    world.home.set_faults(Faults::default());
    object.read_at(0, &mut [0; 10]).unwrap();
    assert!(matches!(object.read_at(world.body.len() as u64, &mut [0]), Err(ObjectError::Short(_))));
}
