//! What an agent leaves out: its rules are looked up here, in the image that it has shown.
//!
//! ```text
//!   LookUp: rules ─▶ the image: the timeline's end, and what passes found over it ─▶ Found: pages left out, pages that must be read
//!   Publish ─▶ the point tells what was found last
//! ```
//!
//! Rules and image may be hostile. So few are looked up at once, how much is read for it is bounded, and what goes wrong is a doubt, by
//! which less is left out. Nothing that the agent says of what is left out is believed: what it lacks is known from the map.
//!
//! Never knows: file systems, or how the agent came to its rules.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backstay_format::rows::Exclusion;
use backstay_format::wire::v1::{FoundTold, Pages, ToAgent};
use backstay_items::exclude::Rule;
use backstay_recover::left_out::{Budget, Found, look_up};
use backstay_vault::protect::{Boundary, Following};
use backstay_vault::{Vault, VaultError};

use crate::limits;

/// Bytes that are read for one look-up: folders of some twenty million files.
const READ: u64 = 1 << 30;
/// For how long; few look at once, and others wait. Real time: what is waited for is work.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often rules are looked up for one point. Each costs an entry of the ledger.
const LOOKS: u32 = 8;

/// What a timeline lacks by choice where it ends: kept from one point to the next, for looking it up takes a walk through the map.
pub(crate) struct Lacked {
    pub(crate) at: Boundary,
    pages: Vec<Vec<Range<u64>>>,
}

/// What was looked up for a point in the making.
#[derive(Default)]
pub(crate) struct Looked {
    times: u32,
    /// What the timeline lacked when the point was begun.
    lacked: Option<Vec<Vec<Range<u64>>>>,
    /// What the point is to tell of each disk; nothing if nothing was looked up.
    pub(crate) exclusions: Vec<Vec<Exclusion>>,
}

impl Lacked {
    /// Where a timeline ends.
    pub(crate) fn at(vault: &Vault, at: &Boundary) -> Result<Lacked, VaultError> {
        Ok(Lacked { at: at.clone(), pages: vault.lacks(at, limits::LACKED)? })
    }

    fn is_of(&self, from: &Boundary) -> bool {
        let disks = |at: &Boundary| at.disks.iter().map(|disk| disk.disk).collect::<Vec<_>>();
        self.at.machine.id == from.machine.id && self.at.number == from.number && disks(&self.at) == disks(from)
    }

    /// As agents are told.
    pub(crate) fn told(&self) -> ToAgent {
        let disks = self.pages.iter().zip(0..);
        ToAgent::Lacking { disks: disks.map(|(pages, disk)| (disk, first(pages, self.pages.len()))).collect() }
    }
}

impl Looked {
    /// Rules that may be looked up now; `None`: the agent does not keep to the protocol.
    pub(crate) fn rules(&mut self, rules: &[String]) -> Option<Vec<Rule>> {
        self.times += 1;
        let fit = self.times <= LOOKS && limits::rules(rules);
        fit.then(|| rules.iter().map(|rule| rule.parse().ok()).collect()).flatten()
    }

