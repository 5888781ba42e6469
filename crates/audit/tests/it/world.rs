//! A log on simulated or real homes, and what tests do with it again and again.

use std::sync::Arc;

use backstay_audit::log::Seams;
use backstay_audit::note::VerifierKey;
use backstay_audit::{Event, Expected, Keys, Log, Report, verify};
use backstay_env::objects::{Key, Objects};
use backstay_env::sim::clock::SimClock;
use backstay_env::sim::objects::SimObjects;
use backstay_env::sim::random::SimRandom;
use backstay_seal::Secret;

pub(crate) const ORIGIN: &str = "backstay.example/audit";

/// A process's view of the world that `home` is.
pub(crate) fn seams(home: impl Objects + 'static, seed: u64) -> Seams {
    Seams { home: Arc::new(home), clock: Arc::new(SimClock::seeded(seed)), random: Arc::new(SimRandom::seeded(seed)) }
}

pub(crate) fn keys() -> Keys {
    Keys::derive(&Secret([7; 32]))
}

pub(crate) fn vkey() -> VerifierKey {
    keys().verifier_key(ORIGIN).expect("it is a name")
}

pub(crate) fn open(home: &SimObjects) -> Log {
    Log::open(&seams(home.clone(), 1), &keys(), ORIGIN).expect("the log opens")
}

pub(crate) fn event(n: u64) -> Event {
    Event::done("login", !n.is_multiple_of(3)).by("ann").from("192.0.2.1").on(&format!("thing {n}"))
}

/// A log of so many events in a perfect world.
pub(crate) fn filled(count: u64) -> (SimObjects, Log) {
    let home = SimObjects::seeded(count);
    let log = open(&home);
    (0..count).for_each(|n| assert_eq!(log.append(&event(n)).expect("appended").index, n));
    (home, log)
}

/// What the verifier says that knows the key, and a checkpoint if one is given.
pub(crate) fn judge(home: &SimObjects, since: Option<&[u8]>) -> Report {
    let keys = keys();
    let expected = Expected { key: Some(&vkey()), since, names: Some(keys.names()), now: None };
    let home: Arc<dyn Objects> = Arc::new(home.clone());
    verify(&home, &expected).expect("the home can be read")
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("it is a name")
}
