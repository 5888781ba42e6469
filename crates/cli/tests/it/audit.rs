//! `audit`: a log in a folder is verified and shown with no store, no passphrase and no server.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backstay_audit::log::Seams;
use backstay_audit::tree::Hash;
use backstay_audit::{Event, Keys, Log};
use backstay_env::real::folder::Folder;
use backstay_env::real::system::{SystemClock, SystemRandom};
use backstay_seal::Secret;

use crate::tools::text;
use crate::world::World;

const ORIGIN: &str = "backstay.example/audit";

fn keys() -> Keys {
    Keys::derive(&Secret([7; 32]))
}

fn open(folder: &Path) -> Log {
    let home = Arc::new(Folder::create(folder).unwrap());
    let seams = Seams { home, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) };
    Log::open(&seams, &keys(), ORIGIN).unwrap()
}

/// A folder with a log of four records, and what is kept elsewhere: its key, a checkpoint of two records, the key of names.
fn logged() -> (World, String) {
    let world = World::without_store();
    let log = open(&world.path("log"));
    log.append(&Event::started(Hash([1; 32]))).unwrap();
    let intent = Event::intent("restore.read").by("ann\u{1b}[31m").from("192.0.2.1").on("web");
    let intent = log.append(&intent).unwrap().index;
    fs::copy(world.path("log/checkpoint"), world.path("kept")).unwrap();
    log.append(&Event::outcome(intent, "restore.read", true).detail("70000 bytes")).unwrap();
    log.append(&Event::heartbeat(Hash([1; 32]))).unwrap();
    let digits: String = keys().names().0.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(world.path("names"), digits + "\n").unwrap();
    (world, log.verifier_key().to_string())
}

#[test]
fn a_log_that_holds() {
    let (world, key) = logged();
    let bare = world.ok(&["audit", "verify", "log"]);
    assert!(bare.contains("4 records") && bare.contains("the log holds"), "{bare}");
    assert!(bare.contains("no key was given") && bare.contains("no checkpoint seen before"), "{bare}");
    let full = ["audit", "verify", "log", "--key", &key, "--since", "kept", "--names-key", "names", "--strict"];
    let said = world.ok(&full);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["log backstay.example/audit: 4 records", &format!("key {key}"), "the log holds"]
    );
    let json = world.json(&full);
    assert_eq!((json["holds"].as_bool(), json["records"].as_u64()), (Some(true), Some(4)));
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(0));
    world.refused(3, &["audit", "verify", "log", "--strict"]);
}

#[test]
fn a_log_that_does_not_hold_is_told_in_one_sentence() {
    let (world, key) = logged();
    let sheet = world.path("log/tile/entries/000.p/4");
    let good = fs::read(&sheet).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    fs::write(&sheet, bad).unwrap();
    let sentence = world.refused(3, &["audit", "verify", "log", "--key", &key]);
    assert!(sentence.contains("record 0 was changed"), "{sentence}");
    let said = world.run(&["audit", "verify", "log", "--key", &key, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.status, json["findings"][0]["kind"].as_str()), (Some(3), Some("nothing-pinned")));
    assert!(
        json["findings"].as_array().unwrap().iter().any(|found| found["kind"] == "changed" && found["record"] == 0)
    );
    fs::write(&sheet, good).unwrap();

    // An old log is put back whole.
    fs::copy(world.path("log/checkpoint"), world.path("newer")).unwrap();
    fs::copy(world.path("kept"), world.path("log/checkpoint")).unwrap();
    let sentence = world.refused(3, &["audit", "verify", "log", "--key", &key, "--since", "newer"]);
    assert!(sentence.contains("it has 2 records, and 4 were seen before"), "{sentence}");

    let other = Keys::derive(&Secret([8; 32])).verifier_key(ORIGIN).unwrap().to_string();
    let sentence = world.refused(3, &["audit", "verify", "log", "--key", &other]);
    assert!(sentence.contains("not signed with the key"), "{sentence}");
}

#[test]
fn records_are_shown_with_names_only_to_who_has_their_key() {
    let (world, _) = logged();
    let said = world.ok(&["audit", "show", "log"]);
    assert!(said.contains("(sealed)") && !said.contains("ann") && !said.contains("192.0.2.1"), "{said}");
    let said = world.ok(&["audit", "show", "log", "--names-key", "names", "--no-heartbeats"]);
    assert!(said.contains("ann\u{fffd}[31m") && said.contains("192.0.2.1") && !said.contains('\u{1b}'), "{said}");
    assert!(said.contains("restore.read (of 1)") && !said.contains("heartbeat"), "{said}");
    let json = world.json(&["audit", "show", "log", "--names-key", "names", "--from", "1"]);
    let records = json.as_array().unwrap();
    assert_eq!((records.len(), records[0]["record"].as_u64()), (3, Some(1)));
    assert_eq!((records[0]["object"].as_str(), records[1]["of"].as_u64()), (Some("web"), Some(1)));
}

#[test]
fn what_is_no_log_and_what_is_no_key() {
    let (world, key) = logged();
    fs::create_dir(world.path("empty")).unwrap();
    let sentence = world.refused(3, &["audit", "verify", "empty", "--key", &key]);
    assert!(sentence.contains("no checkpoint"), "{sentence}");
    assert!(world.refused(1, &["audit", "verify", "nowhere"]).contains("nowhere"));
    assert!(world.refused(1, &["audit", "show", "empty"]).contains("no audit log"));
    assert!(world.refused(2, &["audit", "verify", "log", "--key", "x"]).contains("NAME+ID+KEY"));
    assert!(world.refused(2, &["audit", "show", "log", "--names-key", text(&world.path("kept"))]).contains("kept"));
    assert!(world.refused(1, &["audit", "verify", "log", "--since", "nothing"]).contains("nothing"));
}
