//! Attacks, each of which must be caught: by who has the folder, by who has the key too, and by who has the machine's clock.
//!
//! | attack | seen by | test |
//! |---|---|---|
//! | edit | anybody | `an_edited_record` |
//! | delete, insert, reorder | anybody | `deleted_inserted_and_reordered_records` |
//! | tail cut off | who has a later checkpoint | `a_cut_tail` |
//! | fork to two auditors | both, together | `a_fork_shown_to_two_auditors` |
//! | old checkpoint put back | the log itself; who has a later one | `an_old_checkpoint_put_back_under_the_log_itself` |
//! | sealed anew with a new key | who has the key | `a_log_sealed_anew_with_a_new_key` |
//! | sealed anew with the stolen key | who has a checkpoint | `a_log_sealed_anew_with_its_own_key` |
//! | clock rolled | anybody | `a_clock_that_is_rolled` |
//! | configuration changed behind the log | anybody | `a_configuration_changed_behind_the_log` |
//!
//! Not among them: approvals that are swapped or used twice, and a witness that is dropped. The log knows neither approvals nor
//! witnesses yet.

use std::sync::Arc;

use backstay_audit::checkpoint::Checkpoint;
use backstay_audit::journal::Batch;
use backstay_audit::names::Names;
use backstay_audit::note::Signer;
use backstay_audit::tile::{Holds, TileName, decode_sheet, encode_hashes, encode_sheet};
use backstay_audit::tree::{Edge, Hash, leaf};
use backstay_audit::{AuditError, Event, Expected, Finding, Keys, Log, verify};
use backstay_env::objects::Objects;
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::objects::SimObjects;
use backstay_env::time::Timestamp;
use backstay_seal::Secret;

use crate::world::{ORIGIN, event, filled, judge, key, keys, open, seams, vkey};

const SECOND: i64 = 1_000_000_000;

fn checkpoint_of(home: &SimObjects) -> Vec<u8> {
    home.get(&key("checkpoint")).unwrap()
}

fn records_of(home: &SimObjects) -> Vec<Vec<u8>> {
    let size = Checkpoint::of_note(&checkpoint_of(home)).unwrap().0.size;
    let sheet = |number| {
        let name = TileName::at_size(Holds::Records, number, size).unwrap();
        decode_sheet(&home.get(&name.key()).unwrap()).unwrap()
    };
    (0..size.div_ceil(256)).flat_map(sheet).collect()
}

/// Writes all tiles and sheets anew, as somebody does who knows the format and has no key. Returns the new tree.
fn rewrite(home: &SimObjects, records: &[Vec<u8>]) -> Edge {
    home.list(&key("tile")).unwrap().into_iter().for_each(|listed| home.delete(&listed.key).unwrap());
    let put = |name: TileName, bytes: Vec<u8>| home.put(&name.key(), &[&bytes]).unwrap();
    let (mut edge, size) = (Edge::default(), records.len() as u64);
    for record in records {
        for tile in edge.push(leaf(record)) {
            let name = TileName { holds: Holds::Hashes(tile.level), number: tile.number, width: 256 };
            put(name, encode_hashes(&tile.hashes));
        }
    }
    for (level, hashes) in edge.tiles() {
        let name =
            TileName { holds: Holds::Hashes(level), number: size >> (8 * (level + 1)), width: hashes.len() as u16 };
        put(name, encode_hashes(hashes));
    }
    for (number, sheet) in (0..).zip(records.chunks(256)) {
        let name = TileName { holds: Holds::Records, number, width: sheet.len() as u16 };
        put(name, encode_sheet(sheet.iter().map(Vec::as_slice)));
    }
    edge
}

/// Signs what was rewritten, as somebody does who has the key.
fn sign(home: &SimObjects, edge: &Edge, signer: &Signer) {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: edge.size(), root: edge.root() };
    home.put(&key("checkpoint"), &[&checkpoint.sign(signer).encode()]).unwrap();
}

#[track_caller]
fn caught(home: &SimObjects, since: Option<&[u8]>, expected: &Finding) {
    let report = judge(home, since);
    assert!(report.findings.contains(expected), "{:?}", report.findings);
    assert_eq!(report.holds(), !expected.is_broken());
}

#[test]
fn an_edited_record() {
    let (home, _) = filled(300);
    let mut records = records_of(&home);
    let at = records[100].len() - 1;
    records[100][at] ^= 1;
    let sheet = encode_sheet(records[..256].iter().map(Vec::as_slice));
    home.put(&key("tile/entries/000"), &[&sheet]).unwrap();
    caught(&home, None, &Finding::Changed { index: 100 });
    rewrite(&home, &records);
    caught(&home, None, &Finding::OtherRoot);
}

