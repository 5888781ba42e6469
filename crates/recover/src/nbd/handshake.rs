//! The handshake, from the client's first byte to its choice of an export, as a pure state machine: bytes in, bytes
//! out. The caller reads exactly [`Handshake::wants`] bytes and gives them to [`Handshake::step`], until that says
//! to transmit or to close.
//!
//! ```text
//! Flags --> Header --> Data ----> Header ...
//!   |        |  |  ^     |
//!   |        |  v  |     +-----> Ended   GO and EXPORT_NAME: transmit; ABORT: close
//!   |        | Skip              (an option too long to be looked at)
//!   v        v
//!  Ended   Ended                 bytes that are not this protocol: close
//! ```
//!
//! Never knows: sockets, time, or the bytes of a volume. Total: no input makes it panic, and it never wants more than
//! [`MAX_OPTION`](super::wire::MAX_OPTION) bytes at once.

use super::wire::*;

/// What is offered under a name.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) name: String,
    pub(super) description: String,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes; divides `size`.
    pub(super) minimum_block: u32,
}

/// What the client and we settled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Which of the offers.
    pub(super) offer: usize,
    /// Reads must be answered in chunks.
    pub(super) structured: bool,
    /// The client may ask which bytes are holes.
    pub(super) allocation: bool,
}

/// What to do after some input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send these bytes, and go on.
    Continue(Vec<u8>),
    /// Send these bytes; the handshake is over, requests follow.
    Transmit(Vec<u8>, Agreed),
    /// Send these bytes, and close the connection.
    Close(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flags,
    Header,
    Data { option: u32, len: u32 },
    Skip { option: u32, left: u32 },
    Ended,
}

fn may_follow(from: State, to: State) -> bool {
    use State::*;
    match (from, to) {
        (Ended, _) => false,
        (_, Ended) => true,
        (Flags | Data { .. } | Skip { .. }, Header) => true,
        (Header, Data { len, .. }) => len <= MAX_OPTION,
        (Header, Skip { left, .. }) => left > 0,
        (Skip { left: before, .. }, Skip { left, .. }) => left > 0 && left < before,
        _ => false,
    }
}

