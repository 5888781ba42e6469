//! Crashes anywhere: the log opens, has every record that was acknowledged, and goes on from every checkpoint that anybody saw.

use backstay_audit::{Finding, Log, Receipt};
use backstay_env::objects::{ObjectError, Objects as _};
use backstay_env::sim::objects::{Faults, SimObjects, When};

use crate::world::{ORIGIN, event, filled, judge, key, keys, open, seams};

/// What was promised to somebody before the world went wrong.
#[derive(Default)]
struct Promised {
    /// Events that were acknowledged, by number.
    receipts: Vec<(Receipt, u64)>,
    /// Signed checkpoints that were seen.
    seen: Vec<Vec<u8>>,
}

impl Promised {
    fn and(mut self, other: Promised) -> Promised {
        self.receipts.extend(other.receipts);
        self.seen.extend(other.seen);
        self
    }
}

/// Opens a log and appends events, as far as the world lets it; goes on after errors if `stubborn`.
fn append(home: SimObjects, from: u64, count: u64, stubborn: bool) -> Promised {
    let mut promised = Promised::default();
    let tries = if stubborn { 20 } else { 1 };
    let opened = (0..tries).find_map(|_| Log::open(&seams(home.clone(), from + 2), &keys(), ORIGIN).ok());
    let Some(log) = opened else { return promised };
    for n in from..from + count {
        match log.append(&event(n)) {
            Ok(receipt) => promised.receipts.push((receipt, n)),
            Err(_) if stubborn => {}
            Err(_) => break,
        }
    }
    promised
}

/// Looks at the checkpoint again and again, as an auditor might.
fn watch(home: SimObjects, times: u64) -> Promised {
    let mut promised = Promised::default();
    for _ in 0..times {
        match home.get(&key("checkpoint")) {
            Ok(bytes) if promised.seen.last() != Some(&bytes) => promised.seen.push(bytes),
            Ok(_) | Err(ObjectError::NotFound(_)) => {}
            Err(_) => break,
        }
    }
    promised
}

/// Opens the log after all that, appends, and holds it to what was promised.
fn is_kept(home: &SimObjects, promised: &Promised, told: &str) {
    let log = open(home);
    let receipt = log.append(&event(9999)).expect("the log goes on");
    let shown = log.read(0..u64::MAX).expect("the log can be read");
    assert_eq!(shown.len() as u64, receipt.size, "{told}");
    for (receipt, n) in &promised.receipts {
        let names = shown[receipt.index as usize].names.as_ref();
        assert_eq!(names, Some(&event(*n).names), "{told}: record {}", receipt.index);
    }
    for seen in &promised.seen {
        let report = judge(home, Some(seen));
        assert!(report.holds(), "{told}: {:?}", report.findings);
    }
    let report = judge(home, None);
    // Each process has a clock of its own here.
    let expected = |finding: &Finding| matches!(finding, Finding::NothingPinned | Finding::ClockBack { .. });
    assert!(report.holds() && report.findings.iter().all(expected), "{told}: {:?}", report.findings);
}

/// A home with a log of so many records in it, in a world as `seed` wills.
fn begun(count: u64) -> impl Fn(u64) -> SimObjects {
    let (home, _) = if count > 0 { filled(count) } else { (SimObjects::seeded(0), open(&SimObjects::seeded(0))) };
    move |seed| {
        let home = home.fork();
        // Moves the dice on.
        (0..seed).for_each(|_| drop(home.get(&key("checkpoint"))));
        home
    }
}

#[test]
fn a_power_loss_at_any_change() {
    for (count, more) in [(0, 3), (3, 4), (252, 8)] {
        let make = begun(count);
        for early_sight in [false, true] {
            let whole = make(0);
            append(whole.clone(), 1000, more, false);
            for change in 1..=whole.changes() {
                for seed in 0..3 {
                    let home = make(seed);
                    home.set_faults(Faults { early_sight, ..Faults::default() });
                    home.lose_power_at(When::Change(change));
                    let promised = home.interleave(vec![
                        Box::new(|home| append(home, 1000, more, false)),
                        Box::new(|home| watch(home, 400)),
                    ]);
                    let promised = promised.into_iter().fold(Promised::default(), Promised::and);
                    let told = format!("{count} records, early sight {early_sight}, change {change}, seed {seed}");
                    is_kept(&home.restart(), &promised, &told);
                }
            }
        }
    }
}

#[test]
fn a_power_loss_while_one_goes_on_after_a_power_loss() {
    let make = begun(254);
    for first in 1..24 {
        for second in 1..16 {
            let home = make(first);
            home.set_faults(Faults { early_sight: true, ..Faults::default() });
            home.lose_power_at(When::Change(first));
            let mut promised = append(home.clone(), 1000, 5, false);
            let home = home.restart();
            home.lose_power_at(When::Change(home.changes() + second));
            promised = promised.and(append(home.clone(), 2000, 5, false));
            is_kept(&home.restart(), &promised, &format!("changes {first} and {second}"));
        }
    }
}

