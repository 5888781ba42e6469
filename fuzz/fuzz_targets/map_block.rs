//! Hostile bytes as a block of a map.
#![no_main]

use backstay_format::map::{decode_block, encode_block};

libfuzzer_sys::fuzz_target!(|input: (u32, &[u8])| {
    let (packs, bytes) = input;
    let Ok(extents) = decode_block(bytes, packs) else {
        return;
    };
    let mut again = Vec::new();
    encode_block(&extents, &mut again);
    assert_eq!(decode_block(&again, packs), Ok(extents));
});
