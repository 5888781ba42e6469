//! The file of marks that are kept over a restart, behind its hash.
#![no_main]

use backstay_capture::saved::Saved;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(saved) = Saved::decode_body(body) {
        let again = Saved::decode(&saved.encode());
        assert!(again.is_ok_and(|again| again == saved), "what was read is not written the same");
        saved.disks.iter().for_each(|disk| drop(disk.marks.runs().collect::<Vec<_>>()));
    }
});
