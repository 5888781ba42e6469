//! The ledger against a model: several writers, folding at any time, damage.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use backstay_env::objects::{Key, Objects};
use backstay_env::random::Random;
use backstay_env::real::folder::Folder;
use backstay_env::real::system::SystemRandom;
use backstay_env::sim::objects::{Faults, Process, SimObjects, When};
use backstay_env::sim::random::SimRandom;
use backstay_format::ledger::Change;
use backstay_format::units::{StoreId, Timestamp, VaultId};
use backstay_seal::Secret;
use backstay_store::ledger::{CommitError, End, Ledger, Place, View};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    _dir: tempfile::TempDir,
    home: Arc<dyn Objects>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Arc::new(Folder::create(dir.path().join("store")).unwrap());
        World { _dir: dir, home }
    }

    fn place(&self) -> Place {
        place(self.home.clone())
    }

    fn open(&self) -> Ledger {
        Ledger::open(self.place(), Arc::new(SystemRandom)).unwrap()
    }

    fn names(&self, kind: &str) -> Vec<Key> {
        let prefix = Key::new(format!("vault/main/ledger/{kind}")).unwrap();
        self.home.list(&prefix).unwrap().into_iter().map(|l| l.key).collect()
    }

    fn spoil(&self, key: &Key, at: usize, len: usize) {
        let mut bytes = self.home.get(key).unwrap();
        let end = (at + len).min(bytes.len());
        bytes[at..end].iter_mut().for_each(|b| *b ^= 0x55);
        self.home.put(key, &[&bytes]).unwrap();
    }
}

fn place(home: Arc<dyn Objects>) -> Place {
    Place {
        home,
        folder: "vault/main/ledger".into(),
        store: StoreId([1; 16]),
        vault: VaultId([2; 16]),
        key: Secret([3; 32]),
    }
}

fn set(key: u32, value: u32) -> Change {
    Change { key: key.to_be_bytes().to_vec(), value: Some(value.to_le_bytes().to_vec()) }
}

fn rows(view: &View) -> Model {
    view.prefix(b"").unwrap().into_iter().collect()
}

fn commit(ledger: &Ledger, changes: Vec<Change>) -> Arc<View> {
    let outcome = ledger.commit::<()>(("test", Timestamp(0)), |_| Ok(changes.clone()));
    outcome.unwrap_or_else(|e| panic!("{e:?}"))
}

