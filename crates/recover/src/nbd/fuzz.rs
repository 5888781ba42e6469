//! Entry points for fuzzing: the same pure code that faces clients, without sockets.
//!
//! Never knows: anything more than the parsers do.

use super::handshake::{Agreed, Handshake, Offer, Step};
use super::request::Request;
use super::wire::REQUEST_HEADER;

/// Plays a client that sends these bytes, to the end of the handshake or of the bytes, then through the requests that
/// follow. Must never panic, whatever they are.
pub fn client(mut bytes: &[u8]) {
    let offer = |name: &str, size, minimum_block| Offer {
        name: name.into(),
        description: "a disk".into(),
        size,
        minimum_block,
    };
    let offers = [offer("a", 10 << 20, 1), offer("b", u64::MAX, 4096)];
    let mut handshake = Handshake::new(&offers);
    let agreed = loop {
        let Some((input, rest)) = bytes.split_at_checked(handshake.wants()) else {
            return;
        };
        bytes = rest;
        match handshake.step(input) {
            Step::Continue(_) => {}
            Step::Close(_) => return,
            Step::Transmit(_, agreed) => break agreed,
        }
    };
    requests(bytes, &agreed, &offers);
}

fn requests(mut bytes: &[u8], agreed: &Agreed, offers: &[Offer]) {
    while let Some((header, rest)) = bytes.split_first_chunk::<REQUEST_HEADER>() {
        let Some(request) = Request::parse(header) else {
            return;
        };
        request.judge(agreed, offers[agreed.offer].size);
        bytes = rest.get(request.payload() as usize..).unwrap_or_default();
    }
}
