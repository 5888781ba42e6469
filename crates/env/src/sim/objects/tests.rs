//! The simulated home: that it does what its table of faults says, and nothing else.

use super::*;

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

const CERTAIN: u32 = 1_000_000;

fn world(seed: u64, prefix: &str, zone: Zone) -> SimObjects {
    let zones = vec![(prefix.to_string(), zone)];
    SimObjects::with_faults(seed, Faults { zones, ..Faults::default() })
}

#[test]
fn in_a_perfect_world_what_was_acknowledged_survives_a_power_loss() {
    let home = SimObjects::seeded(1);
    home.put(&key("a/b"), &[b"1"]).unwrap();
    home.put_new(&key("a/c"), &[b"2"]).unwrap();
    home.put(&key("a/d"), &[b"3"]).unwrap();
    home.delete(&key("a/d")).unwrap();
    let home = home.restart();
    assert_eq!(home.get(&key("a/b")).unwrap(), b"1");
    assert_eq!(home.get(&key("a/c")).unwrap(), b"2");
    assert_eq!(home.list(&key("a")).unwrap().len(), 2);
    assert_eq!(home.log().iter().map(|injected| &injected.fault).collect::<Vec<_>>(), [&Fault::PowerLoss]);
}

#[test]
fn a_put_under_way_is_there_whole_or_not_at_all() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let home = SimObjects::seeded(seed);
        home.put(&key("a/b"), &[b"old"]).unwrap();
        home.lose_power_at(When::Change(2));
        assert!(matches!(home.put(&key("a/b"), &[b"new"]), Err(ObjectError::Io { .. })));
        assert!(home.get(&key("a/b")).is_err(), "no power");
        let after = home.restart();
        assert!(home.get(&key("a/b")).is_err(), "a process does not survive a power loss");
        outcomes.insert(after.get(&key("a/b")).unwrap());
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [b"new", b"old"]);
}

#[test]
fn a_killed_process_leaves_the_others_alone() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let one = SimObjects::seeded(seed);
        let other = one.another_process();
        one.kill_at(When::Operation(1));
        assert!(one.put(&key("a/b"), &[b"x"]).is_err());
        assert!(one.list(&key("a")).is_err());
        outcomes.insert(other.list(&key("a")).unwrap().len());
        other.put(&key("a/c"), &[b"y"]).unwrap();
        // Whatever was seen in the folder survives with what was acknowledged in it.
        let seen = other.list(&key("a")).unwrap();
        assert_eq!(other.restart().list(&key("a")).unwrap(), seen);
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_lying_disk_undoes_puts_and_deletions_where_it_may() {
    let zone = Zone { lost_ppm: CERTAIN, undeleted_ppm: CERTAIN, ..Zone::default() };
    let home = world(1, "packs/", zone);
    home.set_faults(Faults::default());
    home.put(&key("packs/kept"), &[b"1"]).unwrap();
    home.set_faults(Faults { zones: vec![("packs/".to_string(), zone)], ..Faults::default() });
    home.put(&key("packs/new"), &[b"2"]).unwrap();
    home.put(&key("points/new"), &[b"3"]).unwrap();
    home.delete(&key("packs/kept")).unwrap();
    assert_eq!(home.list(&key("packs")).unwrap().len(), 1, "until then nobody can tell");
    let home = home.restart();
    assert!(matches!(home.get(&key("packs/new")), Err(ObjectError::NotFound(_))));
    assert_eq!(home.get(&key("packs/kept")).unwrap(), b"1");
    assert_eq!(home.get(&key("points/new")).unwrap(), b"3");
    let faults: Vec<_> = home.log().into_iter().map(|injected| injected.fault).collect();
    let expected =
        [Fault::PowerLoss, Fault::Undeleted { key: key("packs/kept") }, Fault::Lost { key: key("packs/new") }];
    assert_eq!(faults, expected);
}

#[test]
fn a_torn_put_leaves_blocks_of_zeros_or_a_missing_end() {
    let body = vec![7u8; 64 * 1024];
    let (mut short, mut gaps) = (0, 0);
    for seed in 0..64 {
        let home = world(seed, "packs/", Zone { torn_ppm: CERTAIN, ..Zone::default() });
        home.lose_power_at(When::Change(1));
        home.put(&key("packs/a"), &[&body]).unwrap_err();
        let Ok(torn) = home.restart().get(&key("packs/a")) else {
            continue;
        };
        assert!(torn.chunks(4096).all(|block| block.iter().all(|byte| *byte == block[0])));
        short += u32::from(torn.len() < body.len());
        gaps += u32::from(torn.len() == body.len() && torn != body);
    }
    assert!(short > 5 && gaps > 5, "{short} short, {gaps} with gaps");
}