/// A small generator: the tests need variety, not quality.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A range of keys, taken from both ends, counted and read by pieces.
fn assert_ranges_agree(view: &View, model: &Model, dice: &mut Dice) {
    let key = |dice: &mut Dice| (dice.roll(3100) as u32).to_be_bytes();
    let (one, other, most) = (key(dice), key(dice), dice.roll(700) as usize);
    let (from, to) = (Bound::Included(&one.min(other)[..]), Bound::Excluded(&one.max(other)[..]));
    let all: Vec<_> = model.range::<[u8], _>((from, to)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let back: Vec<_> = all.iter().rev().take(most).cloned().collect();
    assert_eq!(view.some_in((from, to), End::First, most).unwrap(), all[..most.min(all.len())]);
    assert_eq!(view.some_in((from, to), End::Last, most).unwrap(), back);
    assert_eq!(view.count(from, to).unwrap(), all.len() as u64);
    let pieces = view.pieces(from, to);
    let rows = pieces.iter().flat_map(|piece| view.piece_rows(piece).unwrap().as_ref().clone());
    let inside = |(k, _): &(Vec<u8>, Vec<u8>)| one.min(other)[..] <= **k && **k < one.max(other)[..];
    assert_eq!(rows.filter(inside).collect::<Vec<_>>(), all);
}

#[test]
fn several_writers_agree_with_a_model_whoever_folds() {
    for seed in 0..12 {
        let (world, mut dice, mut model) = (World::new(), Dice(seed), Model::new());
        let writers: Vec<Ledger> = (0..3).map(|_| world.open()).collect();
        for step in 0..250u32 {
            let writer = &writers[dice.roll(3) as usize];
            let mut changes: BTreeMap<Vec<u8>, Change> = BTreeMap::new();
            for _ in 0..=dice.roll(6) {
                let mut change = set(dice.roll(3000) as u32, step);
                if dice.roll(4) == 0 {
                    change.value = None;
                }
                changes.insert(change.key.clone(), change);
            }
            for change in changes.values() {
                match &change.value {
                    Some(value) => model.insert(change.key.clone(), value.clone()),
                    None => model.remove(&change.key),
                };
            }
            let view = commit(writer, changes.into_values().collect());
            assert_eq!(view.seq(), u64::from(step) + 1);
            if dice.roll(20) == 0 {
                writers[dice.roll(3) as usize].fold().unwrap();
            }
            if dice.roll(10) == 0 {
                assert_eq!(rows(&writers[dice.roll(3) as usize].refresh().unwrap()), model, "seed {seed} step {step}");
            }
        }
        assert_eq!(rows(&world.open().view()), model, "seed {seed}");
        for _ in 0..40 {
            assert_ranges_agree(&writers[dice.roll(3) as usize].refresh().unwrap(), &model, &mut dice);
        }
        assert!(world.names("state").len() <= 2 && world.names("entry").len() < 250);
        for key in model.keys().take(50) {
            assert_eq!(world.open().view().get(key).unwrap().as_ref(), model.get(key));
        }
    }
}

#[test]
fn a_writer_that_slept_through_folds_commits_after_the_others() {
    let world = World::new();
    let (sleeper, busy) = (world.open(), world.open());
    commit(&sleeper, vec![set(1, 1)]);
    for value in 0..10 {
        commit(&busy, vec![set(2, value)]);
        busy.fold().unwrap();
    }
    assert!(world.names("entry").len() <= 2, "old entries are folded away");
    let view = commit(&sleeper, vec![set(3, 3)]);
    assert_eq!((view.seq(), rows(&view).len()), (12, 3));
    assert_eq!(rows(&busy.refresh().unwrap()), rows(&view));
}

#[test]
fn decisions_rest_on_everything_before_them() {
    let world = World::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ledger = world.open();
                for _ in 0..25 {
                    let outcome = ledger.commit::<()>(("count", Timestamp(0)), |view| {
                        let now = view.get(b"n").unwrap().map_or(0, |v| u32::from_le_bytes(v.try_into().unwrap()));
                        Ok(vec![Change { key: b"n".to_vec(), value: Some((now + 1).to_le_bytes().to_vec()) }])
                    });
                    assert!(outcome.is_ok());
                    ledger.fold_if_due().unwrap();
                }
            });
        }
    });
    assert_eq!(world.open().view().get(b"n").unwrap(), Some(100u32.to_le_bytes().to_vec()));
}

#[test]
fn a_refusal_writes_nothing() {
    let world = World::new();
    let outcome = world.open().commit(("test", Timestamp(0)), |_| Err::<Vec<Change>, _>("no"));
    assert!(matches!(outcome, Err(CommitError::Refused("no"))));
    assert!(world.names("entry").is_empty());
}

#[test]
fn one_damaged_copy_of_anything_costs_nothing() {
    let world = World::new();
    let ledger = world.open();
    for i in 0..70 {
        commit(&ledger, (0..20).map(|k| set(i * 20 + k, i)).collect());
        if i == 30 || i == 60 {
            ledger.fold().unwrap();
        }
    }
    let expected = rows(&ledger.view());
    for kind in ["entry", "state", "parts"] {
        for key in world.names(kind) {
            let whole = world.home.get(&key).unwrap();
            let second = backstay_format::twin::second_copy(whole.len() as u64) as usize;
            for (at, len) in [(0, second), (second, whole.len() - second)] {
                world.spoil(&key, at, len);
                assert_eq!(rows(&world.open().view()), expected, "{key} from {at}");
                assert!(!world.open().check().unwrap().is_empty(), "{key} from {at} is found");
                world.home.put(&key, &[&whole]).unwrap();
            }
        }
    }
    assert!(world.open().check().unwrap().is_empty());
}