#[test]
fn a_process_killed_at_any_operation_and_another_that_goes_on_at_once() {
    let make = begun(254);
    let whole = make(0);
    append(whole.clone(), 1000, 5, false);
    for operation in 1..=whole.operations() {
        let home = make(operation);
        home.set_faults(Faults { early_sight: operation % 2 == 0, ..Faults::default() });
        let dying = home.another_process();
        dying.kill_at(When::Operation(operation));
        let promised = append(dying, 1000, 5, false).and(append(home.another_process(), 2000, 4, false));
        assert!(promised.receipts.len() >= 4);
        is_kept(&home.another_process(), &promised, &format!("killed at {operation}"));
    }
}

#[test]
fn a_power_loss_while_another_goes_on_after_a_killed_process() {
    let make = begun(254);
    let whole = make(0);
    append(whole.clone(), 1000, 3, false);
    for first in 1..=whole.changes() {
        for second in 1..9 {
            let home = make(first + second);
            home.set_faults(Faults { early_sight: true, ..Faults::default() });
            let dying = home.another_process();
            dying.kill_at(When::Change(first));
            let promised = append(dying, 1000, 3, false);
            home.lose_power_at(When::Change(home.changes() + second));
            let promised =
                [promised].into_iter().chain(home.interleave(vec![
                    Box::new(|home| append(home, 2000, 3, false)),
                    Box::new(|home| watch(home, 900)),
                ]));
            let promised = promised.fold(Promised::default(), Promised::and);
            is_kept(&home.restart(), &promised, &format!("killed at {first}, then change {second}"));
        }
    }
}

#[test]
fn two_processes_that_append_to_one_log_do_it_no_harm() {
    for count in [0, 252] {
        let make = begun(count);
        for seed in 0..300 {
            let home = make(seed);
            home.set_faults(Faults { early_sight: true, ..Faults::default() });
            let loses_power = seed > 20;
            if loses_power {
                home.lose_power_at(When::Change(seed % 70));
            }
            let promised = home.interleave(vec![
                Box::new(|home| append(home, 1000, 6, false)),
                Box::new(|home| append(home, 2000, 6, false)),
                Box::new(|home| watch(home, 300)),
            ]);
            let promised = promised.into_iter().fold(Promised::default(), Promised::and);
            assert!(loses_power || promised.receipts.len() == 12, "seed {seed}: {}", promised.receipts.len());
            let home = if loses_power { home.restart() } else { home.another_process() };
            is_kept(&home, &promised, &format!("{count} records, seed {seed}"));
        }
    }
}

#[test]
fn one_that_slept_while_another_filled_a_sheet_wakes_up_behind_it() {
    let (home, sleeper) = filled(250);
    let promised = append(home.another_process(), 2000, 300, false);
    assert_eq!(
        home.list(&key("journal")).unwrap().iter().filter(|batch| batch.key == key("journal/00000000000000fa")).count(),
        0
    );
    let receipt = sleeper.append(&event(1)).unwrap();
    assert_eq!(receipt.index, 550);
    is_kept(&home, &promised, "after a long sleep");
    assert!(home.get(&key("journal/00000000000000fa")).is_err(), "what came too late is taken away");
}

#[test]
fn a_failing_home_costs_appends_and_nothing_else() {
    // Where more is read to open it, more fails.
    for (count, failed_ppm, no_space_ppm) in [(10, 60_000, 0), (250, 5_000, 0), (250, 0, 150_000), (250, 4_000, 60_000)]
    {
        let make = begun(count);
        for seed in 0..12 {
            let home = make(seed);
            home.set_faults(Faults { failed_ppm, no_space_ppm, early_sight: true, ..Faults::default() });
            let processes: Vec<_> =
                (0..4).map(|at| append(home.another_process(), 1000 * (at + 1), 12, true)).collect();
            let promised = processes.into_iter().fold(Promised::default(), Promised::and);
            assert!(!promised.receipts.is_empty(), "some get through");
            home.set_faults(Faults::default());
            is_kept(&home.another_process(), &promised, &format!("{failed_ppm} {no_space_ppm}, seed {seed}"));
        }
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_leaves_a_log_that_goes_on() {
    let (home, log) = filled(200);
    for space in [0, 1, 2, 3, 5, 8] {
        let from = home.changes() + 1 + space;
        home.no_space_during(from..from + 20);
        let results: Vec<_> = (0..8).map(|n| log.append(&event(n))).collect();
        assert!(results.iter().any(Result::is_err));
        home.no_space_during(0..0);
        let promised = results.into_iter().zip(0..).filter_map(|(result, n)| Some((result.ok()?, n))).collect();
        is_kept(&home, &Promised { receipts: promised, seen: Vec::new() }, &format!("space for {space} objects"));
    }
}
