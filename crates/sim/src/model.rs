//! What must be there: the model of the oracle.
//!
//! Never knows: vaults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_format::rows::gap::SuspensionRow;

use crate::Violation;
use crate::disk::{Disk, Shot};
use crate::pauses::Pauses;

/// A machine and all that is known of its points.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) disks: Vec<Disk>,
    /// By number.
    pub(crate) points: BTreeMap<u64, Known>,
    /// Captures that failed, but may have been committed.
    pub(crate) doubts: Vec<Arc<Shot>>,
    /// Its promises, suspensions and gaps.
    pub(crate) pauses: Pauses,
    /// Whoever makes its points may say what it likes: what they hold is its own matter.
    pub(crate) is_lawless: bool,
    /// Numbers of points that were dropped for certain.
    gone: BTreeSet<u64>,
}

/// A point.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) shot: Arc<Shot>,
    /// It was acknowledged and not dropped: it must be there. Else it may be.
    pub(crate) must: bool,
    /// Its number can never mean another point.
    acknowledged: bool,
}

impl Known {
    /// A point that must be there.
    pub(crate) fn certain(shot: Arc<Shot>) -> Known {
        Known { shot, must: true, acknowledged: true }
    }
}

/// What became of an act.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// A point was made.
    Made(u64, Arc<Shot>),
    /// A point was made or not.
    MaybeMade(Arc<Shot>),
    /// Points were dropped.
    Gone(Vec<u64>),
    /// Points were dropped or not.
    MaybeGone(Vec<u64>),
    /// No points are wanted for a time.
    Suspended(SuspensionRow),
    /// Points are wanted again; this was ended, if anything.
    Resumed(Option<SuspensionRow>),
}

impl Effect {
    /// In a few words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Effect::Made(number, _) => format!("made point {number} "),
            Effect::MaybeMade(_) => "perhaps made a point ".to_owned(),
            Effect::Gone(numbers) => format!("dropped {numbers:?} "),
            Effect::MaybeGone(numbers) => format!("perhaps dropped {numbers:?} "),
            Effect::Suspended(row) => format!("suspended from {} until {} ", row.since.0, row.until.0),
            Effect::Resumed(row) => format!("resumed {:?} ", row.as_ref().map(|row| row.until.0)),
        }
    }
}

impl Machine {
    /// A machine whose points, so far, are these.
    pub(crate) fn new(name: &str, disks: Vec<Disk>, points: BTreeMap<u64, Known>) -> Machine {
        let pauses = Pauses::new(!points.is_empty());
        let (name, gone) = (name.to_owned(), BTreeSet::new());
        Machine { name, disks, points, doubts: Vec::new(), pauses, is_lawless: false, gone }
    }

    /// A point was made.
    pub(crate) fn made(&mut self, number: u64, shot: Arc<Shot>) -> Result<(), Violation> {
        let before = self.points.insert(number, Known::certain(shot));
        if before.is_some_and(|known| known.acknowledged) || self.gone.contains(&number) {
            return Err(Violation(format!("machine {}: number {number} was used before", self.name)));
        }
        Ok(())
    }

    /// Points were dropped.
    pub(crate) fn dropped(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.points.remove(number);
            self.gone.insert(*number);
        }
    }

    /// Points were dropped or not.
    pub(crate) fn maybe_dropped(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(known) = self.points.get_mut(number) {
                known.must = false;
            }
        }
    }

    /// What is listed now is there for good: a commit after it was acknowledged. What is not listed is gone.
    pub(crate) fn settle_doubts(&mut self, listed: &BTreeSet<u64>) {
        for (_, known) in self.points.iter_mut().filter(|(number, _)| listed.contains(number)) {
            (known.must, known.acknowledged) = (true, true);
        }
        let absent = self.points.extract_if(.., |number, _| !listed.contains(number));
        self.gone.extend(absent.filter(|(_, known)| known.acknowledged).map(|(number, _)| number));
        self.doubts.clear();
    }

    /// Holds a listing of points against what is known. `fits(number, shot)` tells whether a point that nobody was told of may be
    /// that of a capture in doubt, and how many pages speak against it: where little can be read, it may be that of several.
    pub(crate) fn hold_against(
        &mut self,
        listed: &BTreeSet<u64>,
        mut fits: impl FnMut(u64, &Shot) -> Option<usize>,
    ) -> Result<(), Violation> {
        let name = &self.name;
        if let Some((number, _)) = self.points.iter().find(|(n, known)| known.must && !listed.contains(n)) {
            return Err(Violation(format!("machine {name}: point {number} was acknowledged and is not there")));
        }
        for number in listed {
            match self.points.get(number) {
                Some(known) if known.acknowledged || fits(*number, &known.shot).is_some() => continue,
                None if self.gone.contains(number) => {
                    return Err(Violation(format!("machine {name}: point {number} was dropped and is there again")));
                }
                _ => {}
            }
            let fitting = self.doubts.iter().filter_map(|shot| Some((fits(*number, shot)?, shot)));
            let doubt = fitting.min_by_key(|(against, _)| *against).map(|(_, shot)| shot);
            let doubt =
                doubt.ok_or_else(|| Violation(format!("machine {name}: nobody captured point {number} as it is")))?;
            self.points.insert(*number, Known { shot: doubt.clone(), must: false, acknowledged: false });
        }
        Ok(())
    }
}