#[test]
fn an_unreadable_newest_state_is_made_good_by_the_one_before() {
    let world = World::new();
    let ledger = world.open();
    for i in 0..90 {
        commit(&ledger, vec![set(i, i)]);
        if i % 30 == 29 {
            ledger.fold().unwrap();
        }
    }
    let newest = world.names("state").pop().unwrap();
    world.home.put(&newest, &[b"rot"]).unwrap();
    assert_eq!(rows(&world.open().view()), rows(&ledger.view()));
}

#[test]
fn a_lost_part_is_made_good_by_the_state_before_and_written_again() {
    for gone in [false, true] {
        let world = World::new();
        let ledger = world.open();
        for i in 0..90 {
            commit(&ledger, vec![set(i, i), set(i % 7, i)]);
            if i == 29 || i == 59 {
                ledger.fold().unwrap();
            }
        }
        let newest = world.names("parts").pop().unwrap();
        match gone {
            true => world.home.delete(&newest).unwrap(),
            false => world.spoil(&newest, 60, usize::MAX - 60),
        }
        let after = world.open();
        let error = after.check().unwrap().pop().unwrap();
        assert!(error.is_damage() && error.to_string().contains(newest.as_str()), "{error}");
        assert_eq!(rows(&after.view()), rows(&ledger.view()));
        assert_eq!(after.view().get(&3u32.to_be_bytes()).unwrap(), ledger.view().get(&3u32.to_be_bytes()).unwrap());
        for i in 0..2 {
            commit(&after, vec![set(200 + i, i)]);
            assert!(after.fold().unwrap());
        }
        assert!(after.check().unwrap().is_empty(), "it was written again");
        assert_eq!(rows(&world.open().view()), rows(&after.view()));
    }
}

#[test]
fn a_view_whose_state_was_folded_away_is_old_not_damaged() {
    let world = World::new();
    let ledger = world.open();
    (0..20).for_each(|i| drop(commit(&ledger, vec![set(i, i)])));
    ledger.fold().unwrap();
    let old = world.open().view();
    for i in 20..24 {
        commit(&ledger, vec![set(i, i)]);
        ledger.fold().unwrap();
    }
    assert!(old.prefix(b"").is_err_and(|e| !e.is_damage()));
}

#[test]
fn damage_is_never_passed_off_as_the_newest() {
    let world = World::new();
    let ledger = world.open();
    (0..5).for_each(|i| drop(commit(&ledger, vec![set(i, i)])));
    let entries = world.names("entry");
    world.home.put(&entries[3], &[b"rot"]).unwrap();
    assert!(Ledger::open(world.place(), Arc::new(SystemRandom)).is_err_and(|e| e.is_damage()));
    world.home.delete(&entries[3]).unwrap();
    assert!(Ledger::open(world.place(), Arc::new(SystemRandom)).is_err_and(|e| e.is_damage()));
    let (before, damage) = Ledger::open_before_damage(world.place(), Arc::new(SystemRandom)).unwrap();
    assert_eq!((before.view().seq(), damage.is_some()), (3, true));
    let mut unused = [0];
    SystemRandom.fill(&mut unused);
}

/// A ledger of 100 entries with two states that cannot be read, and all its entries.
fn torn_twice() -> (World, Vec<Key>) {
    let world = World::new();
    let ledger = world.open();
    for i in 0..100 {
        commit(&ledger, vec![set(i, i)]);
        if i == 39 || i == 79 {
            ledger.fold().unwrap();
            // Torn at once: a power loss in the midst of it.
            world.home.put(&world.names("state").pop().unwrap(), &[b"rot"]).unwrap();
        }
    }
    let entries = world.names("entry");
    assert_eq!((world.names("state").len(), entries.len()), (2, 100));
    (world, entries)
}

#[test]
fn without_a_state_that_can_be_read_all_entries_are_applied() {
    let (world, _) = torn_twice();
    let ledger = world.open();
    assert_eq!((ledger.view().seq(), rows(&ledger.view()).len()), (100, 100));
    assert_eq!(ledger.refresh().unwrap().seq(), 100);
    assert_eq!(ledger.check().unwrap().len(), 2, "both states are named");
    commit(&ledger, vec![set(100, 100)]);
    assert!(ledger.fold().unwrap());
    assert_eq!(rows(&world.open().view()), rows(&ledger.view()));
}

