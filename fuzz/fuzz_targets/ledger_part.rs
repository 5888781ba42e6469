//! Hostile bytes as a part of the ledger's rows.
#![no_main]

use backstay_format::ledger::{decode_part, put_row};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(rows) = decode_part(bytes) else { return };
    let mut again = Vec::new();
    for (key, value) in &rows {
        put_row(&mut again, key, value);
    }
    assert_eq!(decode_part(&again), Ok(rows));
});
