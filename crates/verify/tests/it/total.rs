//! Decoders are total: whatever the bytes, they return.

use std::panic::catch_unwind;

use backstay_verify::decode::ALL;
use proptest::prelude::*;

use crate::encode::{self, Pack};
use crate::fixture::{data, pages};

/// Something that each decoder takes.
fn good() -> Vec<(&'static str, Vec<u8>)> {
    let (store, key) = ([1; 16], [2; 32]);
    let mut pack = Pack::new([3; 16], key);
    pack.chunks(&key, false, &[&pages(1, 2), &pages(2, 1)]);
    pack.blob(true, b"blob");
    let extents = [data(1, 3, 2, &pack, 0, 0), data(1, 5, 1, &pack, 1, 0)];
    let block = encode::block(&[pack.id], &extents);
    let root = [&[1, 1], pack.id.as_slice(), &[0], &block].concat();
    let numbers = encode::SlotNumbers { memory: 64, passes: 1, lanes: 1 };
    let mut slot = encode::slot_head(&[4; 16], &[5; 16], &numbers, 6, "label");
    slot.extend([7; 96]);
    let row =
        |(key, value): (Vec<u8>, Option<Vec<u8>>)| [vec![key.len() as u8], key, value.unwrap_or_default()].concat();
    let point = row(crate::vault::point(&[8; 16], 9, &[(1, 5000), (2, 6000)]));
    let span = crate::vault::span(&mut pack, &[8; 16], 2, 1, 0, &extents).remove(0);
    let [interval, suspension, gap] = crate::vault::gap(&[8; 16], 9, &[1, 2]).try_into().expect("three rows");
    let (changes, previous) = ([(b"k".to_vec(), Some(b"v".to_vec())), (b"d".to_vec(), None)], [9; 32]);
    let state = [previous.as_slice(), &[1, 1, b'k'], &[0; 8], &[0, 60, 4, 1]].concat();
    let bucket = [&[17, b'b'], [1; 16].as_slice(), b"\x06system", &[0; 12], &[1; 64]].concat();
    vec![
        ("twin", encode::twin(3, &store, b"payload")),
        ("store_header", vec![0; 12]),
        ("key_slot", slot),
        ("key_row", bucket),
        ("entry", encode::entry(&previous, 1, "protect", &changes)),
        ("state", state),
        ("part", b"\x01k\x01v\x02kk\x00".to_vec()),
        ("row", point),
        ("row", row(span)),
        ("row", row(interval)),
        ("row", row(suspension)),
        ("row", row(gap)),
        ("run_root", root),
        ("run_block", block),
        ("pack_header", encode::pack_header(&store, &pack.id)),
        ("pack_trailer", encode::pack_trailer(&pack.id, 100, 1000)),
        ("pack_table", pack.table()),
        ("zstd", encode::zstd(&pages(3, 16))),
    ]
}

#[test]
fn each_decoder_takes_what_the_writer_writes() {
    let good = good();
    for (name, decode) in ALL {
        let samples: Vec<&Vec<u8>> = good.iter().filter(|(of, _)| of == name).map(|(_, bytes)| bytes).collect();
        assert!(!samples.is_empty(), "no sample for {name}");
        assert!(samples.into_iter().all(|bytes| decode(bytes)), "{name} refuses what is right");
    }
}

#[test]
fn each_decoder_returns_for_every_cut_and_every_flipped_bit() {
    for (name, bytes) in good() {
        let (_, decode) = ALL.iter().find(|(of, _)| *of == name).expect("a decoder of that name");
        let step = (bytes.len() / 600).max(1);
        for place in (0..bytes.len()).step_by(step) {
            catch_unwind(|| decode(&bytes[..place])).unwrap_or_else(|_| panic!("{name} panics, cut at {place}"));
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[place] ^= 1 << bit;
                catch_unwind(|| decode(&bytes)).unwrap_or_else(|_| panic!("{name} panics, bit {bit} of byte {place}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn each_decoder_returns_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (name, decode) in ALL {
            prop_assert!(catch_unwind(|| decode(&bytes)).is_ok(), "{} panics", name);
        }
    }

    #[test]
    fn each_decoder_returns_for_spliced_bytes(place in 0usize..600, patch in prop::collection::vec(any::<u8>(), 0..12)) {
        for (name, mut bytes) in good() {
            let (_, decode) = ALL.iter().find(|(of, _)| *of == name).expect("a decoder of that name");
            let place = place % (bytes.len() + 1);
            let end = (place + patch.len()).min(bytes.len());
            bytes.splice(place..end, patch.iter().copied());
            prop_assert!(catch_unwind(|| decode(&bytes)).is_ok(), "{} panics", name);
        }
    }
}
