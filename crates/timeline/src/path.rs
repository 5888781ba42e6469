//! Which spans lead from one number of a timeline to another.
//!
//! Never knows: runs.

use backstay_format::units::PointNo;

/// Walks back from `to` to `from` by the longest steps. `starts(end)` tells where spans that end at `end` begin. The result
/// lists the spans as (from, to), newest first; `None`: there is no such way.
pub fn walk<E>(
    (from, to): (PointNo, PointNo),
    mut starts: impl FnMut(PointNo) -> Result<Vec<PointNo>, E>,
) -> Result<Option<Vec<(PointNo, PointNo)>>, E> {
    let mut at = to;
    let mut path = Vec::new();
    while at > from {
        let begins = starts(at)?.into_iter().filter(|s| *s >= from && *s < at).min();
        let Some(start) = begins else { return Ok(None) };
        path.push((start, at));
        at = start;
    }
    Ok((at == from).then_some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(spans: &[(u64, u64)], from: u64, to: u64) -> Option<Vec<(u64, u64)>> {
        let starts = |end: PointNo| {
            let of = spans.iter().filter(move |s| s.1 == end.0).map(|s| PointNo(s.0));
            Ok::<_, ()>(of.collect())
        };
        let found = walk((PointNo(from), PointNo(to)), starts).unwrap();
        found.map(|p| p.iter().map(|(a, b)| (a.0, b.0)).collect())
    }

    #[test]
    fn takes_the_longest_steps_that_do_not_overshoot() {
        let spans = [(0, 1), (1, 2), (2, 3), (1, 3), (3, 4), (4, 9)];
        assert_eq!(path(&spans, 0, 4), Some(vec![(3, 4), (1, 3), (0, 1)]));
        assert_eq!(path(&spans, 2, 9), Some(vec![(4, 9), (3, 4), (2, 3)]));
        assert_eq!(path(&spans, 3, 3), Some(vec![]));
    }

    #[test]
    fn says_when_there_is_no_way() {
        assert_eq!(path(&[(0, 1), (1, 5)], 2, 5), None);
        assert_eq!(path(&[(0, 1)], 0, 7), None);
    }
}
