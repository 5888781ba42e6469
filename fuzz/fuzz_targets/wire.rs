//! Messages of agents and servers: whatever arrives is a message or an error, and a message comes back as it was.
#![no_main]

use backstay_format::wire;
use backstay_format::wire::v1::{ToAgent, ToServer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok((head, body)) = wire::decode::<ToServer>(data) {
        let again = [&wire::encode(&head), body].concat();
        assert_eq!(
            wire::decode::<ToServer>(&again).map(|(head, body)| (head, body.to_vec())),
            Ok((head, body.to_vec()))
        );
    }
    if let Ok((head, _)) = wire::decode::<ToAgent>(data) {
        assert_eq!(wire::decode::<ToAgent>(&wire::encode(&head)).map(|(head, _)| head), Ok(head));
    }
});
