//! Which runs to merge next. Pure: sizes go in, a choice comes out.
//!
//! Runs are sorted into tiers by their size, each tier's `fan_out` times as large as the one's below. As soon as a tier
//! has `fan_out` runs, these and all smaller ones become one. So an entry is rewritten once a tier, and there are fewer
//! than `fan_out` runs in each tier once there is nothing left to merge.
//!
//! Never knows: what is in a run.

/// A run as the policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunSize {
    /// Entries, those of forgotten packs included.
    pub(super) entries: u64,
    /// All packs.
    pub(super) packs: u64,
    /// Packs that are not forgotten.
    pub(super) live: u64,
}

/// Entries of the largest run of the smallest tier.
const SMALLEST: u64 = 4096;

/// The tier of a run of so many entries.
fn tier(entries: u64, fan_out: u64) -> u32 {
    let mut tier = 0;
    let mut limit = SMALLEST;
    while entries > limit {
        tier += 1;
        limit = limit.saturating_mul(fan_out);
    }
    tier
}

/// The runs to merge into one, by their places in `runs`; `None` if there is nothing to gain.
pub(super) fn choose(runs: &[RunSize], fan_out: u64) -> Option<Vec<usize>> {
    let fan_out = fan_out.max(2);
    let tiers: Vec<u32> = runs.iter().map(|run| tier(run.entries, fan_out)).collect();
    let in_tier = |t: u32| tiers.iter().filter(|other| **other == t).count() as u64;
    let full = tiers.iter().copied().filter(|t| in_tier(*t) >= fan_out).min();
    let Some(mut top) = full else {
        return half_gone(runs);
    };
    // What comes out may fill a tier above: then that one's runs are merged in the same go.
    loop {
        let sum = runs.iter().zip(&tiers).filter(|(_, t)| **t <= top).map(|(run, _)| run.entries);
        let reached = tier(sum.sum(), fan_out);
        if reached <= top || in_tier(reached) + 1 < fan_out {
            break;
        }
        top = reached;
    }
    Some((0..runs.len()).filter(|at| tiers[*at] <= top).collect())
}

/// The run, if any, that is mostly of packs that are forgotten: rewriting it frees space.
fn half_gone(runs: &[RunSize]) -> Option<Vec<usize>> {
    let place = runs.iter().position(|run| run.live < run.packs.div_ceil(2));
    place.map(|at| vec![at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[u64], chosen: &[u64]) {
        let runs: Vec<_> = sizes.iter().map(|entries| size(*entries, 10)).collect();
        let choice = choose(&runs, 4).unwrap_or_default();
        let choice: Vec<_> = choice.into_iter().map(|at| sizes[at]).collect();
        assert_eq!(choice, chosen, "of {sizes:?}");
    }

    fn size(entries: u64, live: u64) -> RunSize {
        RunSize { entries, packs: 10, live }
    }

    #[test]
    fn a_full_tier_is_merged_with_all_below() {
        check(&[], &[]);
        check(&[1, 2, 3], &[]);
        check(&[1, 2, 3, 4096], &[1, 2, 3, 4096]);
        check(&[1, 2, 3, 4097], &[]);
        check(&[9, 5000, 6000, 7000, 8000, 90_000], &[9, 5000, 6000, 7000, 8000]);
    }

    #[test]
    fn a_merge_that_would_fill_a_tier_takes_it_along() {
        check(&[4000, 4000, 4000, 4000, 5000, 5000, 5000, 70_000], &[4000, 4000, 4000, 4000, 5000, 5000, 5000]);
        check(&[10, 10, 10, 10, 5000, 5000, 5000], &[10, 10, 10, 10]);
    }

    #[test]
    fn a_run_of_mostly_forgotten_packs_is_rewritten() {
        assert_eq!(choose(&[size(100, 10), size(100, 5)], 4), None);
        assert_eq!(choose(&[size(100, 10), size(100, 4)], 4), Some(vec![1]));
    }

    #[test]
    fn the_number_of_runs_stays_small_and_rewriting_cheap() {
        let (mut runs, mut rewritten) = (Vec::new(), 0);
        for _ in 0..10_000 {
            runs.push(size(10_000, 10));
            while let Some(choice) = choose(&runs, 4) {
                let sum = choice.iter().map(|at| runs[*at].entries).sum();
                rewritten += sum;
                let mut at = 0..;
                runs.retain(|_| !choice.contains(&at.next().unwrap()));
                runs.push(size(sum, 10));
            }
            assert!(runs.len() <= 3 * 8, "{} runs", runs.len());
        }
        assert!(rewritten < 8 * 100_000_000, "{rewritten} entries rewritten");
    }
}
