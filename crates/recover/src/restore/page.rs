//! Pages: the unit in which a restore compares and leaves out.
//!
//! Never knows: volumes.

use std::ops::Range;

/// Bytes.
pub(super) const PAGE: u64 = 4096;
static ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// At most a page, all zeros.
fn is_zero(page: &[u8]) -> bool {
    page == &ZEROS[..page.len()]
}

/// Joins neighbouring pages of a buffer that is at `offset` of its disk. Pages lie at multiples of 4096 of the disk,
/// so the first and the last may be short.
fn runs(offset: u64, len: usize, keep: impl Fn(Range<usize>) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < len {
        let rest = PAGE - (offset + at as u64) % PAGE;
        let end = len.min(at + rest as usize);
        if keep(at..end) {
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => runs.push(at..end),
            }
        }
        at = end;
    }
    runs
}

/// Where there is anything but zeros, in whole pages.
pub(super) fn not_zero(offset: u64, bytes: &[u8]) -> Vec<Range<usize>> {
    runs(offset, bytes.len(), |page| !is_zero(&bytes[page]))
}

/// Where two buffers of one length differ, in whole pages.
pub(super) fn different(offset: u64, one: &[u8], other: &[u8]) -> Vec<Range<usize>> {
    if one == other {
        return Vec::new(); // the usual case, at the speed of memory
    }
    runs(offset, one.len(), |page| one[page.clone()] != other[page])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_follow_the_pages_of_the_disk() {
        let mut bytes = vec![0; 20_000];
        assert_eq!(not_zero(0, &bytes), Vec::<Range<usize>>::new());
        bytes[4096] = 1;
        bytes[8192] = 1;
        bytes[19_999] = 1;
        assert_eq!(not_zero(0, &bytes), [4096..12_288, 16_384..20_000]);
        assert_eq!(not_zero(4095, &bytes), [1..8193, 16_385..20_000]);
        let other = vec![0; 20_000];
        assert_eq!(different(0, &bytes, &other), not_zero(0, &bytes));
        assert_eq!(different(0, &other, &other), Vec::<Range<usize>>::new());
    }
}
