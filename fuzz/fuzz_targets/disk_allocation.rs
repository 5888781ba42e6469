//! Hostile bytes as a disk: partitions, and what each file system says is in use.
#![no_main]

use backstay_env::volume::Volume as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let disk = bytes.to_vec();
    let found = backstay_items::disk::allocated(&disk);
    assert!(found.used.iter().all(|r| r.start < r.end && r.end <= disk.size()));
});
