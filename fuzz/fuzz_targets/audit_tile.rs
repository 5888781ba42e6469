//! Hostile bytes as a tile, a sheet, and a batch or names behind their hash.
#![no_main]

use backstay_audit::journal::{Batch, SealedNames};
use backstay_audit::tile::{decode_hashes, decode_sheet, encode_hashes, encode_sheet};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(hashes) = decode_hashes(bytes) {
        assert_eq!(encode_hashes(&hashes), bytes);
    }
    if let Ok(records) = decode_sheet(bytes) {
        assert_eq!(encode_sheet(records.iter().map(Vec::as_slice)), bytes);
    }
    if let Ok(batch) = Batch::decode_body(bytes) {
        assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
    }
    if let Ok(names) = SealedNames::decode_body(bytes) {
        assert_eq!(SealedNames::decode(&names.encode()), Ok(names));
    }
});
