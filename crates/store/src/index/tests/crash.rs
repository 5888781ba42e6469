//! The end of a process at any moment, and homes that fail; several processes at once.

use backstay_env::sim::objects::{Faults, When};

use super::super::Fault;
use super::*;

/// Inserts, merges, forgets and merges again.
fn work(home: &SimObjects, packs: &Packs, gone: &HashSet<Writing>) -> Result<(), IndexError> {
    let mut index = try_open(home, 1)?;
    for (n, (writing, chunks)) in packs.iter().enumerate() {
        index.insert_pack(*writing, chunks.iter().copied())?;
        if n % 3 == 0 {
            index.merge_step()?;
        }
    }
    index.flush()?;
    index.merge_step()?;
    index.forget(gone);
    while index.merge_step()? {}
    Ok(())
}

fn fixture() -> (Packs, HashSet<Writing>, Packs) {
    let packs = random_packs(&mut Dice::seeded(5), 40);
    let gone: HashSet<Writing> = packs.keys().step_by(4).copied().collect();
    let mut wanted = packs.clone();
    wanted.retain(|writing, _| !gone.contains(writing));
    (packs, gone, wanted)
}

/// Opens what a crash left, and sees that it can be made whole and tidy.
fn recover(home: &SimObjects, known: &Packs, wanted: &Packs) {
    let mut index = open(home, 99);
    check(&index, known, known);
    sync(&mut index, wanted).unwrap();
    check_all(&index, wanted);
    index.flush().unwrap();
    check_tidy(home, &mut index);
    check_all(&index, wanted);
    let mut again = open(home, 100);
    sync(&mut again, wanted).unwrap();
    assert_eq!(again.stats().unwritten, 0, "all was there");
}

#[test]
fn a_crash_at_any_operation() {
    let (packs, gone, wanted) = fixture();
    let whole = SimObjects::seeded(0);
    work(&whole, &packs, &gone).unwrap();
    let operations = whole.operations();
    recover(&whole.restart(), &packs, &wanted);
    for at in 1..=operations {
        let home = SimObjects::seeded(at);
        home.kill_at(When::Operation(at));
        work(&home, &packs, &gone).expect_err("the process was killed");
        recover(&home.another_process(), &packs, &wanted);
    }
}

#[test]
fn a_power_loss_at_any_change() {
    let (packs, gone, wanted) = fixture();
    let whole = SimObjects::seeded(0);
    work(&whole, &packs, &gone).unwrap();
    for at in 1..=whole.changes() {
        let home = SimObjects::seeded(at);
        home.lose_power_at(When::Change(at));
        work(&home, &packs, &gone).expect_err("the power failed");
        recover(&home.restart(), &packs, &wanted);
    }
}

#[test]
fn a_full_home_loses_nothing_that_was_covered() {
    let (packs, _, _) = fixture();
    for at in 1.. {
        let home = SimObjects::seeded(at);
        home.no_space_during(at..at + 3);
        let mut index = open(&home, 1);
        for (writing, chunks) in &packs {
            // What could not be written is tried again.
            while let Err(error) = index.insert_pack(*writing, chunks.iter().copied()) {
                assert!(matches!(error, IndexError::Write(_)));
                assert!(index.covers(writing));
            }
            while let Err(error) = index.merge_step() {
                assert!(matches!(error, IndexError::Write(_)));
            }
        }
        check_all(&index, &packs);
        if home.changes() < at + 3 {
            assert!(at > 10, "the home was hardly ever full");
            break;
        }
        home.no_space_during(0..0);
        index.flush().unwrap();
        check_tidy(&home, &mut index);
        check_all(&open(&home, 2), &packs);
    }
}

#[test]
fn a_home_where_operations_fail() {
    let (packs, _, _) = fixture();
    for seed in 0..60 {
        let home =
            SimObjects::with_faults(seed, Faults { failed_ppm: 30_000, no_space_ppm: 30_000, ..Faults::default() });
        let mut index = (0..100).find_map(|_| try_open(&home, seed).ok()).expect("some listing works");
        let mut failures = 0;
        for (writing, chunks) in &packs {
            failures += u32::from(index.insert_pack(*writing, chunks.iter().copied()).is_err());
            failures += u32::from(index.merge_step().is_err());
            check(&index, &packs, &packs);
        }
        home.set_faults(Faults::default());
        recover(&home, &packs, &packs);
        assert!(failures > 0 || seed > 0, "a seed without a failure proves nothing");
    }
}

/// Another process may have taken parts for those of a crashed one, or a run for one that is covered twice.
fn in_vain_at_most<T>(result: Result<T, IndexError>) {
    if let Err(error) = result {
        assert!(matches!(error, IndexError::Written { source: Fault::Missing, .. }), "{error}");
    }
}

#[test]
fn two_processes_at_once() {
    let (packs, _, _) = fixture();
    for seed in 0..40 {
        let home = SimObjects::with_faults(seed, Faults { early_sight: seed % 2 == 0, ..Faults::default() });
        let process = |seed: u64| {
            let packs = &packs;
            let work = move |home: SimObjects| {
                let mut index = open(&home, seed);
                // Each has some packs of its own, and half of all in common.
                let mine = packs.iter().enumerate().filter(|(n, _)| n % 2 == 0 || n % 3 == seed as usize % 3);
                for (n, (writing, chunks)) in mine {
                    in_vain_at_most(index.insert_pack(*writing, chunks.iter().copied()));
                    if n % 4 == 0 {
                        index.refresh().unwrap();
                    }
                    in_vain_at_most(index.merge_step());
                }
                check(&index, packs, packs);
                in_vain_at_most(index.flush());
            };
            Box::new(work) as Box<dyn FnOnce(SimObjects) + Send>
        };
        home.interleave(vec![process(2 * seed), process(2 * seed + 1)]);
        recover(&home, &packs, &packs);
    }
}