/// One client's handshake.
pub(super) struct Handshake<'a> {
    offers: &'a [Offer],
    state: State,
    fixed: bool,
    no_zeroes: bool,
    structured: bool,
    /// The offer for which `base:allocation` was chosen; it is good for no other.
    allocation_for: Option<usize>,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(offers: &'a [Offer]) -> Self {
        let (state, allocation_for) = (State::Flags, None);
        Handshake { offers, state, fixed: false, no_zeroes: false, structured: false, allocation_for }
    }

    /// What the server says first.
    pub(super) fn greeting() -> Vec<u8> {
        let mut bytes = GREETING.to_be_bytes().to_vec();
        bytes.extend(OPTION.to_be_bytes());
        bytes.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
        bytes
    }

    /// How many bytes the next step needs; may be 0.
    pub(super) fn wants(&self) -> usize {
        match self.state {
            State::Flags => 4,
            State::Header => OPTION_HEADER,
            State::Data { len, .. } => len as usize,
            State::Skip { left, .. } => left.min(MAX_OPTION) as usize,
            State::Ended => 0,
        }
    }

    /// Takes the bytes that were wanted; another number of them closes the connection.
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        if input.len() != self.wants() {
            return self.close(Vec::new());
        }
        match self.state {
            State::Flags => self.client_flags(input),
            State::Header => self.option_header(input),
            State::Data { option, .. } => self.option_data(option, input),
            State::Skip { option, left } => self.skipped(option, left - input.len() as u32),
            State::Ended => Step::Close(Vec::new()),
        }
    }

    fn enter(&mut self, next: State) {
        assert!(may_follow(self.state, next), "handshake: {:?} -> {next:?}", self.state);
        self.state = next;
    }

    fn close(&mut self, last: Vec<u8>) -> Step {
        if self.state != State::Ended {
            self.enter(State::Ended);
        }
        Step::Close(last)
    }

    fn client_flags(&mut self, mut input: &[u8]) -> Step {
        let flags = take_u32(&mut input).unwrap_or(u32::MAX);
        if flags & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
            return self.close(Vec::new());
        }
        self.fixed = flags & u32::from(FIXED_NEWSTYLE) != 0;
        self.no_zeroes = flags & u32::from(NO_ZEROES) != 0;
        self.enter(State::Header);
        Step::Continue(Vec::new())
    }

    fn option_header(&mut self, mut input: &[u8]) -> Step {
        let (magic, option, len) = (take_u64(&mut input), take_u32(&mut input), take_u32(&mut input));
        let (Some(OPTION), Some(option), Some(len)) = (magic, option, len) else {
            return self.close(Vec::new());
        };
        // A client that does not know the fixed handshake cannot read a refusal.
        if (!self.fixed && option != option::EXPORT_NAME) || len > MAX_SKIPPED_OPTION {
            return self.close(Vec::new());
        }
        self.enter(match len {
            len if len <= MAX_OPTION => State::Data { option, len },
            left => State::Skip { option, left },
        });
        Step::Continue(Vec::new())
    }

    fn skipped(&mut self, option: u32, left: u32) -> Step {
        if left > 0 {
            self.enter(State::Skip { option, left });
            return Step::Continue(Vec::new());
        }
        match option {
            option::EXPORT_NAME => self.close(Vec::new()), // has no way to be refused
            _ => self.refuse(option, answer::ERR_TOO_BIG, "the option is longer than 64 KiB"),
        }
    }

    fn option_data(&mut self, option: u32, data: &[u8]) -> Step {
        match option {
            option::EXPORT_NAME => self.export_name(data),
            option::ABORT => self.close(reply(option, answer::ACK, &[])),
            option::LIST => self.list(data),
            option::INFO | option::GO => self.info_or_go(option, data),
            option::STRUCTURED_REPLY => self.structured_reply(data),
            option::LIST_META_CONTEXT => self.list_contexts(data),
            option::SET_META_CONTEXT => self.set_contexts(data),
            _ => self.refuse(option, answer::ERR_UNSUP, "unknown option"),
        }
    }

    fn go_on(&mut self, reply: Vec<u8>) -> Step {
        self.enter(State::Header);
        Step::Continue(reply)
    }

    fn refuse(&mut self, option: u32, error: u32, why: &str) -> Step {
        self.go_on(reply(option, error, why.as_bytes()))
    }

    /// The offer of that name; no name means the first.
    fn find(&self, name: &[u8]) -> Option<usize> {
        match name {
            [] => (!self.offers.is_empty()).then_some(0),
            name => self.offers.iter().position(|o| o.name.as_bytes() == name),
        }
    }

    fn agreed(&self, offer: usize) -> Agreed {
        let allocation = self.structured && self.allocation_for == Some(offer);
        Agreed { offer, structured: self.structured, allocation }
    }

    fn transmission_flags(&self) -> u16 {
        use transmission::*;
        let always = HAS_FLAGS | READ_ONLY | SEND_FLUSH | CAN_MULTI_CONN | SEND_CACHE;
        if self.structured { always | SEND_DF } else { always }
    }

    fn export_name(&mut self, name: &[u8]) -> Step {
        let Some(index) = self.find(name) else {
            return self.close(Vec::new());
        };
        let mut bytes = self.offers[index].size.to_be_bytes().to_vec();
        bytes.extend(self.transmission_flags().to_be_bytes());
        if !self.no_zeroes {
            bytes.extend([0; 124]);
        }
        self.enter(State::Ended);
        Step::Transmit(bytes, self.agreed(index))
    }

    fn list(&mut self, data: &[u8]) -> Step {
        if !data.is_empty() {
            return self.refuse(option::LIST, answer::ERR_INVALID, "LIST takes no data");
        }
        let mut bytes = Vec::new();
        for offer in self.offers {
            let mut item = (offer.name.len() as u32).to_be_bytes().to_vec();
            item.extend(offer.name.as_bytes());
            item.extend(offer.description.as_bytes());
            bytes.extend(reply(option::LIST, answer::SERVER, &item));
        }
        bytes.extend(reply(option::LIST, answer::ACK, &[]));
        self.go_on(bytes)
    }

    fn info_or_go(&mut self, option: u32, data: &[u8]) -> Step {
        let Some((name, wanted)) = parse_info(data) else {
            return self.refuse(option, answer::ERR_INVALID, "malformed INFO or GO");
        };
        let Some(index) = self.find(name) else {
            return self.refuse(option, answer::ERR_UNKNOWN, "no export of that name");
        };
        let mut bytes = Vec::new();
        for item in describe(&self.offers[index], self.transmission_flags(), &wanted) {
            bytes.extend(reply(option, answer::INFO, &item));
        }
        bytes.extend(reply(option, answer::ACK, &[]));
        if option == option::INFO {
            return self.go_on(bytes);
        }
        self.enter(State::Ended);
        Step::Transmit(bytes, self.agreed(index))
    }

    fn structured_reply(&mut self, data: &[u8]) -> Step {
        if !data.is_empty() {
            return self.refuse(option::STRUCTURED_REPLY, answer::ERR_INVALID, "STRUCTURED_REPLY takes no data");
        }
        self.structured = true;
        self.go_on(reply(option::STRUCTURED_REPLY, answer::ACK, &[]))
    }

    fn list_contexts(&mut self, data: &[u8]) -> Step {
        let listed = |query: &[u8]| query == b"base:" || query == BASE_ALLOCATION;
        match self.contexts(option::LIST_META_CONTEXT, data) {
            Err(refusal) => refusal,
            Ok((_, queries)) => {
                let shown = queries.is_empty() || queries.iter().any(|q| listed(q));
                // The number means nothing in a list, and must be 0.
                self.go_on(contexts_reply(option::LIST_META_CONTEXT, shown.then_some(0)))
            }
        }
    }

    fn set_contexts(&mut self, data: &[u8]) -> Step {
        self.allocation_for = None; // a new choice replaces the one before, even when it is refused
        match self.contexts(option::SET_META_CONTEXT, data) {
            Err(refusal) => refusal,
            Ok((index, queries)) => {
                let chosen = queries.contains(&BASE_ALLOCATION);
                self.allocation_for = chosen.then_some(index);
                self.go_on(contexts_reply(option::SET_META_CONTEXT, chosen.then_some(BASE_ALLOCATION_ID)))
            }
        }
    }

    fn contexts<'d>(&mut self, option: u32, data: &'d [u8]) -> Result<(usize, Vec<&'d [u8]>), Step> {
        if !self.structured {
            return Err(self.refuse(option, answer::ERR_INVALID, "negotiate structured replies first"));
        }
        let Some((name, queries)) = parse_contexts(data) else {
            return Err(self.refuse(option, answer::ERR_INVALID, "malformed list of contexts"));
        };
        match self.find(name) {
            Some(index) => Ok((index, queries)),
            None => Err(self.refuse(option, answer::ERR_UNKNOWN, "no export of that name")),
        }
    }
}

