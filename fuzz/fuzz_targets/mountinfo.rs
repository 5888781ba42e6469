//! The kernel's table of mounts, with names in it that anybody may have chosen.
#![no_main]

use backstay_capture::freeze::mountinfo::parse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drop(parse(bytes));
});
