//! What is appended is there, in order, with its names and proofs, from many threads and over restarts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_audit::tree::Hash;
use backstay_audit::{AuditError, Event, Finding, Keys, Log};
use backstay_env::objects::Objects as _;
use backstay_env::real::folder::Folder;
use backstay_env::sim::objects::SimObjects;
use backstay_env::time::{Clock, Timestamp};
use backstay_seal::Secret;

use crate::world::{ORIGIN, event, filled, judge, key, keys, open, seams};

#[test]
fn what_is_appended_is_read_back_with_its_names() {
    let (home, log) = filled(700);
    let shown = log.read(0..u64::MAX).unwrap();
    assert_eq!(shown.len(), 700);
    for (n, shown) in shown.iter().enumerate() {
        let names = shown.names.as_ref().expect("names are kept");
        assert_eq!((shown.index, names), (n as u64, &event(n as u64).names));
        assert_eq!(shown.record.success, Some(n % 3 != 0));
    }
    assert!(shown.is_sorted_by_key(|shown| shown.record.time));
    assert_eq!(log.read(255..258).unwrap(), shown[255..258]);
    assert_eq!(log.read(700..900).unwrap(), []);
    let report = judge(&home, None);
    assert!(report.holds(), "{:?}", report.findings);
}

#[test]
fn a_log_goes_on_after_a_restart_at_every_length_around_a_sheet() {
    let (home, mut log) = filled(253);
    for n in 253..261 {
        drop(log);
        log = open(&home);
        assert_eq!(log.append(&event(n)).unwrap().index, n);
    }
    assert!(judge(&home, None).holds());
    assert_eq!(log.read(250..261).unwrap().last().and_then(|shown| shown.names.clone()), Some(event(260).names));
}

#[test]
fn proofs_hold_for_their_record_only() {
    let (home, log) = filled(300);
    for index in [0, 1, 255, 256, 299] {
        let proof = log.prove(index).unwrap();
        let sheet = home.get(&key(if index < 256 { "tile/entries/000" } else { "tile/entries/001.p/44" })).unwrap();
        let records = backstay_audit::tile::decode_sheet(&sheet).unwrap();
        assert!(proof.holds(log.verifier_key(), &records[index as usize % 256]));
        assert!(!proof.holds(log.verifier_key(), &records[(index as usize + 1) % 44]));
    }
    assert!(matches!(log.prove(300), Err(AuditError::NoRecord(300))));
}

#[test]
fn many_threads_append_at_once_and_each_gets_its_own_number() {
    let folder = tempfile::tempdir().unwrap();
    let seams = seams(Folder::open(folder.path()).unwrap(), 1);
    let log = Log::open(&seams, &keys(), ORIGIN).unwrap();
    let mut numbers = BTreeSet::new();
    std::thread::scope(|scope| {
        let append = |thread: u64| {
            let log = &log;
            move || (0..40).map(|n| log.append(&event(thread * 40 + n)).unwrap().index).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(append(thread))).collect();
        for thread in threads {
            let mine = thread.join().unwrap();
            assert!(mine.is_sorted(), "a thread's events are in its order");
            numbers.extend(mine);
        }
    });
    assert_eq!(numbers, (0..320).collect());
    let mut objects: Vec<String> =
        log.read(0..320).unwrap().into_iter().map(|shown| shown.names.unwrap().object).collect();
    objects.sort();
    let mut expected: Vec<String> = (0..320).map(|n| event(n).names.object).collect();
    expected.sort();
    assert_eq!(objects, expected);
}

#[test]
fn what_no_record_can_hold_is_refused_and_changes_nothing() {
    let (home, log) = filled(3);
    let before = home.changes();
    let long = "x".repeat(5000);
    for bad in [event(0).by(&long), event(0).on(&long), event(0).detail(&long.repeat(4))] {
        assert!(matches!(log.append(&bad), Err(AuditError::Event(_))));
    }
    let early = Event { success: Some(true), ..Event::intent("restore") };
    let late = Event { success: None, ..Event::outcome(0, "restore", true) };
    assert!(matches!(log.append(&early), Err(AuditError::Event(_))));
    assert!(matches!(log.append(&late), Err(AuditError::Event(_))));
    assert_eq!(home.changes(), before);
}

