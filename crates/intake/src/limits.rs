//! How much an agent may say.
//!
//! Never knows: what comes of it.

use std::ops::Range;

use backstay_format::units::PAGE_SIZE;
use backstay_format::wire::v1::{self, CauseTold, DISKS, DiskTold, FEW, Pages, RANGES, RULES};
pub(crate) use backstay_format::wire::v1::{RULE, TOLD};
use backstay_scan::SEGMENT;

/// Bytes of a disk: 1 PiB, for each 4 MiB is counted even where nothing uses them.
const SIZE: u64 = 1 << 50;
/// Bytes of a text for people.
const TEXT: usize = 4096;
/// Bytes that the program that makes points may keep of a disk.
const STAMP: usize = 4096;
/// Extents of a point that is held in memory.
pub(crate) const EXTENTS: usize = 4 << 20;

/// Pages of one pass, which is listed by segments: 512 GiB. An agent compares a disk of which that much changed.
pub(crate) const PASSED: u64 = 1 << 27;
/// Ranges of pages of a disk that a timeline is known to lack.
pub(crate) const LACKED: usize = 1 << 20;
/// Doubts of a disk that an agent is told.
pub(crate) const DOUBTS: usize = 64;

/// Whether rules are no more than they may be.
pub(crate) fn rules(rules: &[String]) -> bool {
    rules.len() <= RULES && rules.iter().all(|rule| rule.len() <= RULE)
}

/// The text, or as much of it as may be told.
pub(crate) fn short(mut text: String) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Whether disks are such as there can be.
pub(crate) fn disks(disks: &[DiskTold]) -> bool {
    let sound = |disk: &DiskTold| {
        let choices = disk.exclusions.len() <= FEW && disk.exclusions.iter().all(|(rule, _)| rule.len() <= TEXT);
        disk.size <= SIZE && matches!(disk.sector, 512 | 4096) && disk.origin.len() <= TEXT && choices
    };
    disks.len() <= DISKS && disks.iter().all(sound)
}

/// Whether what a point says of itself is no more than it may be.
pub(crate) fn words(note: &str, causes: &[CauseTold], stamps: &[Vec<u8>]) -> bool {
    let short = causes.iter().all(|cause| cause.text.len() <= TEXT);
    let stamps = stamps.len() <= DISKS && stamps.iter().all(|stamp| stamp.len() <= STAMP);
    note.len() <= TEXT && causes.len() <= FEW && short && stamps
}

/// Ranges of pages of a disk of `size` bytes: in order, and not touching after they were put together. `None`: they are not on it.
pub(crate) fn pages(told: &[Pages], size: u64) -> Option<Vec<Range<u64>>> {
    let end = size.div_ceil(PAGE_SIZE as u64);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(told.len().min(RANGES));
    for (from, to) in told {
        if from >= to || *to > end || out.len() >= RANGES {
            return None;
        }
        match out.last_mut() {
            Some(last) if last.end > *from => return None,
            Some(last) if last.end == *from => last.end = *to,
            _ => out.push(*from..*to),
        }
    }
    Some(out)
}

/// Pages of a segment.
pub(crate) const PAGES: usize = SEGMENT as usize;
const _: () = assert!(PAGES == v1::SEGMENT, "the protocol and what reads disks mean the same segments");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_on_the_disk_in_order() {
        assert_eq!(pages(&[(0, 2), (2, 3), (5, 6)], 6 * 4096), Some(vec![0..3, 5..6]));
        assert_eq!(pages(&[(0, 1)], 1), Some(vec![0..1]));
        for wrong in [&[(2, 2)][..], &[(3, 2)], &[(0, 7)], &[(3, 5), (4, 6)], &[(3, 4), (0, 1)]] {
            assert_eq!(pages(wrong, 6 * 4096), None, "{wrong:?}");
        }
    }
}
