//! Agents, links and a server on as many seeds as a test has time for; and that this can fail.
//!
//! Never knows: how a run is made.

use backstay_sim::{Bug, Options, Tally, server};

/// Seeds that a test runs.
const SEEDS: u64 = 300;

#[test]
fn agents_links_and_a_server_are_green_and_not_idle() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let report = server::run(seed, &Options { witness: 16, bug: None });
        if report.failure.is_some() {
            report.trace.iter().for_each(|line| println!("    {line}"));
        }
        assert_eq!(report.failure, None, "seed {seed}");
        tally += report.tally;
    }
    println!("{tally}");
    let counts = [
        tally.points_made,
        tally.points_in_doubt,
        tally.points_compared,
        tally.sessions,
        tally.messages,
        tally.links_cut,
        tally.messages_swallowed,
        tally.patience_lost,
        tally.messages_mangled,
        tally.second_sessions,
        tally.servers_dead,
        tally.learned_later,
        tally.witnessed,
    ];
    assert_eq!(tally.runs, SEEDS);
    assert!(counts.iter().all(|count| *count > 0), "something never happened: {tally}");
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..12 {
        let (once, again) = (server::run(seed, &Options::default()), server::run(seed, &Options::default()));
        assert!(!once.trace.is_empty());
        assert_eq!((once.trace, once.tally), (again.trace, again.tally), "seed {seed}");
    }
}

/// The oracle catches a planted bug within so many seeds.
fn is_caught(bug: Bug) {
    let red = |seed| server::run(seed, &Options { bug: Some(bug), witness: 0 }).failure;
    let caught = (0..SEEDS).find_map(|seed| Some((seed, red(seed)?)));
    assert!(caught.is_some(), "{bug:?} went unnoticed in {SEEDS} seeds");
    println!("{bug:?}: {caught:?}");
}

#[test]
fn a_server_that_acknowledges_before_it_keeps_is_caught() {
    is_caught(Bug::AcknowledgesEarly);
}

#[test]
fn a_server_that_mixes_machines_is_caught() {
    is_caught(Bug::MixesMachines);
}

#[test]
fn an_agent_that_clears_its_marks_too_early_is_caught() {
    is_caught(Bug::ClearsMarksEarly);
}

#[test]
fn an_agent_that_takes_silence_for_success_is_caught() {
    is_caught(Bug::BelievesSilence);
}
