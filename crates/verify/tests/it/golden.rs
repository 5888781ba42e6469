//! This suite's writer against the known answers: what it writes is what
//! others wrote from the same pages.

use crate::encode;
use crate::vault::derive;

fn golden(name: &str) -> Vec<u8> {
    let lines = include_str!("../golden.txt").lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = found.next().expect("a golden of that name").as_bytes();
    let pairs = hex.chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

fn rising<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|place| from + place as u8)
}

#[test]
fn the_writer_seals_as_others_do() {
    let (key, salt, pack) = (rising(0), rising(0xa0), rising(0x50));
    assert_eq!(encode::seal(&key, salt, b"aad", b"message"), golden("box"));
    assert_eq!(encode::frame(&key, &pack, 258, b"content"), golden("frame"));
    assert_eq!(derive("chunk id", &key).as_slice(), golden("chunk-key"));
}

#[test]
fn the_writer_writes_as_others_do() {
    let (key, salt): ([u8; 32], [u8; 16]) = (rising(0), rising(0xa0));
    let (store, vault, pack) = (rising(0x10), rising(0x30), rising(0x50));
    let header = [0u32.to_le_bytes().as_slice(), &1_795_600_000_000_000_000i64.to_le_bytes()].concat();
    assert_eq!(encode::copy(1, &store, &header), golden("store-header"));
    let changes = [(b"kkk".to_vec(), Some(b"vv".to_vec())), (b"zz".to_vec(), None)];
    assert_eq!(encode::entry(&[7; 32], -5, "protect", &changes), golden("entry-plain"));
    assert_eq!(encode::pack_header(&store, &pack), golden("pack-header"));
    assert_eq!(encode::pack_trailer(&pack, 300, 0x0123_4567), golden("pack-trailer"));

    let numbers = encode::SlotNumbers { memory: 64, passes: 2, lanes: 1 };
    let own = encode::slot_key(b"correct horse", &salt, &numbers);
    let mut slot = encode::slot_head(&vault, &salt, &numbers, 9, "me");
    let keys = [rising::<32>(0), rising::<32>(64)].concat();
    slot.extend(encode::seal(&own, salt, &[b"backstay slot 1".as_slice(), &store, &vault].concat(), &keys));
    assert_eq!(slot, golden("slot"));

    let mut own = encode::Pack::new(pack, key);
    own.frames.push(encode::Frame { flags: 0, stored: vec![0; 4112], plain: 4096, chunks: vec![([9; 32], 1)] });
    own.frames.push(encode::Frame { flags: 2, stored: vec![0; 20], plain: 4, chunks: Vec::new() });
    assert_eq!(own.table(), golden("table"));
}
