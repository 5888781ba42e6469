//! Each misfortune, and what is asked of `protect` then.
//!
//! Never knows: when, or how often.

use std::fs::File;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use rustix::process::Signal;
use serde_json::Value;

use super::{Act, Disturber, LONGEST_FREEZE, NEXT_POINT, SLACK, watchdog};
use crate::chance::Chance;
use crate::fail::{During, Fail, Result};
use crate::tools::patiently;

/// How long the next freeze is waited for.
const NEXT_FREEZE: Duration = Duration::from_secs(20);
/// Several times as long as from one point to the next.
const QUIET: Duration = Duration::from_secs(8);

impl Disturber<'_> {
    /// Does it; what it came to, for the report.
    pub(super) fn act(&mut self, act: Act, chance: &mut Chance) -> Result<&'static str> {
        match act {
            Act::Nothing => Ok("left alone"),
            Act::KillAnytime => self.kill_anytime(chance),
            Act::KillHeld => self.kill_held(Duration::ZERO, "SIGKILL while writers were held"),
            Act::KillAfterHeld => {
                let later = chance.millis(1, 400);
                self.kill_held(later, "SIGKILL soon after a freeze began")
            }
            Act::StopHeld => self.stop_held(),
            Act::StopAnytime => {
                self.agent.signal(Signal::STOP);
                let thawed = self.is_thawed();
                std::thread::sleep(chance.millis(100, 3000));
                self.agent.signal(Signal::CONT);
                thawed.map(|()| "SIGSTOP at any time")
            }
            Act::KillWatchdog => self.kill_watchdog(),
            Act::KillWatchdogHeld => {
                if !self.wait_held() {
                    return Ok("no freeze came to kill a watchdog in");
                }
                self.kill_watchdog()?;
                self.is_thawed()?;
                Ok("SIGKILL of the watchdog while writers were held")
            }
            Act::FullStore => self.fill_store(chance),
            Act::Second => self.second(),
            Act::Overtake => {
                self.product.once(&self.disks())?;
                Ok("another process made a point of the machine")
            }
            Act::EndAndGoOn => {
                let before = self.product.generations();
                self.agent.end()?;
                self.restart()?;
                self.must_go_on(before)?;
                Ok("ended in order, and started again")
            }
            Act::CopyHeld => self.copy_held(chance),
            Act::Suspend => {
                let before = self.product.generations();
                self.product.suspend()?;
                let quiet = self.becomes_quiet();
                self.product.resume()?;
                quiet?;
                self.must_go_on(before)?;
                Ok("suspended, and resumed")
            }
        }
    }

    fn kill_anytime(&mut self, chance: &mut Chance) -> Result<&'static str> {
        std::thread::sleep(chance.millis(0, 2000));
        let before = self.product.generations();
        self.agent.kill()?;
        self.is_thawed()?;
        self.restart()?;
        self.must_go_on(before)?;
        Ok("SIGKILL at any time")
    }

    fn kill_held(&mut self, later: Duration, what: &'static str) -> Result<&'static str> {
        if !self.wait_held() {
            return Ok("no freeze came to kill in");
        }
        std::thread::sleep(later);
        let before = self.product.generations();
        self.agent.kill()?;
        self.is_thawed()?;
        self.restart()?;
        self.must_go_on(before)?;
        Ok(what)
    }

    fn stop_held(&mut self) -> Result<&'static str> {
        if !self.wait_held() {
            return Ok("no freeze came to stop in");
        }
        self.agent.signal(Signal::STOP);
        let waited = self.wait_thawed();
        self.agent.signal(Signal::CONT);
        // A short one was over before the signal came.
        match waited? > LONGEST_FREEZE / 2 {
            true => Ok("SIGSTOP while held: thawed by the watchdog at its limit"),
            false => Ok("SIGSTOP while held: came too late"),
        }
    }

    fn kill_watchdog(&mut self) -> Result<&'static str> {
        match watchdog::kill(self.agent.id()) {
            0 => Ok("no watchdog was there to kill"),
            _ => Ok("SIGKILL of the watchdog"),
        }
    }

    /// The store's file system is full for some seconds.
    fn fill_store(&mut self, chance: &mut Chance) -> Result<&'static str> {
        let path = self.store.join("ballast");
        let file = File::create(&path).during(path.display())?;
        // From large to small, until nothing fits.
        let mut at = 0;
        for size in (12..34).rev().map(|bits| 1_u64 << bits) {
            while rustix::fs::fallocate(&file, FallocateFlags::empty(), at, size).is_ok() {
                at += size;
            }
        }
        self.stop.sleep(chance.millis(3000, 9000));
        drop(file);
        std::fs::remove_file(&path).during(path.display())?;
        Ok("the store's disk was full for some seconds")
    }

    /// Another one for the same machine must be refused in words, and do nothing.
    fn second(&mut self) -> Result<&'static str> {
        let (status, said) = self.product.follow_too(&self.disks())?;
        match status == Some(4) && said.contains("another process follows") {
            true => Ok("a second protect, which was refused"),
            false => Err(Fail::new(format!("a second protect ended with {status:?}: {said}"))),
        }
    }

    /// No points come any more, but for one that may be under way.
    fn becomes_quiet(&self) -> Result<()> {
        let mut last = self.last_point()?;
        let quiet = patiently(NEXT_POINT, || {
            self.stop.sleep(QUIET);
            let before = std::mem::replace(&mut last, self.last_point().unwrap_or_default());
            last == before || self.stop.asked()
        });
        if quiet { Ok(()) } else { Err(Fail::new("points went on while the machine was suspended")) }
    }

    /// Whatever happened, writers go on within the watchdog's limit.
    pub(super) fn is_thawed(&mut self) -> Result<()> {
        self.wait_thawed().map(drop)
    }

    pub(super) fn wait_held(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.wait_held(NEXT_FREEZE))
    }

    fn wait_thawed(&mut self) -> Result<Duration> {
        let Some(probe) = &self.probe else { return Ok(Duration::ZERO) };
        let waited = probe.wait_thawed(LONGEST_FREEZE + SLACK)?;
        self.longest = self.longest.max(waited);
        Ok(waited)
    }

    /// After a death, marks go on where they were, and nothing is compared. Only if there was a rescan under way, or one
    /// that says why, another follows.
    fn must_go_on(&mut self, before: Option<Vec<Value>>) -> Result<()> {
        let Some(marks) = before else {
            *self.counts.entry("deaths in a rescan, which began anew").or_default() += 1;
            return Ok(());
        };
        let last = self.last_point()?;
        self.wait_for_point(last)?;
        let said_why = self.agent.log().contains("changes may have been missed");
        match said_why || self.stop.asked() || self.product.generations() == Some(marks) {
            true => Ok(()),
            false => Err(Fail::new("after a restart the disks were compared anew, though the marks were there")),
        }
    }
}
