//! A source of which only some ranges are to be written.
//!
//! Never knows: how it became known that the others are right.

use std::io;
use std::ops::Range;

use backstay_env::volume::{Content, Span, Volume, check_range};

/// A volume that says it is a hole but for some ranges. Only for [`super::Mode::Patch`]: it does not read as zeros there.
pub struct Patch<V> {
    source: V,
    ranges: Vec<Range<u64>>,
}

impl<V: Volume> Patch<V> {
    /// `ranges`: bytes, in order, not touching, none empty; what lies past the end of the source is ignored.
    pub fn new(source: V, ranges: Vec<Range<u64>>) -> Self {
        let size = source.size();
        let clipped = ranges.into_iter().map(|r| r.start..r.end.min(size)).filter(|r| r.start < r.end);
        Patch { ranges: clipped.collect(), source }
    }
}

impl<V: Volume> Volume for Patch<V> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn sector_size(&self) -> u32 {
        self.source.sector_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.source.read_at(offset, buf)
    }

    fn spans(&self, offset: u64, len: u64) -> io::Result<Vec<Span>> {
        check_range(self.size(), offset, len)?;
        let (mut at, end) = (offset, offset + len);
        let mut spans = Vec::new();
        let mut push = |from: u64, to: u64, content| {
            if from < to {
                spans.push(Span { offset: from, len: to - from, content });
            }
        };
        let first = self.ranges.partition_point(|r| r.end <= offset);
        for range in self.ranges[first..].iter().take_while(|r| r.start < end) {
            push(at, range.start.max(at), Content::Hole);
            push(range.start.max(at), range.end.min(end), Content::Data);
            at = range.end.min(end);
        }
        push(at, end, Content::Hole);
        Ok(spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_what_is_asked_for_and_data_is_what_was_named() {
        let patch = Patch::new(vec![7u8; 100], vec![10..20, 30..40, 90..200]);
        for offset in 0..100 {
            for len in 1..=100 - offset {
                let mut at = offset;
                for span in patch.spans(offset, len).unwrap() {
                    assert_eq!(span.offset, at);
                    let inside = |b: u64| (10..20).contains(&b) || (30..40).contains(&b) || b >= 90;
                    let expected = span.content == Content::Data;
                    assert!((at..at + span.len).all(|b| inside(b) == expected), "{offset}+{len}: {span:?}");
                    at += span.len;
                }
                assert_eq!(at, offset + len);
            }
        }
    }
}
