//! A hostile NBD server: its handshake and its replies.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_hypervisor::nbd::fuzz::server(bytes));
