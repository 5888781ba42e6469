//! Sets of pages: ranges in order that do not overlap.
//!
//! Never knows: what the pages are for.

use std::ops::Range;

/// What of some ranges lies outside others.
pub fn outside(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut at = range.start;
        let first = others.partition_point(|other| other.end <= range.start);
        for other in others[first..].iter().take_while(|other| other.start < range.end) {
            if at < other.start {
                left.push(at..other.start);
            }
            at = at.max(other.end);
        }
        if at < range.end {
            left.push(at..range.end);
        }
    }
    left
}

/// What of some ranges lies inside others.
pub fn inside(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    outside(ranges, &outside(ranges, others))
}

/// What lies in any of some ranges, which may be in any order and overlap.
pub fn union(ranges: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_by_page() {
        let others = [10..20, 30..40];
        for (from, to) in (0..50).flat_map(|from| (from + 1..50).map(move |to| (from, to))) {
            let range = std::slice::from_ref(&(from..to)).to_vec();
            let (left, taken) = (outside(&range, &others), inside(&range, &others));
            let all = union(range.iter().chain(&others).cloned());
            for page in 0..50 {
                let is_in = |ranges: &[Range<u64>]| ranges.iter().any(|range| range.contains(&page));
                assert_eq!(is_in(&left), is_in(&range) && !is_in(&others), "{page} of {from}..{to}: {left:?}");
                assert_eq!(is_in(&taken), is_in(&range) && is_in(&others), "{page} of {from}..{to}: {taken:?}");
                assert_eq!(is_in(&all), is_in(&range) || is_in(&others), "{page} of {from}..{to}: {all:?}");
            }
            for ranges in [left, taken, all] {
                assert!(ranges.windows(2).all(|w| w[0].end < w[1].start) && ranges.iter().all(|r| !r.is_empty()));
            }
        }
    }
}
