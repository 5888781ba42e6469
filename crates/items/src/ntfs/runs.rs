//! Run lists of NTFS: which clusters hold an attribute, each run told by its length and its distance from the last.
//!
//! Never knows: what the attribute is.

use crate::bytes::damaged;
use crate::tree::TreeError;

/// A run of clusters of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first cluster in the attribute.
    pub(super) vcn: u64,
    /// Clusters; never 0.
    pub(super) len: u64,
    /// The first cluster on the volume; `None` reads as zeros.
    pub(super) lcn: Option<u64>,
}

impl Run {
    pub(super) fn end(&self) -> u64 {
        self.vcn + self.len
    }
}

/// Appends the runs encoded in `bytes`, the first of which starts at `vcn`; all on a volume of `clusters`.
pub(super) fn decode(mut bytes: &[u8], mut vcn: u64, clusters: u64, out: &mut Vec<Run>) -> Result<(), TreeError> {
    let wrong = |what: &str| damaged(format!("a run list {what}"));
    let mut last: i64 = 0;
    while let Some((&head, rest)) = bytes.split_first() {
        if head == 0 {
            return Ok(());
        }
        let (lens, places) = (usize::from(head & 15), usize::from(head >> 4));
        if lens == 0 || lens > 8 || places > 8 || rest.len() < lens + places {
            return Err(wrong("is cut short"));
        }
        let len = signed(&rest[..lens]);
        let end = u64::try_from(len).ok().and_then(|len| vcn.checked_add(len));
        let Some(end) = end.filter(|&end| end > vcn && end <= i64::MAX as u64) else {
            return Err(wrong("has a run of no length"));
        };
        let len = end - vcn;
        let lcn = match places {
            0 => None,
            _ => {
                let place = last.checked_add(signed(&rest[lens..lens + places]));
                last = place.ok_or_else(|| wrong("leaves the volume"))?;
                let start = u64::try_from(last).ok();
                let inside = |s: &u64| s.checked_add(len).is_some_and(|end| end <= clusters);
                let start = start.filter(inside);
                Some(start.ok_or_else(|| wrong("leaves the volume"))?)
            }
        };
        out.push(Run { vcn, len, lcn });
        vcn = end;
        bytes = &rest[lens + places..];
    }
    Err(wrong("has no end"))
}

fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|&b| b & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_forth_and_back_and_may_be_holes() {
        let bytes = [0x21, 0x18, 0x34, 0x56, 0x01, 0x05, 0x11, 0x10, 0xF0, 0];
        let mut runs = Vec::new();
        decode(&bytes, 2, 0x6000, &mut runs).expect("a good list");
        let run = |vcn, len, lcn| Run { vcn, len, lcn };
        let first = run(2, 0x18, Some(0x5634));
        assert_eq!(runs, [first, run(0x1A, 5, None), run(0x1F, 0x10, Some(0x5624))]);
    }

    #[test]
    fn hostile_lists_are_refused() {
        for bytes in [&[0x21, 1][..], &[0x11, 0, 1, 0], &[0x11, 1, 0x80, 0], &[0x01, 1], &[0xF0]] {
            assert!(decode(bytes, 0, 1000, &mut Vec::new()).is_err(), "{bytes:x?}");
        }
    }
}
