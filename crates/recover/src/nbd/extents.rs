//! A volume's spans as a client wants them: merged, cut at the export's block size, and few.
//!
//! Never knows: how they are sent.

use std::io;

use backstay_env::volume::{Content, Span, Volume};

use crate::spans;

/// How far ahead a volume is asked first, in bytes: many clients want just one run.
const FIRST_WINDOW: u64 = 1 << 20;
/// How far ahead it is asked at most, in bytes: bounds the memory its answer takes.
const LAST_WINDOW: u64 = 128 << 20;

/// Describes a first part of `[offset, offset + len)`: at least a byte, at most `limit` spans, neighbours different,
/// holes only at multiples of `block` (and at the ends of the range).
///
/// # Errors
/// As [`spans::describe`].
pub(super) fn describe(volume: &dyn Volume, offset: u64, len: u64, block: u64, limit: usize) -> io::Result<Vec<Span>> {
    let end = offset + len;
    let mut merged = Vec::new();
    let (mut at, mut window) = (offset, FIRST_WINDOW);
    while at < end && merged.len() <= limit {
        for span in spans::describe(volume, at, (end - at).min(window))? {
            at += span.len;
            push(&mut merged, span);
        }
        window = (window * 2).min(LAST_WINDOW);
    }
    let mut aligned = align(&merged, offset, end, block);
    aligned.truncate(limit);
    Ok(aligned)
}

/// Adds a span, joining it to the last if it is of the same content.
fn push(spans: &mut Vec<Span>, next: Span) {
    match spans.last_mut() {
        Some(last) if last.content == next.content => last.len += next.len,
        _ => spans.push(next),
    }
}

/// Shrinks holes to whole blocks; what they lose becomes data.
fn align(spans: &[Span], start: u64, end: u64, block: u64) -> Vec<Span> {
    let mut out = Vec::new();
    let data = |from: u64, to: u64| Span { offset: from, len: to - from, content: Content::Data };
    for span in spans {
        let stop = span.offset + span.len;
        if span.content == Content::Data {
            push(&mut out, *span);
            continue;
        }
        let first = if span.offset == start { start } else { round_up(span.offset, block, end) };
        let last = if stop == end { end } else { stop / block * block };
        if first >= last {
            push(&mut out, data(span.offset, stop));
            continue;
        }
        if first > span.offset {
            push(&mut out, data(span.offset, first));
        }
        push(&mut out, Span { offset: first, len: last - first, content: Content::Hole });
        if last < stop {
            push(&mut out, data(last, stop));
        }
    }
    // An answer that stops early stops at a block's end. Only data can stop elsewhere, and may be called longer.
    if let Some(last) = out.last_mut() {
        last.len = round_up(last.offset + last.len, block, end) - last.offset;
    }
    out
}

/// The next multiple of `block`, but not past `end`.
fn round_up(at: u64, block: u64, end: u64) -> u64 {
    at.checked_next_multiple_of(block).map_or(end, |up| up.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holes where the text has `.`; answers at most `step` bytes at a time.
    struct Drawn(&'static str, u64);

    impl Volume for Drawn {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
            let content = |at: u64| match self.0.as_bytes()[at as usize] {
                b'.' => Content::Hole,
                _ => Content::Data,
            };
            Ok((offset..offset + len.min(self.1)).map(|at| Span { offset: at, len: 1, content: content(at) }).collect())
        }
    }

    fn check(drawn: &'static str, range: (u64, u64), block: u64, limit: usize, want: &str) {
        for step in 1..=drawn.len() as u64 {
            let spans = describe(&Drawn(drawn, step), range.0, range.1, block, limit).expect("describes");
            let mut at = range.0;
            let mut got = String::new();
            for span in &spans {
                assert_eq!(span.offset, at, "{drawn} by {step}");
                at += span.len;
                let letter = if span.content == Content::Hole { "." } else { "x" };
                got += &letter.repeat(span.len as usize);
            }
            assert_eq!(got, want, "{drawn} by {step}");
        }
    }

    #[test]
    fn merges_and_aligns() {
        check("xx..xx..", (0, 8), 1, 99, "xx..xx..");
        check("xx..xx..", (0, 8), 4, 99, "xxxxxxxx");
        check("xx......x", (0, 9), 4, 99, "xxxx....x");
        check("x......", (0, 7), 4, 99, "xxxx...");
        check("......x.", (1, 7), 4, 99, "...xxxx");
    }

    #[test]
    fn stops_at_the_limit() {
        check("x.x.x.x.", (0, 8), 1, 3, "x.x");
        check("x.x.x.x.", (0, 8), 1, 1, "x");
        check("....xxxx....", (0, 12), 4, 1, "....");
    }

    #[test]
    fn gaps_are_an_error() {
        struct Gappy;
        impl Volume for Gappy {
            fn size(&self) -> u64 {
                100
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
                Ok(())
            }
            fn spans(&self, offset: u64, _: u64) -> io::Result<Vec<Span>> {
                Ok(vec![Span { offset: offset + 1, len: 1, content: Content::Hole }])
            }
        }
        assert!(describe(&Gappy, 0, 100, 1, 9).is_err());
    }
}
