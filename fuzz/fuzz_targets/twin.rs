//! Hostile bytes as an object that is stored twice, expected to be of each kind.
#![no_main]

use backstay_format::twin::{Kind, decode};

const KINDS: [Kind; 5] = [Kind::StoreHeader, Kind::KeySlot, Kind::Entry, Kind::State, Kind::Parts];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for kind in KINDS {
        if let Ok(decoded) = decode(bytes, kind, None) {
            assert!(decoded.payload.len() <= bytes.len());
        }
    }
});