    /// Looks rules up in a point in the making that goes on from `from`.
    pub(crate) fn look_up(
        &mut self,
        (vault, from): (&Vault, &Boundary),
        (following, kept): (&mut Following<'_>, Option<Lacked>),
        (rules, stop): (&[Rule], &AtomicBool),
    ) -> Result<Vec<Found>, VaultError> {
        let lacked = match (self.lacked.take(), kept) {
            (Some(lacked), _) => lacked,
            (None, Some(kept)) if kept.is_of(from) => kept.pages,
            (None, _) => Lacked::at(vault, from)?.pages,
        };
        let lacks = following.lacking(&lacked);
        self.lacked = Some(lacked);
        let budget = Arc::new(Budget::new(READ, PATIENCE));
        let mut found = Vec::new();
        for (disk, lacks) in following.image()?.into_iter().zip(&lacks) {
            found.push(look_up(Arc::new(disk), (rules, lacks), (&budget, stop)));
            if stop.load(Ordering::Relaxed) {
                return Err(VaultError::Cancelled);
            }
        }
        self.exclusions = found.iter().map(|found| found.exclusions.clone()).collect();
        Ok(found)
    }

    /// What the timeline lacks once the point is made; `None`: it is not known without a look.
    pub(crate) fn lacking(&self, following: &Following<'_>) -> Option<Vec<Vec<Range<u64>>>> {
        self.lacked.as_ref().map(|lacked| following.lacking(lacked))
    }
}

impl Lacked {
    /// Known from a point that was just made: its disks are in the order in which the agent speaks of them in `from`.
    pub(crate) fn after(made: Boundary, from: &Boundary, pages: Vec<Vec<Range<u64>>>) -> Option<Lacked> {
        let disk = |was: &backstay_format::rows::DiskAt| made.disks.iter().find(|at| at.disk == was.disk).cloned();
        let disks: Option<Vec<_>> = from.disks.iter().map(disk).collect();
        let few = pages.iter().all(|pages| pages.len() <= limits::LACKED);
        disks.filter(|_| few).map(|disks| Lacked { at: Boundary { disks, ..made }, pages })
    }
}

/// As agents are told.
pub(crate) fn told(found: Vec<Found>) -> ToAgent {
    let disks = found.len();
    let one = |found: Found| FoundTold {
        excluded: first(&found.excluded, disks),
        lacking: joined(&found.lacking, disks),
        met: found.met.iter().zip(&found.exclusions).map(|(rule, e)| (*rule as u32, e.bytes)).collect(),
        doubts: found.doubts.into_iter().take(limits::DOUBTS).map(limits::short).collect(),
    };
    ToAgent::Found { disks: found.into_iter().map(one).collect() }
}

/// As many ranges as a message has room for, if there are so many disks.
fn first(ranges: &[Range<u64>], disks: usize) -> Vec<Pages> {
    ranges.iter().take(limits::TOLD / disks.max(1)).map(|range| (range.start, range.end)).collect()
}

/// All ranges, those that lie next to each other joined until a message has room for them.
fn joined(ranges: &[Range<u64>], disks: usize) -> Vec<Pages> {
    let together = ranges.len().div_ceil(limits::TOLD / disks.max(1)).max(1);
    ranges.chunks(together).filter_map(|part| Some((part.first()?.start, part.last()?.end))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_has_room_in_a_message() {
        let many: Vec<Range<u64>> = (0..3 * limits::TOLD as u64).map(|n| 4 * n..4 * n + 1).collect();
        for disks in [1, 64] {
            let (some, all) = (first(&many, disks), joined(&many, disks));
            assert!(some.len() == limits::TOLD / disks && all.len() <= limits::TOLD / disks);
            assert_eq!(some.last().map(|range| range.0), Some(4 * (limits::TOLD / disks - 1) as u64));
            let covers = |range: &Range<u64>| all[all.partition_point(|a| a.1 <= range.start)].0 <= range.start;
            assert!(many.iter().all(covers));
        }
        assert_eq!(joined(&[1..2, 5..6], 1), [(1, 2), (5, 6)]);
        assert!(joined(&[], 1).is_empty());
    }

    #[test]
    fn rules_that_may_be() {
        let looked = |rules: &[&str]| {
            let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
            Looked::default().rules(&rules).map(|rules| rules.len())
        };
        assert_eq!(looked(&["/var/cache", "*.iso"]), Some(2));
        assert_eq!(looked(&[]), Some(0));
        assert_eq!(looked(&["/"]), None);
        assert_eq!(looked(&[&"x".repeat(limits::RULE + 1)]), None);
        let mut looked = Looked::default();
        (0..LOOKS).for_each(|_| assert!(looked.rules(&[]).is_some()));
        assert!(looked.rules(&[]).is_none(), "not without end");
    }
}
