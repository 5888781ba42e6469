//! The handshake against every order of options, and against bytes that mean harm.
//!
//! Never knows: sockets.

use proptest::prelude::*;

use super::*;

fn offers() -> Vec<Offer> {
    let offer = |name: &str, minimum_block| Offer {
        name: name.into(),
        description: format!("disk {name}"),
        size: 0x10000,
        minimum_block,
    };
    vec![offer("a", 1), offer("b", 4096)]
}

fn option(option: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = OPTION.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn string(s: &str) -> Vec<u8> {
    [&(s.len() as u32).to_be_bytes()[..], s.as_bytes()].concat()
}

fn info(name: &str, kinds: &[u16]) -> Vec<u8> {
    let kinds: Vec<u8> = kinds.iter().flat_map(|k| k.to_be_bytes()).collect();
    [string(name), vec![0, kinds_len(&kinds)], kinds].concat()
}

fn kinds_len(kinds: &[u8]) -> u8 {
    kinds.len() as u8 / 2
}

fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut bytes = string(name);
    bytes.extend((queries.len() as u32).to_be_bytes());
    queries.iter().for_each(|q| bytes.extend(string(q)));
    bytes
}

/// How a conversation ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Transmit(Agreed),
    Close,
}

/// Says all of `input` with these client flags; returns what was answered.
fn talk(flags: u32, input: &[Vec<u8>]) -> (Vec<u8>, End) {
    let offers = offers();
    let mut handshake = Handshake::new(&offers);
    let input = [flags.to_be_bytes().to_vec(), input.concat()].concat();
    let (mut left, mut said) = (&input[..], Vec::new());
    while let Some((head, rest)) = left.split_at_checked(handshake.wants()) {
        left = rest;
        match handshake.step(head) {
            Step::Continue(bytes) => said.extend(bytes),
            Step::Transmit(bytes, agreed) => {
                said.extend(bytes);
                return (said, End::Transmit(agreed));
            }
            Step::Close(bytes) => {
                said.extend(bytes);
                return (said, End::Close);
            }
        }
    }
    (said, End::Open)
}

/// The kinds of the replies.
fn kinds(mut said: &[u8]) -> Vec<u32> {
    let mut kinds = Vec::new();
    while !said.is_empty() {
        assert_eq!(take_u64(&mut said), Some(OPTION_REPLY));
        take_u32(&mut said).expect("option");
        kinds.push(take_u32(&mut said).expect("kind"));
        let len = take_u32(&mut said).expect("length");
        said = &said[len as usize..];
    }
    kinds
}

#[track_caller]
fn check(input: &[Vec<u8>], want: &[u32], end: End) {
    let (said, ended) = talk(3, input);
    assert_eq!(kinds(&said), want);
    assert_eq!(ended, end);
}

fn agreed(offer: usize, structured: bool, allocation: bool) -> End {
    End::Transmit(Agreed { offer, structured, allocation })
}

#[test]
fn golden_greeting_and_go() {
    assert_eq!(Handshake::greeting(), b"NBDMAGICIHAVEOPT\x00\x03");
    let (said, _) = talk(3, &[option(option::GO, &info("b", &[info::BLOCK_SIZE]))]);
    let golden = [
        &[0, 3, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 12][..],
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x05, 0x07], // size; HAS_FLAGS READ_ONLY FLUSH MULTI_CONN CACHE
        &[0, 3, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 14],
        &[0, 3, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 2, 0, 0, 0], // block sizes
        &[0, 3, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0],
    ];
    assert_eq!(said, golden.concat());
}

#[test]
fn export_name() {
    let (said, end) = talk(3, &[option(option::EXPORT_NAME, b"")]);
    assert_eq!((said.len(), end), (10, agreed(0, false, false)));
    let (said, end) = talk(0, &[option(option::EXPORT_NAME, b"b")]);
    assert_eq!((said.len(), end), (134, agreed(1, false, false)));
    assert_eq!(talk(3, &[option(option::EXPORT_NAME, b"c")]), (vec![], End::Close));
}

#[test]
fn info_and_go() {
    use answer::*;
    check(&[option(option::INFO, &info("a", &[]))], &[INFO, ACK], End::Open);
    check(&[option(option::GO, &info("", &[1, 2, 3, 99]))], &[INFO, INFO, INFO, INFO, ACK], agreed(0, false, false));
    let wrong = [option(option::GO, &info("zz", &[])), option(option::GO, &info("b", &[]))];
    check(&wrong, &[ERR_UNKNOWN, INFO, ACK], agreed(1, false, false));
    check(&[option(option::GO, b"\xff\xff\xff\xff")], &[ERR_INVALID], End::Open);
    let long = [&info("a", &[])[..], b"x"].concat();
    check(&[option(option::INFO, &long)], &[ERR_INVALID], End::Open);
    check(&[option(option::INFO, &info(&"n".repeat(4097), &[]))], &[ERR_INVALID], End::Open);
}

