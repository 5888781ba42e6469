//! When spans are summed up into longer ones, so that any of very many points is a few steps from the beginning.
//!
//! The first span is never part of a summary: it holds a whole disk, and would be copied at each level. So opening point
//! number n takes at most 1 + 15 per level, with about log16(n) levels, and each extent is copied once per level.
//! Never knows: runs.

use backstay_format::units::PointNo;

/// Spans of one level that are summed up into one of the next.
pub const FAN: usize = 16;

/// A span as the plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Where it begins.
    pub from: PointNo,
    /// Where it ends.
    pub to: PointNo,
    /// Its level.
    pub level: u32,
}

/// The summary that is due at the end of a timeline, if any: the spans to merge, newest first. `ending_at(number)` gives the
/// spans that end there. Asked after each commit it is due at most once per level. Timelines thinned since are summed
/// up anew over time in the same way.
pub fn due<E>(
    head: PointNo,
    mut ending_at: impl FnMut(PointNo) -> Result<Vec<Span>, E>,
) -> Result<Option<Vec<Span>>, E> {
    let levels = ending_at(head)?;
    let Some(highest) = levels.iter().map(|s| s.level).max() else { return Ok(None) };
    let mut at = head;
    let mut chosen = Vec::new();
    while chosen.len() < FAN {
        let spans = ending_at(at)?;
        // Where a higher level ends, that level has summed up all before it.
        let covered = spans.iter().any(|s| s.level > highest);
        let next = spans.into_iter().find(|s| s.level == highest && s.from > PointNo::BEGINNING);
        match next {
            Some(span) if !covered => {
                at = span.from;
                chosen.push(span);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_point_of_many_is_few_steps_away() {
        let mut spans: Vec<Vec<Span>> = vec![Vec::new()];
        let points = 20_000;
        for n in 1..=points {
            spans.push(vec![Span { from: PointNo(n - 1), to: PointNo(n), level: 0 }]);
            while let Some(merge) = due(PointNo(n), |at| Ok::<_, ()>(spans[at.0 as usize].clone())).unwrap() {
                let (from, level) = (merge[FAN - 1].from, merge[0].level + 1);
                spans[n as usize].push(Span { from, to: PointNo(n), level });
            }
        }
        let steps = |to: u64| {
            let starts = |at: PointNo| Ok::<_, ()>(spans[at.0 as usize].iter().map(|s| s.from).collect());
            crate::path::walk((PointNo(0), PointNo(to)), starts).unwrap().unwrap().len()
        };
        let worst = (1..=points).map(steps).max().unwrap();
        assert!(worst <= 1 + 15 * 4 + 4, "{worst} steps");
        let copies = spans.iter().flatten().filter(|s| s.level > 0).map(|s| s.to.0 - s.from.0).sum::<u64>();
        assert!(copies <= points * 4, "{copies} copies of single spans");
    }
}
