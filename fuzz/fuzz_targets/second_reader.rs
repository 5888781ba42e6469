//! The decoders of the second reader, one of them chosen by the first byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    let all = backstay_verify::decode::ALL;
    let _outcome = (all[usize::from(*which) % all.len()].1)(rest);
});