#[test]
fn deleted_inserted_and_reordered_records() {
    let (home, _) = filled(300);
    let pinned = checkpoint_of(&home);
    let records = records_of(&home);
    let (mut deleted, mut inserted, mut reordered) = (records.clone(), records.clone(), records.clone());
    deleted.remove(17);
    inserted.insert(17, records[18].clone());
    reordered.swap(17, 18);
    for forged in [deleted, inserted, reordered] {
        let home = home.fork();
        rewrite(&home, &forged);
        assert!(!judge(&home, None).holds(), "under the old checkpoint");
        home.tamper(&key("checkpoint"), |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            *bytes = text.replacen("\n300\n", &format!("\n{}\n", forged.len()), 1).into_bytes();
        });
        assert!(!judge(&home, None).holds(), "under one of the new size");
        let edge = rewrite(&home, &forged);
        sign(&home, &edge, &Signer::new(ORIGIN, &[9; 32]).unwrap());
        caught(&home, None, &Finding::OtherKey);
        let report = judge(&home, Some(&pinned));
        assert!(report.findings.iter().any(|found| matches!(found, Finding::Forked { .. } | Finding::Shorter { .. })));
    }
}

#[test]
fn a_cut_tail() {
    let (home, log) = filled(300);
    let older = checkpoint_of(&home);
    (300..310).for_each(|n| assert_eq!(log.append(&event(n)).unwrap().index, n));
    let newer = checkpoint_of(&home);
    let cut = home.fork();
    cut.delete(&key("tile/entries/001.p/54")).unwrap();
    caught(&cut, None, &Finding::Missing { object: "tile/entries/001.p/54".to_owned() });
    // Put back whole as it was: only who has seen more notices.
    home.put(&key("checkpoint"), &[&older]).unwrap();
    assert!(judge(&home, None).holds());
    assert!(judge(&home, None).findings.contains(&Finding::NothingPinned));
    caught(&home, Some(&newer), &Finding::Shorter { seen: 310, found: 300 });
}

#[test]
fn an_old_checkpoint_put_back_under_the_log_itself() {
    let (home, log) = filled(250);
    let older = checkpoint_of(&home);
    (250..300).for_each(|n| assert_eq!(log.append(&event(n)).unwrap().index, n));
    let (newer, newest) = (log.checkpoint().unwrap().0, checkpoint_of(&home));
    drop(log);
    home.put(&key("checkpoint"), &[&older]).unwrap();
    let log = open(&home.fork());
    assert!(log.begins_with(&newer).unwrap(), "what was committed is found again");
    // With all of the tail gone, the log cannot know by itself; its owner, who kept a checkpoint, does.
    for listed in [home.list(&key("journal")).unwrap(), home.list(&key("tile")).unwrap()].concat() {
        let name = listed.key.as_str();
        if name.starts_with("journal/") || name == "tile/entries/000" {
            home.delete(&listed.key).unwrap();
        }
    }
    home.put(&key("tile/entries/000.p/250"), &[&encode_sheet(vec![b"x".as_slice(); 250])]).unwrap();
    let opened = Log::open(&seams(home.clone(), 1), &keys(), ORIGIN).err();
    assert!(matches!(opened, Some(AuditError::Damaged { .. })), "{opened:?}");
    caught(&home, Some(&newest), &Finding::Shorter { seen: 300, found: 250 });
}

#[test]
fn a_fork_shown_to_two_auditors() {
    let (home, log) = filled(270);
    drop(log);
    let other = home.fork();
    let (ours, theirs) = (open(&home), open(&other));
    ours.append(&event(1)).unwrap();
    theirs.append(&event(2)).unwrap();
    caught(&other, Some(&checkpoint_of(&home)), &Finding::Forked { seen: 271 });
    theirs.append(&event(3)).unwrap();
    caught(&other, Some(&checkpoint_of(&home)), &Finding::Forked { seen: 271 });
    caught(&home, Some(&checkpoint_of(&other)), &Finding::Shorter { seen: 272, found: 271 });
    assert!(!ours.begins_with(&theirs.checkpoint().unwrap().0).unwrap());
}

