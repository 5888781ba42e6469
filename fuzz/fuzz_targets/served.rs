//! Hostile bytes as what a server keeps in the store that it serves: its claim, and what it needs to go on elsewhere.
#![no_main]

use backstay_format::served::{Claim, Kept};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(claim) = Claim::decode(bytes) {
        assert_eq!(Claim::decode(&claim.encode()), Ok(claim));
    }
    if let Ok(kept) = Kept::decode(bytes) {
        assert_eq!(Kept::decode(&kept.encode()), Ok(kept));
    }
});
