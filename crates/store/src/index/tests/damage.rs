//! Objects that are not as they were written.

use backstay_format::DecodeError;
use backstay_format::units::Digest;

use super::super::Fault;
use super::*;

/// An index with several runs, one of several parts.
fn fixture(seed: u64) -> (SimObjects, Packs) {
    let home = SimObjects::seeded(seed);
    let mut index = open(&home, seed);
    let packs = random_packs(&mut Dice::seeded(seed), 30);
    insert_all(&mut index, &packs);
    merge_all(&mut index);
    let more = (100..103).map(|n| (writing(n, 0), random_pack(&mut Dice::seeded(n), 120)));
    let packs = packs.into_iter().chain(more).collect();
    insert_all(&mut index, &packs);
    index.flush().unwrap();
    assert!(index.runs.len() > 1 && index.runs[0].parts.len() > 1);
    (home, packs)
}

fn keys(home: &SimObjects) -> Vec<Key> {
    home.list(&prefix()).unwrap().into_iter().map(|object| object.key).collect()
}

/// Opens a damaged index: nothing wrong is said, what is missing can be inserted again, and the damage is soon gone.
fn recover(home: &SimObjects, packs: &Packs, is_noticed: bool) {
    let mut index = open(home, 50);
    check(&index, packs, packs);
    assert_eq!(!index.stats().dropped.is_empty(), is_noticed);
    assert_eq!(packs.keys().all(|writing| index.covers(writing)), !is_noticed);
    sync(&mut index, packs).unwrap();
    check_all(&index, packs);
    index.flush().unwrap();
    check_tidy(home, &mut index);
    let index = open(home, 51);
    check_all(&index, packs);
    assert!(index.stats().dropped.is_empty());
}

#[test]
fn flipped_bits_anywhere() {
    let (home, packs) = fixture(1);
    for key in keys(&home) {
        let size = home.get(&key).unwrap().len();
        for offset in (0..size).step_by(601).chain((0..size).rev().take(1500).step_by(29)) {
            let home = home.fork();
            assert!(home.tamper(&key, |bytes| bytes[offset] ^= 1 << (offset % 8)));
            recover(&home, &packs, true);
        }
    }
}

#[test]
fn objects_that_are_cut_longer_or_gone() {
    let (home, packs) = fixture(2);
    for key in keys(&home) {
        let size = home.get(&key).unwrap().len();
        for len in [0, 1, 71, 72, 4096, size / 2, size - 1] {
            let home = home.fork();
            home.tamper(&key, |bytes| bytes.truncate(len));
            recover(&home, &packs, true);
        }
        let longer = home.fork();
        longer.tamper(&key, |bytes| bytes.push(0));
        recover(&longer, &packs, true);
        let gone = home.fork();
        gone.delete(&key).unwrap();
        let mut index = open(&gone, 1);
        check(&index, &packs, &packs);
        sync(&mut index, &packs).unwrap();
        check_all(&index, &packs);
        index.flush().unwrap();
        check_tidy(&gone, &mut index);
    }
}

#[test]
fn blocks_and_objects_in_the_place_of_others() {
    let (home, packs) = fixture(3);
    let keys = keys(&home);
    for (a, b) in keys.iter().zip(keys.iter().cycle().skip(1)) {
        let (first, second) = (home.get(a).unwrap(), home.get(b).unwrap());
        let swapped = home.fork();
        swapped.tamper(a, |bytes| bytes.clone_from(&second));
        swapped.tamper(b, |bytes| bytes.clone_from(&first));
        recover(&swapped, &packs, true);
        let block = home.fork();
        block.tamper(a, |bytes| bytes[..4096].copy_from_slice(&second[..4096]));
        recover(&block, &packs, true);
    }
    // Two blocks of one part.
    let part = keys.iter().find(|key| key.as_str().contains('.')).unwrap();
    home.tamper(part, |bytes| {
        let (first, rest) = bytes.split_at_mut(4096);
        first.swap_with_slice(&mut rest[..4096]);
    });
    recover(&home, &packs, true);
}

#[test]
fn any_bytes_under_the_names_of_runs() {
    let mut dice = Dice::seeded(4);
    for seed in 0..300 {
        let home = SimObjects::seeded(seed);
        let names = ["", ".0000", ".0001"].map(|suffix| format!("{}/{:032x}{suffix}", prefix(), seed));
        for name in names {
            let mut bytes = vec![0; dice.below(10_000) as usize];
            dice.fill(&mut bytes);
            if bytes.len() > 72 {
                // Past the first checks, as often as not.
                let end = bytes.len() - 72;
                bytes[end..end + 16].copy_from_slice(b"BKSTINDX\x01\0\0\0\0\0\0\0");
                bytes[end + 16..end + 32].copy_from_slice(&STORE.0);
                bytes[end + 32..end + 48].copy_from_slice(&u128::from(seed).to_be_bytes());
                bytes[end + 51..end + 56].fill(0);
            }
            home.put(&Key::new(name).unwrap(), &[&bytes]).unwrap();
        }
        let mut index = open(&home, seed);
        assert_eq!(index.stats().dropped.len(), 1);
        check_all(&index, &Packs::new());
        check_tidy(&home, &mut index);
        assert_eq!(home.used(), 0);
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (home, packs) = fixture(5);
    let strange = ["readme", "00", "00112233445566778899aabbccddeeff.1", "sub/00112233445566778899aabbccddeeff"];
    let strange = strange.map(|name| Key::new(format!("{}/{name}", prefix())).unwrap());
    for key in &strange {
        home.put(key, &[b"not ours"]).unwrap();
    }
    let mut index = open(&home, 1);
    check_all(&index, &packs);
    for _ in 0..3 {
        merge_all(&mut index);
        index.refresh().unwrap();
    }
    for key in &strange {
        assert_eq!(home.get(key).unwrap(), b"not ours");
    }
}

#[test]
fn a_run_of_a_newer_version_is_not_used_and_not_deleted() {
    let (home, packs) = fixture(6);
    let key = keys(&home).pop().unwrap();
    let size = home.get(&key).unwrap().len();
    home.tamper(&key, |bytes| {
        bytes[size - 64] = 2;
        let trailer = size - 72;
        let root_len = u64::from_le_bytes(bytes[trailer + 48..trailer + 56].try_into().unwrap());
        let root = &bytes[trailer - root_len as usize..trailer];
        let digest = Digest::of(&[&bytes[trailer..size - 16], root]).short();
        bytes[size - 16..].copy_from_slice(&digest);
    });
    let mut index = open(&home, 1);
    let dropped = index.stats().dropped;
    assert_eq!(dropped.len(), 1);
    assert!(matches!(dropped[0].why, Fault::Root(DecodeError::Version { found: 2, .. })));
    sync(&mut index, &packs).unwrap();
    merge_all(&mut index);
    check_all(&index, &packs);
    assert_eq!(home.get(&key).unwrap().len(), size);
}

#[test]
fn an_index_of_another_store_is_not_used() {
    let (home, _) = fixture(7);
    let random = Arc::new(SimRandom::seeded(1));
    let other = StoreId([8; 16]);
    let index = Index::open(Arc::new(home.clone()), prefix(), other, SMALL, random).unwrap();
    assert_eq!(index.packs().count(), 0);
    let foreign = DecodeError::Foreign("run of the dedup index");
    let dropped = index.stats().dropped;
    assert!(!dropped.is_empty());
    for run in dropped {
        assert!(matches!(run.why, Fault::Root(why) if why == foreign));
    }
}