/// Bytes of `object` that differ from `was`, as blocks.
fn damaged_blocks(was: &[u8], is: &[u8]) -> Vec<usize> {
    assert_eq!(was.len(), is.len());
    let pairs = was.chunks(4096).zip(is.chunks(4096)).enumerate();
    pairs.filter(|(_, (was, is))| was != is).map(|(block, _)| block).collect()
}

#[test]
fn rot_and_stray_writes_keep_to_their_zone_and_their_number() {
    let zone = Zone { flipped_ppm: 300_000, misdirected_ppm: 300_000, damages: 1, ..Zone::default() };
    let (mut flipped, mut misdirected) = (0, 0);
    for seed in 0..20 {
        let home = world(seed, "packs/", zone);
        let body = vec![7u8; 5 * 4096 + 100];
        for n in 0..30 {
            home.put(&key(&format!("packs/{n}")), &[&body]).unwrap();
            home.put(&key(&format!("points/{n}")), &[&body]).unwrap();
        }
        home.set_faults(Faults::default());
        for listed in home.list(&key("points")).unwrap() {
            assert_eq!(home.get(&listed.key).unwrap(), body);
        }
        for injected in home.log() {
            let (key, block) = match injected.fault {
                Fault::Flipped { key, offset, .. } => {
                    flipped += 1;
                    (key, offset / 4096)
                }
                Fault::Misdirected { key, range } => {
                    misdirected += 1;
                    assert!(range.end <= body.len() as u64 && range.end - range.start <= 4096);
                    (key, range.start / 4096)
                }
                other => panic!("{other:?} is not in the table"),
            };
            let damaged = damaged_blocks(&body, &home.get(&key).unwrap());
            assert!(damaged.is_empty() || damaged == [block as usize], "{key}: {damaged:?}, block {block}");
        }
    }
    assert!(flipped > 50 && misdirected > 50, "{flipped} flipped, {misdirected} misdirected");
}

#[test]
fn a_full_disk_changes_nothing_and_has_space_again_after_a_deletion() {
    let home = SimObjects::with_faults(1, Faults { space: Some(100), ..Faults::default() });
    home.put(&key("a/b"), &[&[1; 60]]).unwrap();
    assert!(matches!(home.put(&key("a/c"), &[&[1; 60]]), Err(ObjectError::NoSpace(_))));
    assert_eq!(home.list(&key("a")).unwrap().len(), 1);
    home.delete(&key("a/b")).unwrap();
    home.put(&key("a/c"), &[&[1; 60]]).unwrap();
    home.set_faults(Faults::default());
    home.no_space_during(6..8);
    let puts = (0..4).map(|n| home.put(&key(&format!("b/{n}")), &[b"x"]).is_ok());
    assert_eq!(puts.collect::<Vec<_>>(), [true, false, false, true], "these are changes 5 to 8");
}

#[test]
fn a_failure_says_so_and_has_done_all_or_nothing() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let home = SimObjects::with_faults(seed, Faults { failed_ppm: CERTAIN, ..Faults::default() });
        assert!(matches!(home.put_new(&key("a/b"), &[b"x"]), Err(ObjectError::Io { .. })));
        home.set_faults(Faults::default());
        let is_there = home.get(&key("a/b")).is_ok();
        assert_eq!(home.log()[0].fault, Fault::Failed { key: key("a/b"), done: is_there });
        outcomes.insert(is_there);
    }
    assert_eq!(outcomes.len(), 2);
}

