//! The loop of `protect` where changes are followed.
//!
//! Never knows: how they are followed.

use std::time::{Duration, Instant};

use backstay_format::rows::gap::Why;
use backstay_vault::protect::Progress;

use super::attended::LOOK;
use super::{Protecting, report, settle};
use crate::failure::Failure;
use crate::live::{Live, LivePoint, Missed};
use crate::output::note;
use crate::progress::Meter;

impl Protecting<'_> {
    /// Makes points of what changes until asked to stop.
    pub(super) fn follow(&mut self, mut live: Live<'_>, every: Duration) -> Result<(), Failure> {
        while !self.stop.asked() {
            if self.is_suspended()? {
                self.stop.wait(every.min(LOOK));
                continue;
            }
            let begun = Instant::now();
            match self.follow_once(&mut live, every) {
                Ok((LivePoint { made, still }, took)) => {
                    self.lapse.made();
                    report::made(self.common, &made, took, Some(&still))?;
                    settle(self.target, &made);
                }
                Err(_) if self.stop.asked() => break,
                Err(Missed::Final(failure)) => return Err(failure),
                // Whether it is suspended is looked at next.
                Err(Missed::Later(..)) if self.was_called_off() => continue,
                Err(Missed::Later(why, text)) => {
                    self.lapse.missed((why, &text), begun.elapsed());
                    report::missed(self.common, self.machine, why, &text)?;
                }
                Err(Missed::Rescan(why)) => {
                    note!("note: changes may have been missed: {why}; the disks are compared with the last point");
                    continue;
                }
            }
            live.rest();
            self.stop.wait(every.saturating_sub(begun.elapsed()));
        }
        note!("stopped; changes go on being followed in the kernel, for the next protect to go on from");
        Ok(())
    }

    /// A point, and how long it took, not counting the rescan that may have to come first.
    fn follow_once(&mut self, live: &mut Live<'_>, every: Duration) -> Result<(LivePoint, Duration), Missed> {
        let disks = live.to_compare().join(", ");
        if !disks.is_empty() {
            self.lapse.missed((Why::Rescan, ""), Duration::ZERO);
            note!(
                "note: {disks} of {}: all that is in use is read and compared with the last point, if any",
                self.machine
            );
            let progress = Progress::default();
            let meter = Meter::new(format!("comparing {disks} of {}", self.machine), self.common.json);
            self.attendant().during(Some((&meter, &progress)), || live.rescan(&progress))?;
        }
        let promise = self.lapse.promise(every);
        let begun = Instant::now();
        let timed = || live.point(promise).map(|point| (point, begun.elapsed()));
        self.attendant().during(None, timed)
    }
}
