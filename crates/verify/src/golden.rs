//! This crate's reading of known answers that others made. The test suite's
//! writer is held to the same ones.

use crate::bytes::Id;
use crate::crypt::{Key, inflate, open_box, open_frame, slot_key};
use crate::ledger::{Change, Domain, Entry};
use crate::twin::{What, copy};
use crate::{keys, ledger, pack, twin};

fn golden(name: &str) -> Vec<u8> {
    let lines = include_str!("../tests/golden.txt").lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = found.next().expect("a golden of that name");
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).expect("a hex digit")).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn rising<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|place| from + place as u8)
}

const STORE: fn() -> Id = || Id(rising(0x10));
const VAULT: fn() -> Id = || Id(rising(0x30));
const PACK: fn() -> Id = || Id(rising(0x50));
const K: fn() -> Key = || Key(rising(0));

#[test]
fn boxes_and_frames_open() {
    assert_eq!(open_box(&K(), b"aad", &golden("box")).as_deref(), Ok(&b"message"[..]));
    assert!(open_box(&K(), b"bad", &golden("box")).is_err());
    assert_eq!(open_frame(&K(), &PACK().0, 258, golden("frame")).as_deref(), Ok(&b"content"[..]));
    assert!(open_frame(&K(), &PACK().0, 259, golden("frame")).is_err());
}

#[test]
fn keys_are_derived() {
    let salt = rising(0xa0);
    let slot = slot_key(b"correct horse", &salt, 64, 2, 1).expect("numbers that Argon2 takes");
    assert_eq!(slot.0.as_slice(), golden("slot-key"));
    let opened = keys::open_slot(&keys::slot(&golden("slot")).expect("a slot"), STORE(), b"correct horse");
    let opened = opened.expect("the passphrase");
    assert_eq!(opened.ledger.0.as_slice(), golden("ledger-key"));
    assert_eq!(opened.table.0.as_slice(), golden("table-key"));
    assert_eq!(opened.wrap.0.as_slice(), golden("wrap-key"));
    // The slot's dedup key is another than K; the golden is derived from K.
    let chunk = K().derive("backstay 2026-11 chunk id");
    assert_eq!(chunk.0.as_slice(), golden("chunk-key"));
    assert_ne!(opened.chunk, chunk);
    assert_eq!(blake3::keyed_hash(&chunk.0, &[0; 4096]).as_bytes().as_slice(), golden("chunk-id"));
}

#[test]
fn a_slot_says_what_it_says() {
    let slot = keys::slot(&golden("slot")).expect("a slot");
    assert_eq!((slot.vault, slot.memory, slot.passes, slot.lanes), (VAULT(), 64, 2, 1));
    assert_eq!((slot.created, slot.label.as_str()), (9, "me"));
    assert!(keys::open_slot(&slot, STORE(), b"correct hors").is_err());
    assert!(keys::open_slot(&slot, VAULT(), b"correct horse").is_err());
}

#[test]
fn a_store_header_reads() {
    let bytes = golden("store-header");
    let copy = copy(&bytes, What::StoreHeader, None).expect("a whole copy");
    assert_eq!(copy.store, STORE());
    assert_eq!(twin::store_header(copy.payload).map(|header| header.created), Ok(1_795_600_000_000_000_000));
    assert!(twin::copy(&bytes, What::KeySlot, None).is_err());
    assert!(twin::copy(&bytes, What::StoreHeader, Some(VAULT())).is_err());
}

#[test]
fn an_entry_reads() {
    let aad = Domain::Ledger.aad("backstay entry 1", VAULT(), &[2]);
    let plain = open_box(&K().derive("backstay 2026-11 ledger"), &aad, &golden("entry-box")).expect("opens");
    assert_eq!(plain, golden("entry-plain"));
    let due = Entry {
        previous: [7; 32],
        time: -5,
        operation: "protect".to_owned(),
        changes: vec![
            Change { key: b"kkk".to_vec(), value: Some(b"vv".to_vec()) },
            Change { key: b"zz".to_vec(), value: None },
        ],
    };
    assert_eq!(ledger::entry(&plain), Ok(due));
}

#[test]
fn a_part_reads() {
    let aad = Domain::Ledger.aad("backstay part 1", VAULT(), &[5, 64]);
    let packed = open_box(&K().derive("backstay 2026-11 ledger"), &aad, &golden("part-box")).expect("opens");
    let plain = inflate(&packed, 10).expect("one frame of ten bytes");
    let due = vec![(b"a".to_vec(), Vec::new()), (b"bb".to_vec(), b"xyz".to_vec())];
    assert_eq!(ledger::part(&plain), Ok(due));
    assert!(inflate(&packed, 9).is_err() && inflate(&packed, 11).is_err());
    assert!(inflate(&[packed.as_slice(), &[0]].concat(), 10).is_err());
}

#[test]
fn a_packs_edges_and_table_read() {
    assert_eq!(pack::header(&golden("pack-header"), STORE(), PACK()), Ok(()));
    assert!(pack::header(&golden("pack-header"), STORE(), VAULT()).is_err());
    let trailer = pack::trailer(&golden("pack-trailer")).expect("a trailer");
    assert_eq!((trailer.footer, trailer.length, trailer.pack), (300, 0x0123_4567, PACK()));
    let plain = pack::open_footer(&K(), PACK(), &golden("footer")).expect("opens");
    assert_eq!(plain, golden("table"));
    let table = pack::table(&plain).expect("a table");
    assert_eq!(table.chunk(0), Some(&pack::Chunk { id: [9; 32], pages: 1 }));
    assert_eq!(table.chunk(1), None);
    assert!(table.frames[1].blob && !table.frames[0].blob);
    assert_eq!((table.frames[1].offset, table.end, table.numbered), (64 + 4112, 64 + 4112 + 20, 1));
}
