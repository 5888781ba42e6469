//! What a hostile monitor or guest agent says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = backstay_hypervisor::qmp::parse(bytes);
});
