//! Promises, suspensions and gaps: what is known of a machine's, and what must be told of them.
//!
//! Whoever acknowledged something knows it; where an act failed, or two processes acted at once, nothing is known until something
//! is acknowledged again.
//!
//! Never knows: vaults, or the clock.

use std::collections::BTreeMap;

use backstay_format::rows::gap::{GapRow, SuspensionRow, Why};
use backstay_format::units::{PointNo, Timestamp};

/// What is known of a suspension.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Suspension {
    Unknown,
    None,
    /// It ends by itself.
    Lasts(SuspensionRow),
    /// Somebody ended this one before its time; a point may have told it since.
    Ended(SuspensionRow),
}

/// The moment that a point shows, and how soon it promised the next one; 0: it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: Timestamp,
    pub(crate) every: u64,
}

/// What a point must tell of the time before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    from: Timestamp,
    to: Timestamp,
    /// Whether a suspension is among the causes, if that is known.
    suspended: Option<bool>,
}

/// What is known of a machine's promises, suspensions and gaps.
pub(crate) struct Pauses {
    suspension: Suspension,
    /// What the point made last promised, if it is known.
    promised: Option<u64>,
    /// When points are that were acknowledged and not dropped.
    times: BTreeMap<u64, Timestamp>,
    /// The newest of these is the newest there is.
    is_newest_known: bool,
    /// There may have been others.
    were_others: bool,
    /// What points must tell, by number; `None`: of no gap.
    told: BTreeMap<u64, Option<Told>>,
}

impl Pauses {
    /// Of a machine of which points may be there already; nothing was ever promised or suspended.
    pub(crate) fn new(has_points: bool) -> Pauses {
        Pauses {
            suspension: Suspension::None,
            promised: Some(0),
            times: BTreeMap::new(),
            is_newest_known: !has_points,
            were_others: has_points,
            told: BTreeMap::new(),
        }
    }

    /// Something may have been done.
    pub(crate) fn lose_track(&mut self) {
        (self.suspension, self.promised) = (Suspension::Unknown, None);
        (self.is_newest_known, self.were_others) = (false, true);
    }

    /// A point was made.
    pub(crate) fn made(&mut self, number: u64, Moment { time, every }: Moment) {
        if let Some(told) = self.tells(time) {
            self.told.insert(number, told);
        }
        match &self.suspension {
            Suspension::Lasts(row) if is_over(row, time) => self.suspension = Suspension::None,
            Suspension::Ended(row) if time >= row.until => self.suspension = Suspension::None,
            _ => {}
        }
        self.times.insert(number, time);
        (self.promised, self.is_newest_known) = (Some(every), true);
    }

    /// What a point of this moment must tell; `None`: that is not known.
    fn tells(&self, to: Timestamp) -> Option<Option<Told>> {
        let promised = self.promised.filter(|_| self.is_newest_known)?;
        let Some((_, from)) = self.times.last_key_value() else { return Some(None) };
        let from = *from;
        let suspended = match &self.suspension {
            Suspension::Unknown | Suspension::Ended(_) => None,
            Suspension::None => Some(false),
            Suspension::Lasts(row) => Some(from < to && row.since < to && from < row.until),
        };
        let is_gap = match promised {
            0 => suspended?,
            every => i128::from(to.0) - i128::from(from.0) > 2 * i128::from(every),
        };
        Some(is_gap.then_some(Told { from, to, suspended }))
    }

    /// Points were dropped.
    pub(crate) fn dropped(&mut self, numbers: &[u64]) {
        let newest = self.times.last_key_value().map(|(number, _)| *number);
        if self.were_others && newest.is_some_and(|newest| numbers.contains(&newest)) {
            self.is_newest_known = false;
        }
        self.times.retain(|number, _| !numbers.contains(number));
    }

    /// No points are wanted until the end of this.
    pub(crate) fn suspended(&mut self, row: &SuspensionRow) {
        self.suspension = Suspension::Lasts(row.clone());
    }

    /// Points are wanted again. What that ended, as it was; `None`: nothing.
    pub(crate) fn resumed(&mut self, ended: Option<&SuspensionRow>) {
        if let Some(row) = ended {
            self.suspension = Suspension::Ended(row.clone());
        }
    }

    /// Holds what is told against what must be. `oldest`: the oldest point there is; `suspended` tells what suspension there is at
    /// some moment. Says how many gaps were as they must be.
    pub(crate) fn hold_against(
        &self,
        oldest: u64,
        closed: &[(PointNo, GapRow)],
        mut suspended: impl FnMut(Timestamp) -> Result<Option<SuspensionRow>, String>,
    ) -> Result<u64, String> {
        // Those up to the oldest point are of no timeline.
        for (number, told) in self.told.range(oldest + 1..) {
            let row = closed.iter().find(|(of, _)| of.0 == *number).map(|(_, row)| row);
            let fits = match (row, told) {
                (None, None) => true,
                (Some(row), Some(told)) => {
                    let says = row.causes.iter().any(|cause| cause.why == Why::Suspended);
                    (row.from, row.to) == (told.from, told.to) && told.suspended.is_none_or(|is| is == says)
                }
                _ => false,
            };
            if !fits {
                return Err(format!("point {number} tells {row:?} of the time before it instead of {told:?}"));
            }
        }
        let mut is = |time: Timestamp, expected: Option<&SuspensionRow>| {
            let found = suspended(time)?;
            let right = found.as_ref() == expected;
            if right { Ok(()) } else { Err(format!("at {time:?} it is {found:?}, and should be {expected:?}")) }
        };
        match &self.suspension {
            Suspension::Unknown => {}
            Suspension::None => is(Timestamp(0), None)?,
            Suspension::Lasts(row) => {
                is(row.since, Some(row).filter(|row| row.since < row.until))?;
                is(Timestamp(row.until.0 - 1), Some(row).filter(|row| row.since < row.until))?;
                is(row.until, None)?;
            }
            Suspension::Ended(row) => is(Timestamp(row.until.0 - 1), None)?,
        }
        Ok(self.told.range(oldest + 1..).filter(|(_, told)| told.is_some()).count() as u64)
    }
}

/// Whether a suspension is over, or its clock was another.
fn is_over(row: &SuspensionRow, now: Timestamp) -> bool {
    let length = i128::from(row.until.0) - i128::from(row.since.0);
    now >= row.until || i128::from(now.0) < i128::from(row.since.0) - length
}