/// Three processes that count under one name, as far as they get.
fn race(seed: u64, faults: &Faults) -> (Vec<Injected>, Vec<String>, Vec<usize>) {
    let home = SimObjects::with_faults(seed, faults.clone());
    home.lose_power_at(When::Operation(90));
    let count = |home: SimObjects| {
        let mut mine = 0usize;
        for n in 0..20 {
            match home.put_new(&key(&format!("n/{n:02}")), &[b"x"]) {
                Ok(()) => mine += 1,
                Err(ObjectError::Exists(_)) => {}
                Err(_) => break,
            }
            let _crowd = home.list(&key("n"));
        }
        mine
    };
    let mine = home.interleave((0..3).map(|_| Box::new(count) as Process<'_, usize>).collect());
    let after = home.restart();
    after.set_faults(Faults::default());
    let left = after.list(&key("n")).unwrap().into_iter().map(|listed| listed.key.to_string()).collect();
    (after.log(), left, mine)
}

#[test]
fn one_seed_replays_one_interleaving_and_seeds_differ() {
    let zone = Zone { torn_ppm: 100_000, lost_ppm: 100_000, flipped_ppm: 100_000, damages: 2, ..Zone::default() };
    let zones = vec![("n/".to_string(), zone)];
    let faults = Faults { zones, failed_ppm: 50_000, early_sight: true, ..Faults::default() };
    let mut winners = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let run = race(seed, &faults);
        assert_eq!(run, race(seed, &faults), "seed {seed}");
        winners.insert(run.2);
    }
    assert!(winners.len() > 10, "{winners:?}");
}

#[test]
fn early_sight_shows_what_a_power_loss_takes_back() {
    let mut taken_back = 0;
    for seed in 0..200 {
        let home = SimObjects::with_faults(seed, Faults { early_sight: true, ..Faults::default() });
        home.lose_power_at(When::Operation(3));
        let write = |home: SimObjects| home.put(&key("a/b"), &[b"x"]).is_ok();
        let watch = |home: SimObjects| {
            let seen = home.get(&key("a/b")).is_ok();
            seen | home.get(&key("a/b")).is_ok()
        };
        let outcome = home.interleave(vec![Box::new(write) as Process<'_, bool>, Box::new(watch)]);
        let survived = home.restart().get(&key("a/b")).is_ok();
        assert!(survived || !outcome[0], "seed {seed}: acknowledged and gone");
        taken_back += u32::from(outcome[1] && !survived);
    }
    assert!(taken_back > 5, "{taken_back}");
}

#[test]
fn what_was_settled_stays_seen() {
    let mut seen = 0;
    for seed in 0..64 {
        let home = SimObjects::with_faults(seed, Faults { early_sight: true, ..Faults::default() });
        let other = home.another_process();
        home.kill_at(When::Change(1));
        home.put(&key("a/b"), &[b"x"]).unwrap_err();
        let before = other.list(&key("a")).unwrap();
        other.settle(&key("a")).unwrap();
        assert_eq!(other.restart().list(&key("a")).unwrap(), before, "seed {seed}");
        seen += before.len();
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn settling_makes_no_lie_true_and_reaches_no_folder_below() {
    let home = world(1, "a/", Zone { lost_ppm: CERTAIN, ..Zone::default() });
    home.put(&key("a/b"), &[b"x"]).unwrap();
    home.settle(&key("a")).unwrap();
    assert!(home.restart().get(&key("a/b")).is_err(), "it had said Ok, and lied");
    let below = (0..64).map(|seed| {
        let home = SimObjects::with_faults(seed, Faults { early_sight: true, ..Faults::default() });
        let other = home.another_process();
        home.kill_at(When::Change(1));
        home.put(&key("a/b/c"), &[b"x"]).unwrap_err();
        other.settle(&key("a")).unwrap();
        other.get(&key("a/b/c")).is_ok() && other.restart().get(&key("a/b/c")).is_err()
    });
    assert!(below.filter(|gone| *gone).count() > 3);
}

#[test]
fn what_a_dead_process_left_at_a_server_stays() {
    for seed in 0..64 {
        let home = SimObjects::seeded(seed).remote();
        let other = home.another_process();
        home.kill_at(When::Change(1));
        home.put(&key("a/b"), &[b"x"]).unwrap_err();
        let before = other.list(&key("a")).unwrap();
        assert_eq!(other.restart().list(&key("a")).unwrap(), before, "seed {seed}");
    }
}

#[test]
fn a_fork_is_a_world_of_its_own() {
    let home = SimObjects::seeded(1);
    home.put(&key("a/b"), &[b"x"]).unwrap();
    let fork = home.fork();
    assert!(fork.tamper(&key("a/b"), |bytes| bytes[0] = b'y'));
    assert_eq!(home.get(&key("a/b")).unwrap(), b"x");
    assert_eq!(fork.restart().get(&key("a/b")).unwrap(), b"y", "and durable there");
}

#[test]
#[should_panic(expected = "below what is an object")]
fn a_name_below_an_object_is_the_callers_bug() {
    let home = SimObjects::seeded(1);
    home.put(&key("a"), &[b"x"]).unwrap();
    let _never = home.put(&key("a/b"), &[b"x"]);
}
