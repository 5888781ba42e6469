//! Hostile bytes as the trailer of a pack.
#![no_main]

use backstay_format::pack::Trailer;

libfuzzer_sys::fuzz_target!(|bytes: [u8; backstay_format::pack::TRAILER_LEN]| {
    let Ok(trailer) = Trailer::decode(&bytes) else {
        return;
    };
    assert_eq!(Trailer::decode(&trailer.encode()), Ok(trailer));
});
