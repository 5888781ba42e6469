//! Replies to requests, as bytes.
//!
//! Never knows: who reads them.

use backstay_env::volume::{Content, Span};

use super::wire::*;

/// A reply without data, for clients and requests that take simple ones. `error` 0 means done.
pub(super) fn simple(cookie: u64, error: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    simple_header(&mut bytes, cookie, error);
    bytes
}

/// Puts the 16 bytes that go before the data of a simple reply.
pub(super) fn simple_header(bytes: &mut Vec<u8>, cookie: u64, error: u32) {
    bytes.extend(SIMPLE_REPLY.to_be_bytes());
    bytes.extend(error.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
}

fn chunk_header(bytes: &mut Vec<u8>, cookie: u64, kind: u16, done: bool, len: usize) {
    bytes.extend(CHUNK.to_be_bytes());
    bytes.extend((if done { chunk::DONE } else { 0 }).to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend((len as u32).to_be_bytes());
}

/// Puts the bytes that go before `len` bytes of data from `offset`.
pub(super) fn data_header(bytes: &mut Vec<u8>, cookie: u64, done: bool, offset: u64, len: u32) {
    chunk_header(bytes, cookie, chunk::OFFSET_DATA, done, 8 + len as usize);
    bytes.extend(offset.to_be_bytes());
}

/// Says that the bytes are zeros.
pub(super) fn hole(cookie: u64, done: bool, offset: u64, len: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHUNK_HEADER + 12);
    chunk_header(&mut bytes, cookie, chunk::OFFSET_HOLE, done, 12);
    bytes.extend(offset.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

/// Ends a structured reply that has nothing more to say.
pub(super) fn done(cookie: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHUNK_HEADER);
    chunk_header(&mut bytes, cookie, chunk::NONE, true, 0);
    bytes
}

/// Ends a structured reply with an error, at a byte of the volume if `offset` says so.
pub(super) fn error(cookie: u64, error: NbdError, offset: Option<u64>, text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.floor_char_boundary(MAX_STRING)];
    let kind = if offset.is_some() { chunk::ERROR_OFFSET } else { chunk::ERROR_PLAIN };
    let tail = if offset.is_some() { 8 } else { 0 };
    let mut bytes = Vec::new();
    chunk_header(&mut bytes, cookie, kind, true, 6 + text.len() + tail);
    bytes.extend((error as u32).to_be_bytes());
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text);
    bytes.extend(offset.into_iter().flat_map(u64::to_be_bytes));
    bytes
}

/// Says which bytes are holes. Every span is shorter than 4 GiB.
pub(super) fn status(cookie: u64, spans: &[Span]) -> Vec<u8> {
    let mut bytes = Vec::new();
    chunk_header(&mut bytes, cookie, chunk::BLOCK_STATUS, true, 4 + 8 * spans.len());
    bytes.extend(BASE_ALLOCATION_ID.to_be_bytes());
    for span in spans {
        bytes.extend((span.len as u32).to_be_bytes());
        bytes.extend((if span.content == Content::Hole { STATE_HOLE_ZERO } else { 0 }).to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let head = [0x66, 0x8e, 0x33, 0xef];
        let cookie = [0, 0, 0, 0, 0, 0, 0, 7];
        let offset = [0, 0, 0, 0, 0, 0, 0x10, 0];
        let hole = hole(7, false, 4096, 512);
        assert_eq!(hole, [&head[..], &[0, 0, 0, 2], &cookie, &[0, 0, 0, 12], &offset, &[0, 0, 2, 0]].concat());
        let error = error(7, NbdError::Io, Some(4096), "no");
        let tail = [&[0, 0, 0, 5, 0, 2][..], b"no", &offset].concat();
        assert_eq!(error, [&head[..], &[0, 1, 0x80, 2], &cookie, &[0, 0, 0, 16], &tail].concat());
        assert_eq!(simple(7, 1), [&[0x67, 0x44, 0x66, 0x98][..], &[0, 0, 0, 1], &cookie].concat());
        let span = Span { offset: 0, len: 512, content: Content::Hole };
        let want = [&head[..], &[0, 1, 0, 5], &cookie, &[0, 0, 0, 12], &[0, 0, 0, 1], &[0, 0, 2, 0, 0, 0, 0, 3]];
        assert_eq!(status(7, &[span]), want.concat());
        assert_eq!(done(7), [&head[..], &[0, 1, 0, 0], &cookie, &[0; 4]].concat());
    }
}
