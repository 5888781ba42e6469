//! What records say of each other: times, intents and outcomes, the configuration. Pure.
//!
//! Never knows: where records come from, or whether they are in the tree.

use std::collections::BTreeSet;

use backstay_env::time::Timestamp;

use super::{Finding, Report};
use crate::record::{Kind, Record};
use crate::tree::Hash;

/// So often the log's owner appends something, be it only a heartbeat; in nanoseconds.
pub const HEARTBEAT: i64 = 60_000_000_000;
/// So long after the last record nothing is wrong yet.
const PATIENCE: i64 = HEARTBEAT * 5 / 2;

/// What the records so far lead to expect.
#[derive(Default)]
pub(super) struct History {
    last: Option<(Timestamp, Kind)>,
    /// Whether the clock was behind at the last record.
    behind: bool,
    open: BTreeSet<u64>,
    config: Option<Hash>,
}

impl History {
    pub(super) fn take(&mut self, index: u64, record: &Record, report: &mut Report) {
        self.check_time(index, record, report);
        match record.kind {
            Kind::Intent => drop(self.open.insert(index)),
            Kind::Outcome { of } if !self.open.remove(&of) => report.add(Finding::NoIntent { index }),
            _ => {}
        }
        if let Some(change) = record.config {
            if self.config.is_some_and(|config| config != change.before) {
                report.add(Finding::OtherConfig { index });
            }
            self.config = Some(change.after);
        }
        self.last = Some((record.time, record.kind));
    }

    fn check_time(&mut self, index: u64, record: &Record, report: &mut Report) {
        if let Some((last, kind)) = self.last {
            if record.time < last {
                report.add(Finding::TimeBack { index });
            }
            // Between an end and a start nothing is promised.
            let was_off = kind == Kind::Stopped && record.kind == Kind::Started;
            if record.time.0.saturating_sub(last.0) > PATIENCE && !was_off {
                report.add(Finding::Gap { index, from: last, to: record.time });
            }
        }
        let behind = record.clock.map(|clock| record.time.0.saturating_sub(clock.0).unsigned_abs() / 1_000_000_000);
        // Told once for all records until it has caught up. What is less than a second is how clocks are kept right.
        if let Some(by) = behind.filter(|by| *by > 0 && !self.behind) {
            report.add(Finding::ClockBack { index, by });
        }
        self.behind = behind.is_some_and(|by| by > 0);
    }

    pub(super) fn end(self, now: Option<Timestamp>, report: &mut Report) {
        self.open.iter().for_each(|index| report.add(Finding::NoOutcome { index: *index }));
        if let (Some(now), Some((last, kind))) = (now, self.last)
            && kind != Kind::Stopped
            && now.0.saturating_sub(last.0) > PATIENCE
        {
            report.add(Finding::Silent { since: last });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::What;
    use crate::record::Change;

    const SECOND: i64 = 1_000_000_000;

    fn record(kind: Kind, seconds: i64) -> Record {
        Record {
            kind,
            time: Timestamp(seconds * SECOND),
            clock: None,
            what: What::new("x").unwrap(),
            names: [None; 4],
            success: None,
            request: None,
            config: None,
        }
    }

    fn words(records: &[Record], now: Option<i64>) -> Vec<(&'static str, Option<u64>)> {
        let (mut history, mut report) = (History::default(), Report::default());
        (0..).zip(records).for_each(|(index, record)| history.take(index, record, &mut report));
        history.end(now.map(|now| Timestamp(now * SECOND)), &mut report);
        report.findings.iter().map(|finding| (finding.word(), finding.index())).collect()
    }

    #[test]
    fn times() {
        let at = |seconds| record(Kind::Heartbeat, seconds);
        assert_eq!(words(&[at(0), at(60), at(60), at(210)], Some(360)), []);
        assert_eq!(words(&[at(0), at(151)], None), [("gap", Some(1))]);
        assert_eq!(words(&[at(10), at(9)], None), [("time-back", Some(1))]);
        assert_eq!(words(&[at(0)], Some(151)), [("silent", None)]);
        assert_eq!(words(&[at(0), record(Kind::Stopped, 1), record(Kind::Started, 9999)], None), []);
        assert_eq!(words(&[at(0), record(Kind::Stopped, 1)], Some(9999)), []);
        assert_eq!(words(&[at(0), record(Kind::Started, 9999)], None), [("gap", Some(1))], "a power loss, or a kill");
        let behind = |seconds, clock| Record { clock: Some(Timestamp(clock * SECOND)), ..at(seconds) };
        let told = words(&[at(100), behind(100, 40), behind(100, 90), at(101), behind(101, 100)], None);
        assert_eq!(told, [("clock-back", Some(1)), ("clock-back", Some(4))]);
        let slightly = Record { clock: Some(Timestamp(100 * SECOND - 5)), ..at(100) };
        assert_eq!(words(&[at(100), slightly], None), []);
        let extremes = [record(Kind::Heartbeat, i64::MIN / SECOND), record(Kind::Heartbeat, i64::MAX / SECOND)];
        assert_eq!(words(&extremes, None), [("gap", Some(1))]);
    }

    #[test]
    fn intents_and_outcomes() {
        let (intent, of) = (record(Kind::Intent, 0), |of| record(Kind::Outcome { of }, 0));
        assert_eq!(words(&[intent.clone(), intent.clone(), of(1), of(0)], None), []);
        assert_eq!(words(&[intent.clone(), intent.clone(), of(1)], None), [("no-outcome", Some(0))]);
        assert_eq!(words(&[intent.clone(), of(0), of(0)], None), [("no-intent", Some(2))]);
        assert_eq!(words(&[of(1), intent], None), [("no-intent", Some(0)), ("no-outcome", Some(1))]);
    }

    #[test]
    fn the_configuration_is_what_the_log_made_it() {
        let change = |before, after| {
            let change = Change { before: Hash([before; 32]), after: Hash([after; 32]) };
            Record { config: Some(change), ..record(Kind::Event, 0) }
        };
        assert_eq!(words(&[change(1, 1), change(1, 2), record(Kind::Event, 0), change(2, 3), change(3, 3)], None), []);
        assert_eq!(words(&[change(1, 2), change(3, 3), change(3, 3)], None), [("other-configuration", Some(1))]);
    }
}