#[test]
fn listing() {
    check(&[option(option::LIST, b"")], &[answer::SERVER, answer::SERVER, answer::ACK], End::Open);
    check(&[option(option::LIST, b"x")], &[answer::ERR_INVALID], End::Open);
}

#[test]
fn contexts_are_for_one_export() {
    use answer::*;
    let structured = option(option::STRUCTURED_REPLY, b"");
    let set = |name: &str, queries: &[&str]| option(option::SET_META_CONTEXT, &contexts(name, queries));
    let go = |name: &str| option(option::GO, &info(name, &[]));
    let all = ["base:allocation"];
    check(&[set("a", &all)], &[ERR_INVALID], End::Open);
    let good = [structured.clone(), set("a", &all), go("")];
    check(&good, &[ACK, META_CONTEXT, ACK, INFO, ACK], agreed(0, true, true));
    let other = [structured.clone(), set("a", &all), go("b")];
    check(&other, &[ACK, META_CONTEXT, ACK, INFO, ACK], agreed(1, true, false));
    let replaced = [structured.clone(), set("a", &all), set("a", &["base:", "qemu:x"]), go("a")];
    check(&replaced, &[ACK, META_CONTEXT, ACK, ACK, INFO, ACK], agreed(0, true, false));
    let refused = [structured.clone(), set("a", &all), set("zz", &all), go("a")];
    check(&refused, &[ACK, META_CONTEXT, ACK, ERR_UNKNOWN, INFO, ACK], agreed(0, true, false));
    for queries in [&[][..], &["base:"], &["x", "base:allocation"]] {
        let list = option(option::LIST_META_CONTEXT, &contexts("a", queries));
        check(&[structured.clone(), list], &[ACK, META_CONTEXT, ACK], End::Open);
    }
    let list = option(option::LIST_META_CONTEXT, &contexts("a", &["qemu:"]));
    check(&[structured, list], &[ACK, ACK], End::Open);
}

#[test]
fn unknown_and_oversized_options_are_survived() {
    use answer::*;
    let big = option(77, &vec![0; 200_000]);
    check(
        &[option(5, b""), option(11, b""), big, option(option::ABORT, b"")],
        &[ERR_UNSUP, ERR_UNSUP, ERR_TOO_BIG, ACK],
        End::Close,
    );
    let mut huge = option(77, b"");
    huge[12..16].copy_from_slice(&u32::MAX.to_be_bytes());
    check(&[huge], &[], End::Close);
}

#[test]
fn what_is_not_the_protocol_ends_it() {
    assert_eq!(talk(4, &[]), (vec![], End::Close), "unknown client flag");
    assert_eq!(talk(2, &[option(option::GO, &info("a", &[]))]), (vec![], End::Close), "not fixed newstyle");
    assert_eq!(talk(3, &[vec![0; OPTION_HEADER]]), (vec![], End::Close), "bad magic");
}

#[test]
fn edges() {
    use State::*;
    let data = Data { option: 1, len: 5 };
    let skip = |left| Skip { option: 1, left };
    let states = [Flags, Header, data, skip(9), skip(4), Ended];
    let allowed: Vec<_> = states
        .iter()
        .flat_map(|&from| states.map(|to| (from, to)))
        .filter(|&(from, to)| may_follow(from, to))
        .collect();
    let mut want = vec![(Flags, Header), (Header, data), (Header, skip(9)), (Header, skip(4)), (data, Header)];
    want.extend([(skip(9), Header), (skip(9), skip(4)), (skip(4), Header)]);
    want.extend([Flags, Header, data, skip(9), skip(4)].map(|from| (from, Ended)));
    assert_eq!(allowed.len(), want.len());
    assert!(want.iter().all(|edge| allowed.contains(edge)));
}

proptest! {
    #[test]
    fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::nbd::fuzz::client(&bytes);
    }

    #[test]
    fn hostile_options(
        options in prop::collection::vec((0_u32..13, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        tail in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = vec![0, 0, 0, 3];
        options.iter().for_each(|(kind, data)| bytes.extend(option(*kind, data)));
        bytes.extend(tail);
        crate::nbd::fuzz::client(&bytes);
    }
}