/// Name and the kinds of information wanted; `None` if malformed.
fn parse_info(mut data: &[u8]) -> Option<(&[u8], Vec<u16>)> {
    let name = take_string(&mut data)?;
    let count = take_u16(&mut data)?;
    if data.len() != usize::from(count) * 2 {
        return None;
    }
    Some((name, std::iter::from_fn(|| take_u16(&mut data)).collect()))
}

/// Name and queries; `None` if malformed.
fn parse_contexts(mut data: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let name = take_string(&mut data)?;
    let count = take_u32(&mut data)?;
    let mut queries = Vec::new(); // grows with the bytes seen, not with the count claimed
    for _ in 0..count {
        queries.push(take_string(&mut data)?);
    }
    data.is_empty().then_some((name, queries))
}

fn describe(offer: &Offer, flags: u16, wanted: &[u16]) -> Vec<Vec<u8>> {
    let mut export = info::EXPORT.to_be_bytes().to_vec();
    export.extend(offer.size.to_be_bytes());
    export.extend(flags.to_be_bytes());
    let mut items = vec![export];
    let text = |kind: u16, text: &str| [&kind.to_be_bytes()[..], text.as_bytes()].concat();
    if wanted.contains(&info::NAME) {
        items.push(text(info::NAME, &offer.name));
    }
    if wanted.contains(&info::DESCRIPTION) && !offer.description.is_empty() {
        items.push(text(info::DESCRIPTION, &offer.description));
    }
    if wanted.contains(&info::BLOCK_SIZE) {
        let sizes = [offer.minimum_block, 4096, MAX_PAYLOAD].map(u32::to_be_bytes).concat();
        items.push([&info::BLOCK_SIZE.to_be_bytes()[..], &sizes].concat());
    }
    items
}

fn contexts_reply(option: u32, id: Option<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(id) = id {
        bytes.extend(reply(option, answer::META_CONTEXT, &[&id.to_be_bytes()[..], BASE_ALLOCATION].concat()));
    }
    bytes.extend(reply(option, answer::ACK, &[]));
    bytes
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = OPTION_REPLY.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests;
