//! Why there was no point, for the gap that the next one tells of.
//!
//! Never knows: when a time without points is a gap.

use std::time::{Duration, Instant};

use backstay_format::rows::gap::{Cause, Why};
use backstay_format::units::Timestamp;
use backstay_store::ledger::LedgerError;
use backstay_vault::VaultError;
use backstay_vault::gap::Promise;

/// So many causes, and bytes of words for each, are told of one gap.
const MOST: usize = 16;
const WORDS: usize = 300;

/// What kind of reason an error is.
pub(crate) fn why(error: &VaultError) -> Why {
    match error {
        VaultError::Home(_) | VaultError::Ledger(LedgerError::Home(_)) => Why::Store,
        _ => Why::Failed,
    }
}

/// A reason for people.
pub(crate) fn words(cause: &Cause) -> String {
    let known = match cause.why {
        Why::Unknown => "nothing said why; perhaps nothing was running",
        Why::Suspended => "suspended",
        Why::Busy => "the disks changed too fast",
        Why::Store => "the store could not be reached",
        Why::Rescan => "the disks were compared with the last point",
        Why::Slow => "making one point took so long",
        Why::Clock => "the clock was set",
        Why::Failed if cause.text.is_empty() => "it failed",
        Why::Failed => return cause.text.clone(),
    };
    if cause.text.is_empty() { known.to_owned() } else { format!("{known}: {}", cause.text) }
}

/// What kept points from being made since the last one of this process, or its start.
#[derive(Default)]
pub(crate) struct Lapse {
    last: Option<Instant>,
    causes: Vec<Cause>,
}

impl Lapse {
    /// There was no point, for a reason that held for so long by now.
    pub(crate) fn missed(&mut self, (why, text): (Why, &str), held: Duration) {
        let text = shortened(text);
        let goes_on = |last: &Cause| last.why == why && (last.text == text || why != Why::Failed);
        if self.causes.len() < MOST && !self.causes.last().is_some_and(goes_on) {
            let since = Timestamp(now().0.saturating_sub_unsigned(nanos(held)));
            self.causes.push(Cause { since, why, text });
        }
    }

    /// There is a point.
    pub(crate) fn made(&mut self) {
        *self = Lapse { last: Some(Instant::now()), causes: Vec::new() };
    }

    /// No point was wanted: how long there was none says nothing.
    pub(crate) fn rested(&mut self) {
        self.last = None;
    }

    /// What the next point promises, and says of the time before it. Time is measured by a clock that nobody sets: what was in
    /// time by that is a gap only by the other.
    pub(crate) fn promise(&self, every: Duration) -> Promise {
        let mut causes = self.causes.clone();
        if let (Some(last), true) = (self.last, causes.is_empty()) {
            let taken = last.elapsed();
            let why = if taken <= every * 2 { Why::Clock } else { Why::Slow };
            // From the point before on, whenever that was.
            causes.push(Cause { since: Timestamp(i64::MIN), why, text: String::new() });
        }
        Promise { every: nanos(every), causes }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn now() -> Timestamp {
    Timestamp(i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX))
}

fn shortened(text: &str) -> String {
    let end = (0..=WORDS.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_once_and_not_for_ever() {
        let mut lapse = Lapse::default();
        assert_eq!(lapse.promise(Duration::from_secs(10)), Promise { every: 10_000_000_000, causes: Vec::new() });
        ["x", "y"].iter().for_each(|text| lapse.missed((Why::Busy, text), Duration::ZERO));
        assert_eq!(lapse.promise(Duration::ZERO).causes.len(), 1);
        (0..100).for_each(|round| lapse.missed((Why::Failed, &format!("{round} {}", "ä".repeat(300))), Duration::ZERO));
        let told = lapse.promise(Duration::ZERO).causes;
        assert!(told.len() == MOST && told.iter().all(|cause| cause.text.len() <= WORDS));
    }

    #[test]
    fn what_was_in_time_is_a_matter_of_the_clock() {
        let mut lapse = Lapse::default();
        lapse.missed((Why::Store, "gone"), Duration::ZERO);
        lapse.made();
        let why = |lapse: &Lapse, every| lapse.promise(every).causes.iter().map(|cause| cause.why).collect::<Vec<_>>();
        assert_eq!(why(&lapse, Duration::from_secs(1000)), [Why::Clock]);
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!(why(&lapse, Duration::from_millis(1)), [Why::Slow]);
        lapse.rested();
        assert_eq!(lapse.promise(Duration::from_millis(1)).causes, []);
    }
}