#[test]
fn only_who_has_the_key_goes_on_with_a_log() {
    let (home, _) = filled(3);
    let other = Keys::derive(&Secret([8; 32]));
    let opened = Log::open(&seams(home.clone(), 1), &other, ORIGIN).err();
    assert!(matches!(opened, Some(AuditError::Foreign)));
    let opened = Log::open(&seams(home.clone(), 1), &keys(), "backstay.example/other").err();
    assert!(matches!(opened, Some(AuditError::Foreign)));
    for origin in ["", "a b", "a+b", "a\nb"] {
        let opened = Log::open(&seams(SimObjects::seeded(1), 1), &keys(), origin).err();
        assert!(matches!(opened, Some(AuditError::Origin(_))), "{origin:?}");
    }
}

#[test]
fn a_log_without_its_checkpoint_is_not_begun_anew() {
    for count in [1, 300] {
        let (home, _) = filled(count);
        home.delete(&key("checkpoint")).unwrap();
        let opened = Log::open(&seams(home.clone(), 1), &keys(), ORIGIN).err();
        assert!(matches!(opened, Some(AuditError::Damaged { .. })), "{opened:?}");
    }
}

#[test]
fn an_older_log_is_its_beginning_and_no_other() {
    let (home, log) = filled(10);
    let (old, _) = log.checkpoint().unwrap();
    (10..300).for_each(|n| assert_eq!(log.append(&event(n)).unwrap().index, n));
    assert!(log.begins_with(&old).unwrap());
    let other = backstay_audit::checkpoint::Checkpoint { root: Hash([1; 32]), ..old.clone() };
    assert!(!log.begins_with(&other).unwrap());
    let longer = backstay_audit::checkpoint::Checkpoint { size: 301, ..old };
    assert!(!log.begins_with(&longer).unwrap());
    drop(home);
}

#[test]
fn little_is_left_behind() {
    let (home, _) = filled(720);
    let under = |name: &str| home.list(&key(name)).unwrap().len();
    // The batches and partial forms of the sheet that is being filled, and what was not swept yet.
    assert_eq!(under("journal"), 720 - 512);
    assert_eq!(under("tile/entries/000.p") + under("tile/0/000.p"), 0);
    assert_eq!(under("tile/entries/001.p") + under("tile/0/001.p"), 0);
    assert_eq!((under("names"), under("tile/0")), (2, 2 + 208));
}

/// A clock that kills whoever reads it once too often.
struct Deadly(AtomicU64);

impl Clock for Deadly {
    fn now(&self) -> Timestamp {
        let readings = self.0.fetch_add(1, Ordering::SeqCst);
        assert!(readings != 20, "this clock kills");
        Timestamp(readings as i64)
    }
}

#[test]
fn nobody_waits_for_ever_for_one_who_died_writing() {
    let home = SimObjects::seeded(1);
    let mut seams = seams(home.clone(), 1);
    seams.clock = Arc::new(Deadly(AtomicU64::new(0)));
    let log = Log::open(&seams, &keys(), ORIGIN).unwrap();
    let acknowledged: usize = std::thread::scope(|scope| {
        let append = |thread: u64| {
            let log = &log;
            move || (0..10).filter(|n| log.append(&event(thread * 10 + n)).is_ok()).count()
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(append(thread))).collect();
        // The thread that died told nobody what it had appended before.
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    assert!(matches!(log.append(&event(0)), Err(AuditError::Abandoned)));
    let again = open(&home);
    assert!(again.read(0..80).unwrap().len() >= acknowledged);
    assert!(judge(&home, None).holds());
}

#[test]
fn a_log_that_is_being_written_holds_whenever_it_is_looked_at() {
    let (home, log) = filled(200);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut since = None;
            while !done.load(Ordering::SeqCst) || since.is_none() {
                let report = judge(&home, since.as_deref());
                assert!(report.holds(), "{:?}", report.findings);
                assert!(
                    report.findings.iter().all(|finding| *finding == Finding::NothingPinned),
                    "no names are missing"
                );
                since = Some(home.get(&key("checkpoint")).unwrap());
            }
        });
        let appended = (200..900).try_for_each(|n| log.append(&event(n)).map(drop));
        done.store(true, Ordering::SeqCst);
        appended.unwrap();
        looking.join().unwrap();
    });
}
