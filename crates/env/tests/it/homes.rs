//! The suite on every kind of home.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use backstay_env::objects::Key;
use backstay_env::real::cache::Cached;
use backstay_env::real::folder::Folder;
use backstay_env::sim::objects::SimObjects;
use backstay_env::suite;

#[test]
fn folder() {
    let dir = tempfile::tempdir().unwrap();
    suite::objects(|name| Arc::new(Folder::create(dir.path().join(name)).unwrap()));
}

fn simulated(new: impl Fn() -> SimObjects) {
    let homes: Mutex<BTreeMap<String, SimObjects>> = Mutex::default();
    suite::objects(|name| {
        let mut homes = homes.lock().unwrap();
        Arc::new(homes.entry(name.to_string()).or_insert_with(&new).another_process())
    });
}

#[test]
fn simulated_local() {
    simulated(|| SimObjects::seeded(7));
}

#[test]
fn simulated_remote() {
    simulated(|| SimObjects::seeded(7).remote());
}

#[test]
fn cached() {
    // Of all checks only this one reads what is being replaced.
    let is_immutable = |key: &Key| !key.as_str().starts_with("readers/");
    let dir = tempfile::tempdir().unwrap();
    let homes: Mutex<BTreeMap<String, SimObjects>> = Mutex::default();
    suite::objects(|name| {
        let mut homes = homes.lock().unwrap();
        let home = homes.entry(name.to_string()).or_insert_with(|| SimObjects::seeded(7).remote()).another_process();
        Arc::new(Cached::new(Arc::new(home), dir.path(), name, 64 << 20, is_immutable).unwrap())
    });
}
