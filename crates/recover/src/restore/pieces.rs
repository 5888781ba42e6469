//! What is to be restored, cut into pieces for many threads, in order of address.
//!
//! Never knows: what is done with a piece.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use backstay_env::volume::{Content, Span, Volume};

use crate::spans;

/// The longest piece of data, in bytes; pieces end at multiples of it.
pub(super) const DATA: u64 = 4 << 20;
/// The longest piece of a hole, in bytes.
const HOLE: u64 = 256 << 20;
/// A shorter hole between data is read with it, in bytes: cheaper than another read.
const SHORT: u64 = 64 << 10;
/// How far ahead the source is asked at once, in bytes.
const WINDOW: u64 = 256 << 20;

/// Hands out the pieces of a source, each once.
pub(super) struct Pieces<'a> {
    source: &'a dyn Volume,
    size: u64,
    /// The longest hole that is read with the data around it, in bytes.
    short: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Up to here pieces were made, in bytes.
    planned: u64,
    ready: VecDeque<Span>,
}

impl<'a> Pieces<'a> {
    /// Short holes between data are read with it, unless holes are to be left `alone`.
    pub(super) fn new(source: &'a dyn Volume, alone: bool) -> Self {
        let inner = Mutex::new(Inner { planned: 0, ready: VecDeque::new() });
        Pieces { source, size: source.size(), short: if alone { 0 } else { SHORT }, inner }
    }

    /// The next piece.
    pub(super) fn next(&self) -> Option<Span> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.ready.is_empty() && inner.planned < self.size {
            let len = (self.size - inner.planned).min(WINDOW);
            for span in self.describe(inner.planned, len) {
                inner.planned += span.len;
                cut(span, &mut inner.ready);
            }
        }
        inner.ready.pop_front()
    }

    /// What cannot be described is read.
    fn describe(&self, offset: u64, len: u64) -> Vec<Span> {
        match spans::describe(self.source, offset, len) {
            Ok(spans) => without_short_holes(&spans, self.short),
            Err(_unknown) => vec![Span { offset, len: len.min(DATA), content: Content::Data }],
        }
    }
}

fn without_short_holes(spans: &[Span], short: u64) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let between = index > 0 && index + 1 < spans.len();
        let content = if between && span.len < short { Content::Data } else { span.content };
        match joined.last_mut() {
            Some(last) if last.content == content => last.len += span.len,
            _ => joined.push(Span { content, ..*span }),
        }
    }
    joined
}

fn cut(span: Span, pieces: &mut VecDeque<Span>) {
    let (mut at, end) = (span.offset, span.offset + span.len);
    while at < end {
        let len = match span.content {
            Content::Data => DATA - at % DATA,
            Content::Hole => HOLE,
        };
        let len = len.min(end - at);
        pieces.push_back(Span { offset: at, len, ..span });
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Described(u64, io::Result<Vec<Span>>);

    impl Volume for Described {
        fn size(&self) -> u64 {
            self.0
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
            let clipped = |s: &Span| {
                let (from, to) = (s.offset.max(offset), (s.offset + s.len).min(offset + len));
                (from < to).then_some(Span { offset: from, len: to.wrapping_sub(from), ..*s })
            };
            match &self.1 {
                Ok(spans) => Ok(spans.iter().filter_map(clipped).collect()),
                Err(e) => Err(io::Error::from(e.kind())),
            }
        }
    }

    fn check(spans: io::Result<Vec<(u64, Content)>>, size: u64, want: &[(u64, u64, Content)]) {
        let mut at = 0;
        let placed = spans.map(|spans| {
            spans
                .into_iter()
                .map(|(len, content)| {
                    at += len;
                    Span { offset: at - len, len, content }
                })
                .collect()
        });
        let volume = Described(size, placed);
        let pieces = Pieces::new(&volume, false);
        let got: Vec<_> = std::iter::from_fn(|| pieces.next()).map(|s| (s.offset, s.len, s.content)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn pieces_cover_everything_once() {
        use Content::{Data, Hole};
        const MIB: u64 = 1 << 20;
        check(Ok(vec![]), 0, &[]);
        check(Ok(vec![(5 * MIB + 1, Data)]), 5 * MIB + 1, &[(0, 4 * MIB, Data), (4 * MIB, MIB + 1, Data)]);
        let spans = vec![(4096, Data), (4096, Hole), (8192, Data), (SHORT, Hole), (1, Data)];
        check(Ok(spans), 16_385 + SHORT, &[(0, 16_384, Data), (16_384, SHORT, Hole), (16_384 + SHORT, 1, Data)]);
        let hole = vec![(300 * MIB, Hole), (MIB, Data)];
        check(Ok(hole), 301 * MIB, &[(0, 256 * MIB, Hole), (256 * MIB, 44 * MIB, Hole), (300 * MIB, MIB, Data)]);
        let unknown = Err(io::Error::from(io::ErrorKind::Other));
        check(unknown, 6 * MIB, &[(0, 4 * MIB, Data), (4 * MIB, 2 * MIB, Data)]);
    }
}
