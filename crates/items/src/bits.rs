//! Bitmaps as file systems keep them: the least significant bit of a byte first.
//!
//! Never knows: what a bit stands for.

use std::ops::Range;

/// The runs of set bits among the first `bits`; bits behind the end of `bitmap` are unset.
pub(crate) fn runs_of_ones(bitmap: &[u8], bits: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (i, &byte) in bitmap.iter().enumerate() {
        let (mut at, mut rest) = (i as u64 * 8, byte);
        while rest != 0 && at < bits {
            let zeros = rest.trailing_zeros();
            let ones = (rest >> zeros).trailing_ones();
            let start = at + u64::from(zeros);
            at = start + u64::from(ones);
            rest = rest.checked_shr(zeros + ones).unwrap_or(0);
            push_run(&mut runs, start..at.min(bits));
        }
    }
    runs
}

fn push_run(runs: &mut Vec<Range<u64>>, run: Range<u64>) {
    match runs.last_mut() {
        _ if run.is_empty() => {}
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

/// How many of the first `bits` are not set.
pub(crate) fn count_zeros(bitmap: &[u8], bits: u64) -> u64 {
    bits - runs_of_ones(bitmap, bits).iter().map(|r| r.end - r.start).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cross_bytes_and_stop_at_the_end() {
        assert_eq!(runs_of_ones(&[0b1000_0110, 0xFF, 0x01], 24), [1..3, 7..17]);
        assert_eq!(runs_of_ones(&[0xFF, 0xFF], 11), [0..11]);
        assert_eq!(runs_of_ones(&[0xFF], 100), [0..8]);
        assert_eq!(runs_of_ones(&[0, 0xF0], 12), []);
        assert_eq!(count_zeros(&[0b1000_0110, 0xFF, 0x01], 20), 20 - 12);
    }
}