#[test]
fn without_a_state_that_can_be_read_a_missing_entry_is_damage() {
    for missing in [0, 50] {
        let (world, entries) = torn_twice();
        world.home.delete(&entries[missing]).unwrap();
        assert!(Ledger::open(world.place(), Arc::new(SystemRandom)).is_err_and(|e| e.is_damage()), "{missing}");
    }
    let (world, entries) = torn_twice();
    entries[70..].iter().for_each(|entry| world.home.delete(entry).unwrap());
    let opened = Ledger::open(world.place(), Arc::new(SystemRandom));
    assert!(opened.is_err_and(|e| e.is_damage()), "a state of a later entry was there");
}

#[test]
fn what_comes_after_a_damaged_entry_is_named() {
    let world = World::new();
    let ledger = world.open();
    (0..5).for_each(|i| drop(commit(&ledger, vec![set(i, i)])));
    let entries = world.names("entry");
    world.home.put(&entries[2], &[b"rot"]).unwrap();
    let (before, _) = Ledger::open_before_damage(world.place(), Arc::new(SystemRandom)).unwrap();
    let beyond = before.beyond().unwrap();
    assert_eq!(beyond.iter().map(|b| (b.seq, b.entry.is_ok())).collect::<Vec<_>>(), [(3, false), (4, true), (5, true)]);
    assert_eq!(before.entry_name(3), entries[2].as_str());
}

/// A process is killed while it writes an entry, another builds on what it sees, and the power fails.
fn build_on_what_is_seen(seed: u64, fold: bool) -> bool {
    let home = SimObjects::with_faults(seed, Faults { early_sight: true, ..Faults::default() });
    let open = |home: SimObjects| Ledger::open(place(Arc::new(home)), Arc::new(SimRandom::seeded(seed)));
    commit(&open(home.another_process()).unwrap(), vec![set(1, 1)]);
    let dying = home.another_process();
    let ledger = open(dying.clone()).unwrap();
    dying.kill_at(When::Change(home.changes() + 1));
    let outcome = ledger.commit::<()>(("test", Timestamp(0)), |_| Ok(vec![set(2, 2)]));
    assert!(outcome.is_err(), "seed {seed}");
    let other = open(home.another_process()).unwrap();
    let seen = other.view().seq();
    match fold {
        true => drop(other.fold().unwrap()),
        false => home.lose_power_at(When::Change(home.changes() + 1)),
    }
    let mut shown = 0;
    let outcome = other.commit::<()>(("test", Timestamp(0)), |view| {
        shown = view.seq();
        Ok(if fold { vec![] } else { vec![set(3, 3)] })
    });
    assert_eq!((outcome.is_ok(), shown), (fold, seen), "seed {seed}");
    let after = open(home.restart()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    assert!(after.view().seq() >= seen, "seed {seed}: what was built on is gone");
    let went_on = commit(&after, vec![set(4, 4)]);
    assert!(went_on.seq() > seen, "seed {seed}");
    seen == 2
}

#[test]
fn what_a_dead_writer_left_to_be_seen_stays_once_another_builds_on_it() {
    for fold in [false, true] {
        let seen = (0..200).filter(|seed| build_on_what_is_seen(*seed, fold)).count();
        assert!(seen > 50, "the dead writer's entry was seen {seen} times");
    }
}

#[test]
fn writers_that_fold_at_once_disturb_nobody() {
    for seed in 0..50 {
        let home = SimObjects::seeded(seed);
        let open =
            |home: SimObjects, salt| Ledger::open(place(Arc::new(home)), Arc::new(SimRandom::seeded(salt))).unwrap();
        let first = open(home.another_process(), 1);
        (0..20).for_each(|n| drop(commit(&first, vec![set(n, n)])));
        let fold = |salt| -> Process<'_, ()> {
            Box::new(move |process| {
                let ledger = open(process, salt);
                ledger.fold().unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
            })
        };
        home.interleave(vec![fold(2), fold(3)]);
        let after = open(home.another_process(), 4);
        assert_eq!((after.view().seq(), rows(&after.view()).len()), (20, 20), "seed {seed}");
        assert!(after.check().unwrap().is_empty(), "seed {seed}");
    }
}