#[test]
fn a_log_sealed_anew_with_a_new_key() {
    let (home, _) = filled(20);
    let (forged, secret) = (SimObjects::seeded(1), Keys::derive(&Secret([8; 32])));
    let log = Log::open(&seams(forged.clone(), 2), &secret, ORIGIN).unwrap();
    (0..20).for_each(|n| assert_eq!(log.append(&event(n)).unwrap().index, n));
    caught(&forged, None, &Finding::OtherKey);
    caught(&forged, Some(&checkpoint_of(&home)), &Finding::Forked { seen: 20 });
    caught(&home, Some(&checkpoint_of(&forged)), &Finding::BadPinned);
    // The key that lies beside the log is the forger's: without another, a verifier says what it does not know.
    let forged: Arc<dyn Objects> = Arc::new(forged);
    let report = verify(&forged, &Expected::default()).unwrap();
    assert!(report.holds());
    assert_eq!(report.findings[..2], [Finding::KeyNotGiven, Finding::NothingPinned]);
}

#[test]
fn a_log_sealed_anew_with_its_own_key() {
    let (home, _) = filled(20);
    let pinned = checkpoint_of(&home);
    let mut records = records_of(&home);
    records.remove(3);
    records.push(records[0].clone());
    let edge = rewrite(&home, &records);
    let secret = blake3::derive_key("backstay 2026-11 audit signing", &[7; 32]);
    sign(&home, &edge, &Signer::new(ORIGIN, &secret).unwrap());
    caught(&home, None, &Finding::TimeBack { index: 19 });
    caught(&home, Some(&pinned), &Finding::Forked { seen: 20 });
}

#[test]
fn another_log_in_its_place() {
    let home = SimObjects::seeded(1);
    let log = Log::open(&seams(home.clone(), 1), &keys(), "backstay.example/other").unwrap();
    log.append(&event(0)).unwrap();
    caught(&home, None, &Finding::OtherLog { found: "backstay.example/other".to_owned() });
    home.delete(&key("checkpoint")).unwrap();
    caught(&home, None, &Finding::NoCheckpoint);
    home.put(&key("checkpoint"), &[b"x"]).unwrap();
    caught(&home, None, &Finding::BadCheckpoint);
}

#[test]
fn a_clock_that_is_rolled() {
    let home = SimObjects::seeded(1);
    let clock = Arc::new(SimClock::seeded(1));
    let mut seams = seams(home.clone(), 1);
    seams.clock = clock.clone();
    let log = Log::open(&seams, &keys(), ORIGIN).unwrap();
    log.append(&event(0)).unwrap();
    clock.advance(-3600 * SECOND);
    log.append(&event(1)).unwrap();
    let report = judge(&home, None);
    assert!(report.findings.iter().any(|found| matches!(found, Finding::ClockBack { index: 1, by: 3500..=3600 })));
    clock.advance(7200 * SECOND);
    log.append(&event(2)).unwrap();
    let report = judge(&home, None);
    assert!(report.findings.iter().any(|found| matches!(found, Finding::Gap { index: 2, .. })));
    let times: Vec<_> = log.read(0..3).unwrap().into_iter().map(|shown| shown.record.time).collect();
    assert!(times.is_sorted(), "the log's own time never goes back");
}

#[test]
fn a_configuration_changed_behind_the_log() {
    let (home, hash) = (SimObjects::seeded(1), |n| Hash([n; 32]));
    let log = open(&home);
    log.append(&Event::started(hash(1))).unwrap();
    log.append(&Event::done("setting.change", true).by("ann").config(hash(1), hash(2))).unwrap();
    log.append(&Event::heartbeat(hash(2))).unwrap();
    assert!(judge(&home, None).holds());
    log.append(&Event::heartbeat(hash(3))).unwrap();
    caught(&home, None, &Finding::OtherConfig { index: 3 });
}

#[test]
fn something_done_without_an_outcome_and_an_outcome_of_nothing() {
    let home = SimObjects::seeded(1);
    let log = open(&home);
    let intent = log.append(&Event::intent("restore.read").by("ann")).unwrap().index;
    caught(&home, None, &Finding::NoOutcome { index: intent });
    log.append(&Event::outcome(intent, "restore.read", true)).unwrap();
    assert_eq!(judge(&home, None).findings, [Finding::NothingPinned]);
    log.append(&Event::outcome(intent, "restore.read", true)).unwrap();
    caught(&home, None, &Finding::NoIntent { index: 2 });
}

#[test]
fn names_of_somebody_else() {
    let (home, _) = filled(3);
    let batch = |n: u64| home.get(&key(&format!("journal/{n:016x}"))).unwrap();
    let mut swapped = Batch::decode(&batch(1)).unwrap();
    swapped.names = Batch::decode(&batch(2)).unwrap().names;
    home.put(&key("journal/0000000000000001"), &[&swapped.encode()]).unwrap();
    caught(&home, None, &Finding::OtherNames { index: 1 });
    home.delete(&key("journal/0000000000000001")).unwrap();
    caught(&home, None, &Finding::NamesGone { records: 1 });
}

