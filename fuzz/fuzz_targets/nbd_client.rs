//! A hostile NBD client: its handshake and its requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_recover::nbd::fuzz::client(bytes));
