//! What is done to `protect` while it works, and what must follow.
//!
//! Never knows: what the points must hold.

mod acts;
mod frozen;
mod still;
mod watchdog;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chance::Chance;
use crate::fail::{Fail, Result};
use crate::product::{Agent, Product};
use crate::tools::{Stop, patiently};
pub(crate) use frozen::{Copied, Copier};
use still::Probe;

/// How long `protect` may hold file systems, as it is told.
pub(crate) const LONGEST_FREEZE: Duration = Duration::from_secs(2);
/// On a busy machine the watchdog must also come to run. Without it, nobody would ever thaw.
const SLACK: Duration = Duration::from_secs(8);
/// How long the next point may take after anything.
const NEXT_POINT: Duration = Duration::from_secs(120);

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    KillAnytime,
    KillHeld,
    KillAfterHeld,
    StopHeld,
    StopAnytime,
    KillWatchdog,
    KillWatchdogHeld,
    FullStore,
    Second,
    Overtake,
    EndAndGoOn,
    Suspend,
    CopyHeld,
}

const ACTS: &[Act] = &[
    Act::Nothing,
    Act::KillAnytime,
    Act::KillAnytime,
    Act::KillHeld,
    Act::KillHeld,
    Act::KillAfterHeld,
    Act::StopHeld,
    Act::StopHeld,
    Act::StopAnytime,
    Act::KillWatchdog,
    Act::KillWatchdogHeld,
    Act::FullStore,
    Act::Second,
    Act::Overtake,
    Act::EndAndGoOn,
    Act::Suspend,
    Act::CopyHeld,
    Act::CopyHeld,
    Act::CopyHeld,
];

/// What was done, how often.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// `protect`, followed by misfortune.
pub(crate) struct Disturber<'a> {
    product: &'a Product,
    disks: Vec<PathBuf>,
    options: Vec<String>,
    probe: Option<Probe>,
    agent: Agent,
    /// A file system of its own, on which the store lies.
    store: PathBuf,
    /// `None`: disks cannot be cloned.
    copier: Option<Copier>,
    stop: &'a Stop,
    pub(crate) counts: Counts,
    /// The longest that a writer waited after a misfortune.
    pub(crate) longest: Duration,
}

impl<'a> Disturber<'a> {
    /// Starts `protect`, and waits for its first point.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn start(
        product: &'a Product,
        disks: Vec<PathBuf>,
        options: Vec<String>,
        probed: &Path,
        (store, copier): (&Path, Option<Copier>),
        stop: &'a Stop,
    ) -> Result<Disturber<'a>> {
        let probe = Probe::start(probed)?;
        let agent = follow(product, &disks, &options)?;
        let counts = Counts::new();
        let probe = Some(probe);
        let longest = Duration::ZERO;
        let store = store.to_owned();
        let mut all = Disturber { product, disks, options, probe, agent, longest, store, copier, stop, counts };
        all.wait_for_point(0)?;
        Ok(all)
    }

    /// Does one thing, and waits until there is a point after it.
    ///
    /// # Errors
    /// What must follow did not.
    pub(crate) fn disturb(&mut self, chance: &mut Chance) -> Result<()> {
        self.stop.sleep(chance.millis(200, 3500));
        if self.stop.asked() {
            return Ok(());
        }
        // At least once in each round where it can be done.
        let first = self.counts.is_empty() && self.copier.is_some();
        let act = if first { Act::CopyHeld } else { *chance.pick(ACTS) };
        let before = self.last_point()?;
        let what = self.act(act, chance)?;
        *self.counts.entry(what).or_default() += 1;
        self.wait_for_point(before)
    }

    fn last_point(&self) -> Result<u64> {
        Ok(self.product.points()?.last().map_or(0, |point| point.number))
    }

    fn wait_for_point(&mut self, before: u64) -> Result<()> {
        let mut failed = None;
        let came = patiently(NEXT_POINT, || {
            if let Err(cause) = self.agent.check() {
                failed = Some(cause);
                return true;
            }
            std::thread::sleep(Duration::from_millis(300));
            // A machine without a point is not known yet.
            self.stop.asked() || self.last_point().is_ok_and(|last| last > before)
        });
        match failed {
            Some(cause) => Err(cause),
            None if came => Ok(()),
            None => Err(Fail::new(format!(
                "no point came within {NEXT_POINT:?} after point {before}: {}",
                tail(&self.agent.log())
            ))),
        }
    }

    /// A point of now, when nothing writes any more; then ends `protect` in order.
    ///
    /// # Errors
    /// There is no such point.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let before = self.last_point()?;
        // One may have been under way.
        self.wait_for_point(before + 1)?;
        self.agent.end()
    }

    /// Takes away what we have on the file systems ourselves.
    pub(crate) fn end_probe(&mut self) {
        self.probe = None;
    }

    /// Copies of the disks that were made while they were held still.
    pub(crate) fn copied(&self) -> &[Copied] {
        self.copier.as_ref().map_or(&[], |copier| &copier.copied)
    }

    fn restart(&mut self) -> Result<()> {
        self.agent = follow(self.product, &self.disks, &self.options)?;
        Ok(())
    }

    fn disks(&self) -> Vec<&Path> {
        self.disks.iter().map(PathBuf::as_path).collect()
    }

    /// Why it compared whole disks, in its own words, as often as it did.
    pub(crate) fn rescans(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.product.home().join("protect.log")).unwrap_or_default();
        let told = log.lines().filter_map(|line| line.strip_prefix("note: changes may have been missed: "));
        told.map(str::to_owned).collect()
    }
}

fn follow(product: &Product, disks: &[PathBuf], options: &[String]) -> Result<Agent> {
    let disks: Vec<&Path> = disks.iter().map(PathBuf::as_path).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    product.follow(&disks, &options)
}

/// The last words of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().filter(|line| !line.starts_with(['{', '}', ' '])).take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