#[test]
fn names_that_somebody_made_up_who_may_read_names() {
    let (home, log) = filled(3);
    let mut batch = Batch::decode(&home.get(&key("journal/0000000000000001")).unwrap()).unwrap();
    let made_up = Names { user: "bob".to_owned(), ..Names::default() }.salted([[1; 16]; 4]);
    batch.names = vec![made_up.seal(keys().names(), [2; 16], ORIGIN, 1)];
    home.put(&key("journal/0000000000000001"), &[&batch.encode()]).unwrap();
    caught(&home, None, &Finding::OtherNames { index: 1 });
    let shown = log.read(0..3).unwrap();
    assert_eq!(shown.iter().map(|shown| shown.names.is_some()).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn names_that_expire_leave_a_log_that_holds() {
    let (home, log) = filled(620);
    let times: Vec<_> = log.read(0..620).unwrap().into_iter().map(|shown| shown.record.time).collect();
    assert_eq!(log.expire_names(times[255]).unwrap(), 0, "the sheet has one that is not older");
    assert_eq!(log.expire_names(times[300]).unwrap(), 1);
    let has_names = |log: &Log| log.read(0..620).unwrap().iter().map(|shown| shown.names.is_some()).collect::<Vec<_>>();
    let expected: Vec<bool> = (0..620).map(|n| n >= 256).collect();
    assert_eq!(has_names(&log), expected);
    drop(log);
    assert_eq!(has_names(&open(&home)), expected);
    let report = judge(&home, None);
    assert!(report.holds() && report.findings.contains(&Finding::NamesGone { records: 256 }));
    assert_eq!(open(&home).expire_names(Timestamp(i64::MAX)).unwrap(), 1, "what is being filled stays");
}

#[test]
fn every_object_that_the_checkpoint_covers_matters_in_every_byte() {
    let (home, _) = filled(300);
    let covered =
        ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"];
    let expected = Expected { key: Some(&vkey()), ..Expected::default() };
    for name in covered {
        let good = home.get(&key(name)).unwrap();
        let step = (good.len() / 150).max(1);
        for at in (0..good.len()).step_by(step) {
            let harmed = home.fork();
            harmed.tamper(&key(name), |bytes| bytes[at] ^= 1 << (at % 8));
            let harmed: Arc<dyn Objects> = Arc::new(harmed);
            let report = verify(&harmed, &expected).unwrap();
            assert!(!report.holds(), "{name}, byte {at}");
        }
        for len in [0, 1, good.len() / 2, good.len() - 1] {
            let harmed = home.fork();
            harmed.tamper(&key(name), |bytes| bytes.truncate(len));
            assert!(!judge(&harmed, None).holds(), "{name} of {len} bytes");
        }
        let harmed = home.fork();
        harmed.tamper(&key(name), |bytes| bytes.push(b'\n'));
        assert!(!judge(&harmed, None).holds(), "{name} with a byte more");
        home.fork().delete(&key(name)).unwrap();
    }
}

#[test]
fn what_rots_at_the_end_of_a_log_is_made_anew_from_what_did_not() {
    let (home, _) = filled(300);
    for name in ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
        let harmed = home.fork();
        harmed.tamper(&key(name), |bytes| bytes[20] ^= 1);
        assert!(!judge(&harmed, None).holds());
        let log = open(&harmed);
        assert!(judge(&harmed, None).holds(), "{name} is mended");
        assert_eq!(log.append(&event(1)).unwrap().index, 300);
        assert!(judge(&harmed, Some(&checkpoint_of(&home))).holds());
    }
}

#[test]
fn a_log_that_is_not_what_it_signed_does_not_go_on() {
    let (home, _) = filled(300);
    let forged = home.fork();
    let mut records = records_of(&forged);
    let at = records[100].len() - 1;
    records[100][at] ^= 1;
    rewrite(&forged, &records);
    let opened = Log::open(&seams(forged, 1), &keys(), ORIGIN).err();
    assert!(opened.as_ref().is_some_and(AuditError::is_damage), "{opened:?}");
    home.tamper(&key("checkpoint"), |bytes| bytes[5] ^= 1);
    let opened = Log::open(&seams(home, 1), &keys(), ORIGIN).err();
    assert!(opened.as_ref().is_some_and(AuditError::is_damage), "{opened:?}");
}
